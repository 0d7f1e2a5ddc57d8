import assert from 'node:assert/strict';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { loadConfig } from '../../src/config/load.ts';
import { ConfigError } from '../../src/config/problem.ts';
import { renderEffective } from '../../src/config/reference.ts';
import { settings } from '../../src/config/schema.ts';
import { load, loadError, onlyProblem, sourceOf, writeFiles } from './support/fixtures.ts';

describe('the four sources', () => {
  it('win over each other in order: defaults, files, secrets directory, NAME_FILE, environment', t => {
    const directory = writeFiles(t, { 'relay.yaml': 'port: 1\n', 'secrets/SMTP_RELAY_PORT': '2', port: '3' });
    const file = { SMTP_RELAY_CONFIG: join(directory, 'relay.yaml') };
    const secrets = { ...file, SMTP_RELAY_SECRETS_DIR: join(directory, 'secrets') };
    const steps: readonly (readonly [env: NodeJS.ProcessEnv, port: number, source: string])[] = [
      [{}, 2587, 'default'],
      [file, 1, `file:${directory}/relay.yaml:1`],
      [secrets, 2, `secret:${directory}/secrets/SMTP_RELAY_PORT`],
      [{ ...secrets, SMTP_RELAY_PORT_FILE: join(directory, 'port') }, 3, `secret:${directory}/port`],
      [{ ...secrets, SMTP_RELAY_PORT: '4' }, 4, 'env:SMTP_RELAY_PORT'],
    ];
    for (const [env, port, source] of steps) {
      const loaded = load(env);
      assert.equal(loaded.config.port, port);
      assert.equal(sourceOf(loaded, 'port'), source);
    }
  });

  it("take the SQS endpoint from AWS's variable for all services, unless the one for SQS is set", () => {
    const general = { AWS_ENDPOINT_URL: 'http://127.0.0.1:4566' };
    const loaded = load(general);
    assert.equal(loaded.config.sqsEndpoint, 'http://127.0.0.1:4566');
    assert.equal(sourceOf(loaded, 'sqsEndpoint'), 'env:AWS_ENDPOINT_URL');
    const both = load({ ...general, AWS_ENDPOINT_URL_SQS: 'http://127.0.0.1:9324' });
    assert.equal(both.config.sqsEndpoint, 'http://127.0.0.1:9324');
  });

  it('report a wrong value even where another source wins over it', t => {
    const path = join(writeFiles(t, { 'relay.yaml': 'port: many\n' }), 'relay.yaml');
    const problem = onlyProblem({ SMTP_RELAY_CONFIG: path, SMTP_RELAY_PORT: '2525' });
    assert.equal(problem.source, `file:${path}:1`);
  });

  it('report everything that is wrong in one message', t => {
    const directory = writeFiles(t, {
      'config/a.yaml': 'prot: 1\nlogLevel: loud\n',
      'config/b.yaml': '{',
      'secrets/SMTP_RELAY_HOST': 'a b\n',
    });
    const error = loadError({
      DATABASE_URL: 'mysql://db',
      SMTP_RELAY_CONFIG: join(directory, 'config'),
      SMTP_RELAY_SECRETS_DIR: join(directory, 'secrets'),
      SMTP_RELAY_PORT_FILE: '/nonexistent',
      SMTP_RELAY_MAX_MESSAGE_SIZE_BYTES: '25MB',
      SMTP_RELAY_TLS_KEY_PATH: '/etc/tls.key',
    });
    assert.deepEqual(error.problems.map(({ setting }) => setting).sort(), [
      '"prot"',
      'SMTP_RELAY_CONFIG',
      'databaseUrl',
      'host',
      'logLevel',
      'maxMessageSizeBytes',
      'port',
      'tls.keyPath',
    ]);
    assert.match(error.message, /^The configuration has 8 problems:\n/);
    assert.equal(error.message.split('\n').length, 9);
    for (const { setting, source, why, fix } of error.problems) {
      assert.ok(error.message.includes(`  - ${setting} (${source}): ${why}. To mend it: ${fix}.`));
      for (const part of [setting, source, why, fix]) assert.notEqual(part, '');
    }
  });

  it('keep what a value says within one short line', () => {
    const { why } = onlyProblem({ SMTP_RELAY_HOST: `a\n  - b ${'x'.repeat(10_000)}` });
    assert.doesNotMatch(why, /\n/);
    assert.ok(why.length < 200);
  });
});

describe('required settings', () => {
  it('are the database URL, and nothing else', () => {
    assert.throws(() => loadConfig({}), ConfigError);
    const { problems } = loadError({ DATABASE_URL: '' });
    assert.deepEqual(
      problems.map(({ setting }) => setting),
      ['databaseUrl'],
    );
    assert.match(problems[0]?.fix ?? '', /set DATABASE_URL, or DATABASE_URL_FILE/);
    assert.equal(load({}).config.port, 2587);
  });

  it('can be waived, and others asked for', () => {
    assert.equal(loadConfig({}, { require: [] }).config.databaseUrl, '');
    assert.equal(onlyProblem({}, { require: ['queueUrl'] }).setting, 'queueUrl');
  });

  it('are not reported as missing where their value is wrong', () => {
    assert.match(onlyProblem({ DATABASE_URL: 'db' }).why, /does not begin with postgres/);
  });
});

