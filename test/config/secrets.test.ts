import assert from 'node:assert/strict';
import { mkdirSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { inspect } from 'node:util';
import { hideCredentials } from '../../src/config/problem.ts';
import { renderEffective } from '../../src/config/reference.ts';
import { DATABASE_URL, load, loadError, onlyProblem, sourceOf, writeFiles } from './support/fixtures.ts';

describe('the directory of secrets', () => {
  it('gives each file to the variable of its name, without line breaks at the end', t => {
    const directory = writeFiles(t, { DATABASE_URL: 'postgres://db/a\r\n', SMTP_RELAY_PORT: '2525\n' });
    const loaded = load({ DATABASE_URL: '', SMTP_RELAY_SECRETS_DIR: directory });
    assert.equal(loaded.config.databaseUrl, 'postgres://db/a');
    assert.equal(loaded.config.port, 2525);
    assert.equal(sourceOf(loaded, 'databaseUrl'), `secret:${join(directory, 'DATABASE_URL')}`);
    assert.deepEqual(loaded.warnings, []);
  });

  it('is read as Kubernetes mounts a Secret', t => {
    const directory = writeFiles(t, { '..2026_01_01/DATABASE_URL': 'postgres://db/a' });
    symlinkSync('..2026_01_01', join(directory, '..data'));
    symlinkSync('..data/DATABASE_URL', join(directory, 'DATABASE_URL'));
    const loaded = load({ DATABASE_URL: '', SMTP_RELAY_SECRETS_DIR: directory });
    assert.equal(loaded.config.databaseUrl, 'postgres://db/a');
    assert.deepEqual(loaded.warnings, []);
  });

  it('warns of files that look like a setting and are none, and not of other files and of directories', t => {
    const files = {
      DATABASE_URI: 'postgres://db/a',
      database_url: 'postgres://db/a',
      'billing-key': 'k',
      username: 'u',
    };
    const directory = writeFiles(t, files);
    mkdirSync(join(directory, 'lost+found'));
    const { warnings } = load({ SMTP_RELAY_SECRETS_DIR: directory });
    assert.equal(warnings.length, 1);
    assert.match(warnings[0] ?? '', /: DATABASE_URI, database_url\.$/);
  });

  it('warns of an empty file, which sets nothing', t => {
    const directory = writeFiles(t, { SMTP_RELAY_PORT: '\n' });
    const loaded = load({ SMTP_RELAY_SECRETS_DIR: directory });
    assert.equal(loaded.config.port, 2587);
    assert.match(loaded.warnings[0] ?? '', /^port: the file .* is empty/);
  });

  it('must exist and be a directory', t => {
    assert.match(onlyProblem({ SMTP_RELAY_SECRETS_DIR: '/nonexistent' }).why, /does not exist/);
    const file = join(writeFiles(t, { file: '' }), 'file');
    assert.match(onlyProblem({ SMTP_RELAY_SECRETS_DIR: file }).why, /is not a directory/);
  });

  it('must hold readable files', t => {
    const directory = writeFiles(t, {});
    mkdirSync(join(directory, 'SMTP_RELAY_HOST'));
    symlinkSync('nowhere', join(directory, 'SMTP_RELAY_PORT'));
    const { problems } = loadError({ SMTP_RELAY_SECRETS_DIR: directory });
    assert.deepEqual(
      problems.map(({ setting }) => setting),
      ['host', 'port'],
    );
    assert.match(problems[0]?.why ?? '', /is a directory/);
    assert.match(problems[1]?.why ?? '', /does not exist/);
  });
});

describe('NAME_FILE', () => {
  it('reads the value of NAME from a file', t => {
    const directory = writeFiles(t, { url: 'postgres://db/a\n', level: 'debug' });
    const env = {
      DATABASE_URL: '',
      DATABASE_URL_FILE: join(directory, 'url'),
      SMTP_RELAY_LOG_LEVEL_FILE: join(directory, 'level'),
    };
    const loaded = load(env);
    assert.equal(loaded.config.databaseUrl, 'postgres://db/a');
    assert.equal(loaded.config.logLevel, 'debug');
    assert.equal(sourceOf(loaded, 'databaseUrl'), `secret:${join(directory, 'url')}`);
    assert.deepEqual(loaded.warnings, []);
  });

  it('cannot be set together with NAME', t => {
    const directory = writeFiles(t, { port: '2525' });
    const problem = onlyProblem({ SMTP_RELAY_PORT: '2526', SMTP_RELAY_PORT_FILE: join(directory, 'port') });
    assert.equal(problem.why, 'SMTP_RELAY_PORT and SMTP_RELAY_PORT_FILE are both set');
    assert.equal(problem.source, 'env:SMTP_RELAY_PORT_FILE');
  });

  it('counts as alone beside an empty NAME, and beside what a service link puts into it', t => {
    const file = join(writeFiles(t, { port: '2525' }), 'port');
    for (const value of ['', 'tcp://10.0.0.1:2587']) {
      assert.equal(load({ SMTP_RELAY_PORT: value, SMTP_RELAY_PORT_FILE: file }).config.port, 2525);
    }
  });

  it('must name a readable file with a right value', t => {
    const file = join(writeFiles(t, { port: 'many\n' }), 'port');
    assert.match(onlyProblem({ SMTP_RELAY_PORT_FILE: file }).why, /"many" is not a whole number/);
    const missing = onlyProblem({ DATABASE_URL: '', DATABASE_URL_FILE: '/nonexistent/url' });
    assert.equal(missing.setting, 'databaseUrl');
    assert.equal(missing.source, 'secret:/nonexistent/url');
    assert.match(missing.why, /does not exist/);
    assert.match(missing.fix, /DATABASE_URL_FILE/);
  });
});

describe('secrets', () => {
  const SECRET = 'hunter2';

  const wrongUrls = [
    `mysql://u:${SECRET}@db/x`,
    `postgres://u:${SECRET}#@db:x/y`,
    `postgres://u:${SECRET}%@db/x`,
    ` ${SECRET} `,
  ];
  for (const url of wrongUrls) {
    it(`do not stand in the error for ${JSON.stringify(url.replace(SECRET, '…'))}, from any source`, t => {
      const directory = writeFiles(t, { 'a.yaml': `databaseUrl: ${JSON.stringify(url)}\n`, DATABASE_URL: url });
      const sources: NodeJS.ProcessEnv[] = [
        { DATABASE_URL: url },
        { DATABASE_URL: '', DATABASE_URL_FILE: join(directory, 'DATABASE_URL') },
        { SMTP_RELAY_SECRETS_DIR: directory },
        { SMTP_RELAY_CONFIG: join(directory, 'a.yaml') },
      ];
      for (const env of sources) {
        const error = loadError(env);
        assert.ok(error.message.includes('databaseUrl'));
        assert.ok(!inspect(error, { depth: 9 }).includes(SECRET), error.message);
      }
    });
  }

  const brokenFiles = [
    `databaseUrl: "\\x${SECRET}"\n`,
    `databaseUrl: *${SECRET}\n`,
    `databaseUrl: !${SECRET} x\n`,
    `databaseUrl: &${SECRET} &${SECRET} x\n`,
    `databaseUrl: |${SECRET}\n  x\n`,
    `%${SECRET}\n---\nport: 1\n`,
    `databaseUrl: postgres://u:${SECRET}@db: x\n`,
    `postgres://u:${SECRET}@db/x\n`,
    `postgres://u:${SECRET}@db/x:\n`,
    `databaseUrl: "${SECRET}\n`,
    `port:\n- ${SECRET}\n`,
  ];
  for (const text of brokenFiles) {
    it(`do not stand in the error for the file ${JSON.stringify(text.replaceAll(SECRET, '…'))}`, t => {
      const path = join(writeFiles(t, { 'relay.yaml': text }), 'relay.yaml');
      const error = loadError({ SMTP_RELAY_CONFIG: path });
      assert.ok(!inspect(error, { depth: 9 }).includes(SECRET), error.message);
    });
  }

  it('do not stand in the error where a URL with a password is put into another setting', () => {
    const error = loadError({ BACKGROUND_JOBS_QUEUE_URL: DATABASE_URL, SMTP_RELAY_HOST: DATABASE_URL });
    assert.match(error.message, /\*\*\*@db\.example\.com/);
    assert.doesNotMatch(error.message, /pa55word/);
  });

  it('are not shown among the effective settings', () => {
    const rows = renderEffective(load({ BACKGROUND_JOBS_QUEUE_URL: `https://u:${SECRET}@sqs.example.com/1/jobs` }));
    const shown = new Map(rows.map(({ name, value }) => [name, value]));
    assert.equal(shown.get('databaseUrl'), '***');
    assert.equal(shown.get('queueUrl'), 'https://***@sqs.example.com/1/jobs');
    assert.doesNotMatch(JSON.stringify(rows), /hunter2|pa55word/);
  });

  it('that are not set are shown as empty', () => {
    const rows = renderEffective(load({ DATABASE_URL: '' }, { require: [] }));
    assert.equal(rows.find(({ name }) => name === 'databaseUrl')?.value, '');
  });

  it('inside a URL are hidden without touching other text', () => {
    assert.equal(hideCredentials('https://sqs.example.com/a@b'), 'https://sqs.example.com/a@b');
    assert.equal(hideCredentials('https://u:p@host/a'), 'https://***@host/a');
    assert.equal(hideCredentials('https://u:p@ss@host/a'), 'https://***@host/a');
    assert.equal(hideCredentials('u:p@host'), '***@host');
    assert.equal(hideCredentials('plain'), 'plain');
  });
});
