import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { document } from '../declared/support.ts';
import { createDatabase } from '../support/database.ts';
import { openPool } from '../support/pool.ts';
import { runInProcess } from './run-cli.ts';

type TestContext = Parameters<typeof createDatabase>[0];

async function openSend(t: TestContext) {
  const url = await createDatabase(t, { pipeline: 'opensend' });
  const db = openPool(url, 1);
  t.after(() => db.end());
  return { db, run: (...args: string[]) => runInProcess(args, { DATABASE_URL: url }) };
}

async function folder(t: TestContext, files: Readonly<Record<string, string>>): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'smtp-relay-beside-'));
  t.after(() => rm(path, { recursive: true, force: true }));
  for (const [name, content] of Object.entries(files)) await writeFile(join(path, name), content);
  return path;
}

const ID = '0b8f7a52-3c1e-4d8e-9a5e-2f1f6f3f7c11';

describe('beside OpenSend', { concurrency: true }, () => {
  it('every command of webhooks is refused, and says whose they are', async t => {
    const { db, run } = await openSend(t);
    await db.query("insert into webhooks (id, url, event_types, user_id) values ($1, 'https://a.test', '[]', 'acme')", [
      ID,
    ]);
    for (const args of [
      ['create', 'https://acme.test/hook', '--owner', 'acme'],
      ['list'],
      ['test', ID],
      ['rotate', ID],
      ['rekey'],
      ['deliveries'],
      ['replay', ID],
      ['enable', ID],
      ['delete', ID],
    ]) {
      const { code, stdout, stderr } = await run('webhooks', ...args);
      assert.deepEqual([code, stdout], [2, ''], args.join(' '));
      assert.match(
        stderr,
        /^smtp-relay: this database is OpenSend's, whose dashboard manages webhooks: .*Use the dashboard/,
      );
    }
    assert.equal((await db.query('select from webhooks')).rowCount, 1);
    assert.equal((await run('webhooks', 'create', '--help')).code, 0);
  });

  it('declared webhooks and routes are refused, each with a sentence, and the rest is brought about, once', async t => {
    const { db, run } = await openSend(t);
    await db.query("insert into domains (id, name, user_id) values ($1, 'ACME.test', 'acme')", [ID]);
    const hash = 'a'.repeat(64);
    const documents = await folder(t, {
      'all.yaml': [
        document('WebhookEndpoint', 'hook', { owner: 'acme', url: 'https://acme.test/h', secretFile: 'secret' }),
        document('Route', 'news', { domains: ['news.test'], transport: 'capture', capture: { directory: '/tmp/x' } }),
        document('SendingDomain', 'new', { owner: 'acme', name: 'new.test' }),
        document('SmtpCredential', 'known', { owner: 'acme', domain: 'Acme.test', keyHash: hash }),
        document('SmtpCredential', 'unknown', { owner: 'acme', domain: 'later.test', keyHash: 'b'.repeat(64) }),
      ].join(''),
      secret: `whsec_${Buffer.alloc(32, 1).toString('base64')}`,
    });
    const apply = () => run('resources', 'apply', documents, '--secrets', documents, '--json');
    const first = await apply();
    const changes = JSON.parse(first.stdout).changes.map(
      (change: Record<'kind' | 'name' | 'action' | 'reason', string>) => [
        change.kind,
        change.name,
        change.action,
        change.reason,
      ],
    );
    assert.equal(first.code, 1);
    assert.deepEqual(changes, [
      ['Route', 'news', 'none', 'NotBesideOpenSend'],
      ['SendingDomain', 'new', 'create', 'Applied'],
      ['SmtpCredential', 'known', 'create', 'Applied'],
      ['SmtpCredential', 'unknown', 'create', 'Applied'],
      ['WebhookEndpoint', 'hook', 'none', 'NotBesideOpenSend'],
    ]);
    assert.match(first.stdout, /OpenSend's dashboard manages webhooks/);
    assert.equal((await db.query('select from webhooks')).rowCount, 0);
    const keys = await db.query('select name, domain from api_keys order by name');
    assert.deepEqual(keys.rows, [
      { name: 'known', domain: ID },
      { name: 'unknown', domain: 'later.test' },
    ]);
    const again = JSON.parse((await apply()).stdout).changes;
    assert.deepEqual(
      again.filter(({ action }: { action: string }) => action !== 'none'),
      [],
    );
  });

  it('a declared key whose domain has gone, or is another by now, is mended', async t => {
    const { db, run } = await openSend(t);
    await db.query("insert into domains (id, name, user_id) values ($1, 'acme.test', 'acme')", [ID]);
    const spec = { owner: 'acme', domain: 'acme.test', keyHash: 'a'.repeat(64) };
    const documents = await folder(t, { 'a.yaml': document('SmtpCredential', 'key', spec) });
    const apply = () => run('resources', 'apply', documents, '--secrets', documents);
    const stored = async () => (await db.query('select domain from api_keys')).rows[0].domain;
    await apply();
    assert.equal(await stored(), ID);
    await db.query("update domains set name = 'other.test'");
    assert.match((await apply()).stdout, /^update +SmtpCredential +key +domain/m);
    assert.equal(await stored(), 'acme.test');
    await db.query("update domains set name = 'acme.test'");
    assert.equal((await apply()).stdout, 'Nothing to do.\n');
    await db.query('update api_keys set domain = $1', [ID.replace('0', '1')]);
    await apply();
    assert.equal(await stored(), ID);
    const open = { ...spec, domain: undefined };
    await writeFile(join(documents, 'a.yaml'), document('SmtpCredential', 'key', open));
    await apply();
    assert.equal(await stored(), null);
    // Restricted to nothing is not the same as not restricted.
    await db.query('update api_keys set domain = $1', [ID.replace('0', '1')]);
    await apply();
    assert.equal(await stored(), null);
  });

  it('a domain gets what its table wants', async t => {
    const { db, run } = await openSend(t);
    const added = await run('domains', 'add', 'acme.test', '--owner', 'acme');
    assert.equal(added.code, 0);
    assert.match(added.stderr, /OpenSend's dashboard manages the domains of this database/);
    for (const tls of ['enforced', 'none']) {
      const { code, stderr } = await run('domains', 'set', 'acme.test', '--tls', tls);
      assert.equal(code, 0, stderr);
    }
    const { rows } = await db.query('select name, tls, status, created_at is not null as dated from domains');
    assert.deepEqual(rows, [{ name: 'acme.test', tls: 'opportunistic', status: 'not_started', dated: true }]);
  });
});

describe('several rows of one name', { concurrency: true }, () => {
  it('are told apart by their ids, and by their owners where those do', async t => {
    const { db, run } = await openSend(t);
    const other = ID.replace('0', '1');
    await db.query(
      `insert into domains (id, name, user_id) values ($1, 'acme.test', 'acme'), ($2, 'ACME.test', 'acme')`,
      [ID, other],
    );
    const remove = (...args: string[]) => run('domains', 'remove', ...args);
    const both = await remove('acme.test', '--owner', 'acme');
    assert.equal(both.code, 1);
    assert.match(both.stderr, new RegExp(`2 domains are called acme\\.test; name one by its id: .*${other}`));
    assert.equal((await remove(other, '--owner', 'nobody')).code, 1);
    assert.equal((await remove(other)).stdout, 'ACME.test is no longer a domain of acme.\n');
    await db.query("insert into domains (name, user_id) values ('acme.test', 'other')");
    assert.match((await remove('acme.test')).stderr, /belongs to several owners; name one with --owner: /);
  });
});

describe('settings that only the standalone pipeline has', { concurrency: true }, () => {
  const SET = {
    SMTP_RELAY_RETENTION_RAW: '1d',
    SMTP_RELAY_TRANSPORT: 'capture',
    SMTP_RELAY_EVENTS_QUEUE_URL: 'https://sqs.us-east-1.amazonaws.com/1/events',
    SMTP_RELAY_WEBHOOKS_TIMEOUT: '5s',
    SMTP_RELAY_PUBLIC_PORT: '8081',
    TRACKING_BASE_URL: 'https://track.acme.test',
    TRACKING_SECRET: 'not to be shown at all',
  };
  // Not about SES alone.
  const other = {
    AWS_ENDPOINT_URL: 'http://127.0.0.1:9',
    SMTP_RELAY_FAIR_QUEUE: 'true',
    SMTP_RELAY_PUBLISHING_CONCURRENCY: '2',
  };
  const check = async (env: Record<string, string>): Promise<string[]> => {
    const { code, stdout } = await runInProcess(['config', 'check', '--json'], {
      DATABASE_URL: 'postgres://h/d',
      ...env,
    });
    assert.equal(code, 0);
    return JSON.parse(stdout).warnings;
  };

  it('are warned of beside OpenSend, each with a sentence, where they are set', async () => {
    const warnings = await check({ ...SET, ...other });
    const expected = Object.keys(SET).map(
      variable =>
        new RegExp(`set \\(env:${variable}\\), but without effect in the pipeline opensend\\. OpenSend.*\\.$`),
    );
    for (const pattern of expected)
      assert.equal(warnings.filter(text => pattern.test(text)).length, 1, String(pattern));
    assert.equal(warnings.length, expected.length);
    assert.ok(!warnings.join().includes(SET.TRACKING_SECRET));
    assert.deepEqual(await check(other), []);
  });

  it('are not standalone', async () => {
    assert.deepEqual(await check({ ...SET, ...other, SMTP_RELAY_PIPELINE: 'standalone' }), []);
  });
});