describe('the environment', () => {
  it('counts an empty variable as not set', () => {
    const empty = Object.fromEntries(
      settings.flatMap(({ env }) => [
        [env, ''],
        [`${env}_FILE`, ''],
      ]),
    );
    const loaded = loadConfig({ ...empty, SMTP_RELAY_CONFIG: '', SMTP_RELAY_SECRETS_DIR: '' }, { require: [] });
    assert.ok(loaded.settings.every(({ source }) => source === 'default'));
    assert.deepEqual(loaded.warnings, []);
  });

  it('sets every setting by its variable', () => {
    for (const { name, env, format, default: value } of settings) {
      const text =
        format.print(value) || { queueUrl: 'https://sqs.example.com/1/jobs', hostname: 'a.example' }[name as string];
      if (text === undefined || name === 'databaseUrl') continue;
      const loaded = load({ [env]: text });
      assert.equal(sourceOf(loaded, name), `env:${env}`);
    }
  });

  it('warns of unknown SMTP_RELAY_ variables and suggests what may be meant, without their values', () => {
    const { warnings } = load({
      SMTP_RELAY_PROT: 'hunter2',
      SMTP_RELAY_DATABASE_URL: 'x',
      SMTP_RELAY_ZEBRA: 'x',
      ZEBRA: 'x',
    });
    assert.equal(warnings.length, 3);
    assert.match(warnings[0] ?? '', /^SMTP_RELAY_PROT: ignored.*Is SMTP_RELAY_PORT meant\?$/);
    assert.match(warnings[1] ?? '', /Is DATABASE_URL meant\?$/);
    assert.match(warnings[2] ?? '', /^SMTP_RELAY_ZEBRA: ignored.*docs\/configuration\.md/);
    assert.doesNotMatch(warnings.join(), /hunter2/);
  });

  it("ignores what Kubernetes' service links put into SMTP_RELAY_PORT, with one warning", t => {
    const links = {
      SMTP_RELAY_PORT: 'tcp://10.96.0.7:2587',
      SMTP_RELAY_SERVICE_HOST: '10.96.0.7',
      SMTP_RELAY_SERVICE_PORT: '2587',
      SMTP_RELAY_SERVICE_PORT_SUBMISSION: '2587',
      SMTP_RELAY_PORT_2587_TCP: 'tcp://10.96.0.7:2587',
      SMTP_RELAY_PORT_2587_TCP_PROTO: 'tcp',
      SMTP_RELAY_PORT_2587_TCP_PORT: '2587',
      SMTP_RELAY_PORT_2587_TCP_ADDR: '10.96.0.7',
      SMTP_RELAY_METRICS_PORT: 'tcp://10.96.0.8:9090',
      SMTP_RELAY_METRICS_SERVICE_HOST: '10.96.0.8',
      SMTP_RELAY_METRICS_SERVICE_PORT: '9090',
      SMTP_RELAY_METRICS_PORT_9090_TCP_ADDR: '10.96.0.8',
    };
    const loaded = load(links);
    assert.equal(loaded.config.port, 2587);
    assert.equal(sourceOf(loaded, 'port'), 'default');
    assert.equal(loaded.warnings.length, 1);
    assert.match(loaded.warnings[0] ?? '', /^SMTP_RELAY_PORT: ignored.*enableServiceLinks: false/);

    const path = join(writeFiles(t, { 'relay.yaml': 'port: 2525\n' }), 'relay.yaml');
    assert.equal(load({ ...links, SMTP_RELAY_CONFIG: path }).config.port, 2525);
  });

  it('does not take a service link for a port anywhere else', t => {
    const path = join(writeFiles(t, { 'relay.yaml': 'port: tcp://10.0.0.1:2587\n' }), 'relay.yaml');
    assert.match(onlyProblem({ SMTP_RELAY_CONFIG: path }).why, /is not a whole number/);
  });
});

describe('the effective settings', () => {
  it('show every setting as it could be written, and where it comes from', () => {
    const rows = renderEffective(
      load({ SMTP_RELAY_LIMITS_IDLE_TIMEOUT: '120s', SMTP_RELAY_MAX_MESSAGE_SIZE_BYTES: '25MiB' }),
    );
    assert.deepEqual(
      rows.map(({ name }) => name),
      settings.map(({ name }) => name),
    );
    assert.deepEqual(
      rows.find(({ name }) => name === 'limits.idleTimeout'),
      {
        name: 'limits.idleTimeout',
        env: 'SMTP_RELAY_LIMITS_IDLE_TIMEOUT',
        value: '2m',
        source: 'env:SMTP_RELAY_LIMITS_IDLE_TIMEOUT',
        reloadable: true,
      },
    );
    assert.equal(rows.find(({ name }) => name === 'maxMessageSizeBytes')?.value, '26214400');
    assert.equal(rows.find(({ name }) => name === 'port')?.source, 'default');
  });
});
