import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { takeLease } from '../../src/postgres/lease.ts';
import { runInProcess } from '../cli/run-cli.ts';
import { createFolder, createSystem, document, SECRET_KEY } from './support.ts';

const domain = (name: string, spec: object = {}) =>
  document('SendingDomain', name, { owner: 'acme', name: `${name}.test`, ...spec });

describe('smtp-relay resources validate', () => {
  it('needs no configuration, and names file, line, path and what to write', async t => {
    const folder = await createFolder(t, { 'good.yaml': domain('one'), 'bad.yaml': domain('two', { colour: 1 }) });
    const good = await runInProcess(['resources', 'validate', `${folder.path}/good.yaml`], {});
    assert.deepEqual([good.code, good.stdout, good.stderr], [0, '1 document is right.\n', '']);
    const bad = await runInProcess(['resources', 'validate', folder.path], {});
    assert.equal(bad.code, 1);
    assert.match(
      bad.stdout,
      /bad\.yaml:2: SendingDomain\/two spec\.colour: does not exist\. To mend it: remove it; known are owner, name/,
    );
    const json = await runInProcess(['resources', 'validate', folder.path, '--json'], {});
    const { ok, objects, problems } = JSON.parse(json.stdout);
    assert.deepEqual([json.code, ok, objects, problems.length], [1, false, 2, 1]);
    assert.deepEqual([problems[0].line, problems[0].path], [2, 'spec.colour']);
  });

  it('finds documents that declare the same, and with --secrets what is wrong with secrets', async t => {
    const key = (name: string) => document('SmtpCredential', name, { owner: 'acme', keyFile: 'the-key' });
    const folder = await createFolder(t, { 'a.yaml': key('a'), 'b.yaml': key('b') });
    const same = await runInProcess(['resources', 'validate', folder.path], {});
    assert.match(same.stdout, /SmtpCredential\/b spec: declares the same as SmtpCredential\/a/);
    const checked = await runInProcess(['resources', 'validate', folder.path, '--secrets', folder.path], {});
    assert.match(checked.stdout, /SmtpCredential\/a spec\.keyFile: names a file that does not exist/);
  });

  it('asks for paths where nobody names any', async () => {
    const { code, stderr } = await runInProcess(['resources', 'validate'], {});
    assert.equal(code, 2);
    assert.match(stderr, /SMTP_RELAY_RESOURCES_DIRECTORY/);
  });
});

describe('smtp-relay resources diff, apply and list', () => {
  it('show, do, and show again', async t => {
    const system = await createSystem(t, { 'a.yaml': domain('one') + domain('two', { route: 'nowhere' }) });
    await system.rows('update smtp_relay_leases set until = now()');
    const env = {
      DATABASE_URL: system.databaseUrl,
      SMTP_RELAY_RESOURCES_DIRECTORY: system.documents.path,
      SMTP_RELAY_RESOURCES_SECRETS_DIRECTORY: system.secrets.path,
      SMTP_RELAY_WEBHOOKS_SECRET_KEYS: SECRET_KEY,
    };
    const cli = (...args: string[]) => runInProcess(['resources', ...args], env);

    const diff = await cli('diff');
    assert.equal(diff.code, 1);
    assert.match(diff.stdout, /^create +SendingDomain +one /m);
    const dry = await cli('apply', '--dry-run', '--json');
    assert.equal(JSON.parse(dry.stdout).changes[0].action, 'create');
    assert.deepEqual(await system.rows('select name from domains'), []);

    const applied = await cli('apply');
    assert.equal(applied.code, 1, 'one is not right');
    assert.deepEqual(await system.rows('select name from domains'), [{ name: 'one.test' }]);
    await system.documents.write('a.yaml', domain('one', { tls: 'enforced' }));
    const again = await cli('apply');
    assert.deepEqual([again.code, again.stderr], [0, '']);
    assert.match(again.stdout, /^update +SendingDomain +one +tls +True/m);
    assert.match(again.stdout, /^remove +SendingDomain +two /m);
    assert.deepEqual([(await cli('diff')).code, (await cli('apply')).stdout], [0, 'Nothing to do.\n']);

    const list = JSON.parse((await cli('list', '--json')).stdout);
    assert.deepEqual(
      list.map(({ kind, name, ready }: Record<string, string>) => [kind, name, ready]),
      [['SendingDomain', 'one', 'True']],
    );
    assert.match((await cli('list', '--kind', 'SendingDomain')).stdout, /^KIND +NAME +READY/);
    assert.equal(JSON.parse((await cli('list', '--kind', 'Route', '--json')).stdout).length, 0);
  });

  it('leaves it to the process that has the lease', async t => {
    const system = await createSystem(t, { 'a.yaml': domain('one') });
    await takeLease(system.pool, 'test', 60_000);
    const env = { DATABASE_URL: system.databaseUrl };
    const { code, stderr } = await runInProcess(['resources', 'apply', system.documents.path], env);
    assert.equal(code, 1);
    assert.match(stderr, /test has the lease/);
    assert.deepEqual(await system.rows('select name from domains'), []);
  });
});

it('smtp-relay resources schemas --check fails where they are stale', async () => {
  assert.equal((await runInProcess(['resources', 'schemas', '--check'], {})).code, 0);
  const { stdout } = await runInProcess(['resources', 'schemas'], {});
  assert.deepEqual(Object.keys(JSON.parse(stdout)).length, 5);
});
