import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { describe, it } from 'node:test';
import { findByHash, findById } from '../../src/store/keys/api-keys.ts';
import { runInProcess } from '../cli/run-cli.ts';
import { createSystem, document, SECRET_KEY } from './support.ts';

const SECRET = `whsec_${Buffer.alloc(32, 7).toString('base64')}`;
const KEY = 'os_live_0123456789abcdef';
const HASH = createHash('sha256').update(KEY).digest('hex');

async function setUp(t: Parameters<typeof createSystem>[0]) {
  const system = await createSystem(t);
  await system.rows(
    "insert into email_suppressions (user_id, email, reason) values ('acme', 'hand@example.com', 'manual')",
  );
  await system.secrets.write('key', KEY);
  await system.secrets.write('hook', SECRET);
  await system.documents.write(
    'acme.yaml',
    [
      document('SmtpCredential', 'billing', { owner: 'acme', keyFile: 'key' }),
      document('SendingDomain', 'acme', { owner: 'acme', name: 'acme.test' }),
      document('SuppressionList', 'never', { owner: 'acme', addresses: ['gone@example.com', 'hand@example.com'] }),
      document('WebhookEndpoint', 'hooks', { owner: 'acme', url: 'https://acme.test/hooks', secretFile: 'hook' }),
    ].join(''),
  );
  await system.reconcile();
  const env = { DATABASE_URL: system.databaseUrl, SMTP_RELAY_WEBHOOKS_SECRET_KEYS: SECRET_KEY };
  return { ...system, cli: (...args: string[]) => runInProcess(args, env) };
}

describe('what a document declares is not removed or changed by hand', () => {
  it('but refused with the name and the file of the document', async t => {
    const { cli, rows, documents } = await setUp(t);
    const [hook] = await rows('select id from webhooks');
    for (const [object, ...args] of [
      ['SmtpCredential/billing', 'keys', 'revoke', 'billing'],
      ['SmtpCredential/billing', 'keys', 'revoke', KEY],
      ['SendingDomain/acme', 'domains', 'remove', 'acme.test'],
      ['SendingDomain/acme', 'domains', 'set', 'acme.test', '--track-opens'],
      ['SuppressionList/never', 'suppressions', 'remove', 'Gone@example.com', '--owner', 'acme'],
      ['SuppressionList/never', 'suppressions', 'remove', 'hand@example.com', '--owner', 'acme'],
      ['WebhookEndpoint/hooks', 'webhooks', 'delete', hook.id],
      ['WebhookEndpoint/hooks', 'webhooks', 'rotate', hook.id],
    ]) {
      const { code, stdout, stderr } = await cli(...(args as string[]));
      assert.deepEqual([code, stdout], [1, ''], stderr);
      assert.ok(stderr.includes(`${object} in ${documents.path}/acme.yaml declares this `), stderr);
    }
    const COUNT = `select (select count(*) from api_keys)::int as keys, (select count(*) from domains)::int as domains,
      (select count(*) from email_suppressions)::int as suppressions, (select count(*) from webhooks)::int as webhooks`;
    assert.deepEqual(await rows(COUNT), [{ keys: 1, domains: 1, suppressions: 2, webhooks: 1 }]);
  });

  it('and what none declares goes as before', async t => {
    const { cli, rows } = await setUp(t);
    await rows("insert into email_suppressions (user_id, email, reason) values ('acme', 'own@example.com', 'manual')");
    await rows("insert into domains (name, user_id) values ('own.test', 'acme')");
    await rows("insert into api_keys (name, token_hash, user_id) values ('own', 'x', 'acme')");
    for (const args of [
      ['suppressions', 'remove', 'own@example.com', '--owner', 'acme'],
      ['domains', 'remove', 'own.test'],
      ['keys', 'revoke', 'own'],
    ]) {
      const { code, stderr } = await cli(...args);
      assert.equal(code, 0, stderr);
    }
  });
});

describe('keys revoke --block', () => {
  it('wins over documents: the key is refused, its row and its document stay, and it is told of', async t => {
    const system = await setUp(t);
    const { cli, rows, pool } = system;
    const [{ id }] = await rows('select id from api_keys');
    const blocked = await cli('keys', 'revoke', 'billing', '--block', '--json');
    assert.deepEqual([blocked.code, JSON.parse(blocked.stdout).blocked], [0, true]);
    assert.deepEqual([await findByHash(pool, HASH), await findById(pool, id)], [null, null]);
    const listed = await cli('resources', 'status', '--json');
    const of = JSON.parse(listed.stdout).find(({ name }: { name: string }) => name === 'billing');
    assert.deepEqual([of.ready, of.reason], ['False', 'Blocked'], 'before the reconciler looks');
    assert.match((await cli('keys', 'list')).stdout, / blocked /);

    const pass = await system.reconcile();
    assert.deepEqual([pass.written, pass.changes.updated], [[], 0], 'it finds the same');
    assert.equal((await system.status('SmtpCredential', 'billing'))?.reason, 'Blocked');
    assert.equal(await findByHash(pool, HASH), null);
    // The same key in another document, under another name.
    await system.documents.write('acme.yaml', document('SmtpCredential', 'other', { owner: 'acme', keyFile: 'key' }));
    await system.reconcile();
    assert.deepEqual(
      [await findByHash(pool, HASH), (await system.status('SmtpCredential', 'other'))?.reason],
      [null, 'Blocked'],
    );

    const unblocked = await cli('keys', 'unblock', KEY);
    assert.deepEqual([unblocked.code, unblocked.stdout.startsWith('Unblocked os_live_')], [0, true]);
    assert.equal((await system.status('SmtpCredential', 'other'))?.reason, 'Applied');
    assert.equal((await findByHash(pool, HASH))?.userId, 'acme');
    assert.deepEqual((await system.reconcile()).written, []);
  });

  it('is of the key: another one in the file is good', async t => {
    const system = await setUp(t);
    const { cli, pool } = system;
    await cli('keys', 'revoke', 'billing', '--block');
    await system.secrets.write('key', 'os_live_another_one');
    await system.reconcile();
    assert.equal((await system.status('SmtpCredential', 'billing'))?.reason, 'Applied');
    assert.ok(await findByHash(pool, createHash('sha256').update('os_live_another_one').digest('hex')));
    assert.equal(await findByHash(pool, HASH), null);
  });

  it('also of a key that no document declares, and that a dashboard makes again', async t => {
    const { cli, rows, pool } = await setUp(t);
    const make = () => rows("insert into api_keys (name, token_hash, user_id) values ('own', $1, 'acme')", ['x']);
    await make();
    assert.equal((await cli('keys', 'revoke', 'own', '--block')).code, 0);
    await rows("delete from api_keys where name = 'own'");
    await make();
    assert.equal(await findByHash(pool, 'x'), null);
    assert.equal((await cli('keys', 'unblock', 'own')).code, 0);
    assert.ok(await findByHash(pool, 'x'));
    const twice = await cli('keys', 'unblock', 'own');
    assert.deepEqual([twice.code, twice.stderr], [1, 'smtp-relay: the key is not blocked\n']);
  });
});
