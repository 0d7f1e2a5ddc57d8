import assert from 'node:assert/strict';
import { randomBytes, randomUUID } from 'node:crypto';
import { describe, it } from 'node:test';
import { Webhook } from 'standardwebhooks';
import { createSecretBox } from '../../src/webhooks/signing.ts';
import { createDatabase } from '../support/database.ts';
import { withClient } from '../support/postgres-server.ts';
import { makeCertificate } from '../support/tls.ts';
import { answer, startReceiver } from '../webhooks/receiver.ts';
import { runCli, runInProcess } from './run-cli.ts';

interface TestContext {
  after(fn: () => Promise<void>): void;
}

const newKey = () => randomBytes(32).toString('base64');

function runCommand(args: readonly string[], env: Record<string, string>) {
  return runInProcess(['webhooks', ...args], { SMTP_RELAY_DATABASE_CONNECT_TIMEOUT: '60s', ...env });
}

async function setUp(t: TestContext) {
  const url = await createDatabase(t);
  const key = newKey();
  const env = {
    DATABASE_URL: url,
    SMTP_RELAY_WEBHOOKS_SECRET_KEYS: key,
    SMTP_RELAY_WEBHOOKS_ALLOWED_NETWORKS: '127.0.0.0/8',
  };
  const run = (args: string[], others: Record<string, string> = {}) => runCommand(args, { ...env, ...others });
  return {
    env,
    key,
    run,
    async json(...args: string[]) {
      const { code, stdout, stderr } = await run([...args, '--json']);
      assert.equal(code, 0, stderr);
      return JSON.parse(stdout);
    },
    query: async (sql: string, values: unknown[] = []) =>
      withClient(url, async client => (await client.query(sql, values)).rows),
  };
}

describe('smtp-relay webhooks', { concurrency: true }, () => {
  it('creates one, shows its secret once, and keeps it encrypted', async t => {
    const { run, json, query, key } = await setUp(t);
    const created = await json(
      'create',
      'https://acme.test/hook',
      '--owner',
      'acme',
      '--events',
      'email.bounced,email.sent',
    );
    assert.match(created.secret, /^whsec_/);
    assert.deepEqual([created.status, created.events], ['active', ['email.bounced', 'email.sent']]);
    const [row] = await query('select * from webhooks');
    assert.deepEqual([row.url, row.user_id, row.event_types], ['https://acme.test/hook', 'acme', created.events]);
    assert.ok(!row.signing_secret_enc.includes(created.secret.slice(6)));
    assert.equal(createSecretBox([key]).open(row.signing_secret_enc, row.id), created.secret);
    const other = await run(['create', 'https://acme.test/all', '--owner', 'acme']);
    assert.match(other.stdout, /^Secret: +whsec_\S+$/m);
    assert.match(other.stdout, /^Events: +all$/m);
    assert.match(other.stderr, /cannot be shown again/);
    const listed = await run(['list', '--owner', 'acme']);
    assert.match(listed.stdout, /active .* https:\/\/acme\.test\/hook +email\.bounced, email\.sent\n/);
    assert.doesNotMatch(listed.stdout + JSON.stringify(await json('list')), /whsec_|v1\./);
    assert.deepEqual(await json('list', '--owner', 'other'), []);
  });

  it('says what is wrong', async t => {
    const { run, query } = await setUp(t);
    const noKey = await run(['create', 'https://acme.test/', '--owner', 'acme'], {
      SMTP_RELAY_WEBHOOKS_SECRET_KEYS: '',
    });
    assert.equal(noKey.code, 1);
    assert.match(noKey.stderr, /openssl rand -base64 32.*SMTP_RELAY_WEBHOOKS_SECRET_KEYS/);
    for (const args of [
      ['create', 'https://acme.test/'],
      ['create', 'https://user:pw@acme.test/', '--owner', 'acme'],
      ['create', 'ftp://acme.test/', '--owner', 'acme'],
      ['create', 'https://acme.test/', '--owner', 'acme', '--events', 'email.none'],
      ['create', 'https://acme.test/', '--owner', ''],
      ['rotate', randomUUID(), '--overlap', 'long'],
      ['replay'],
      ['replay', 'x'],
      ['deliveries', '--status', 'lost'],
    ]) {
      assert.equal((await run(args)).code, 2, args.join(' '));
    }
    for (const command of ['rotate', 'test', 'enable', 'delete']) {
      const missing = await run([command, randomUUID()]);
      assert.equal(missing.code, 1, command);
      assert.match(missing.stderr, /no webhook has the id/);
    }
    assert.deepEqual(await query('select from webhooks'), []);
  });

  it('sends a signed test, and shows the answer', async t => {
    const { run, json } = await setUp(t);
    const receiver = await startReceiver(t);
    const { id, secret } = await json('create', receiver.url, '--owner', 'acme');
    const result = await json('test', id);
    assert.deepEqual([result.ok, result.statusCode, result.answer], [true, 200, 'taken']);
    const [request] = receiver.received;
    assert.ok(request);
    const body = new Webhook(secret).verify(request.body.toString(), request.headers as Record<string, string>);
    assert.deepEqual(body, JSON.parse(request.body.toString()));
    assert.equal((body as { type: string }).type, 'email.test');
    const { secret: fresh } = await json('rotate', id);
    await json('test', id);
    const both = receiver.received[1];
    assert.ok(both);
    for (const either of [secret, fresh]) {
      new Webhook(either).verify(both.body.toString(), both.headers as Record<string, string>);
    }
    receiver.behave(answer(404, 'who?'));
    const failed = await run(['test', id]);
    assert.equal(failed.code, 1);
    assert.match(failed.stdout, /^Status: +404$[\s\S]*^who\?$/m);
    const refused = await run(['test', id], { SMTP_RELAY_WEBHOOKS_ALLOWED_NETWORKS: '' });
    assert.equal(refused.code, 1);
    assert.match(refused.stdout, /refused: the address of the endpoint is not a public one/);
    assert.equal(receiver.received.length, 3);
  });

  it('signs the test by the clock that workers sign by, however wrong that of this machine is', async t => {
    const { env, json, run, query } = await setUp(t);
    const receiver = await startReceiver(t);
    const { id } = await json('create', receiver.url, '--owner', 'acme');
    await query('create schema fast');
    await query(`create function fast.clock_timestamp() returns timestamptz language sql
                 as $$ select pg_catalog.clock_timestamp() + interval '1 hour' $$`);
    const url = new URL(env.DATABASE_URL);
    url.searchParams.set('options', '-c search_path=fast,pg_catalog,public');
    const { code, stderr } = await run(['test', id], { DATABASE_URL: url.href });
    assert.equal(code, 0, stderr);
    const signedAt = Number(receiver.received[0]?.headers['webhook-timestamp']);
    assert.ok(Math.abs(signedAt - (Date.now() / 1000 + 3_600)) < 60, `${signedAt}`);
  });

  it('speaks TLS to endpoints whose certificate is good, and to no others', async t => {
    const { run, json, env } = await setUp(t);
    const certificate = await makeCertificate(t);
    const receiver = await startReceiver(t, certificate);
    const { id } = await json('create', receiver.url.replace('127.0.0.1', 'localhost'), '--owner', 'acme');
    assert.match((await run(['test', id])).stdout, /could not be reached: [A-Z_]*(?:CERT|VERIFY)[A-Z_]*$/m);
    const trusting = await runCli(['webhooks', 'test', id], { ...env, NODE_EXTRA_CA_CERTS: certificate.caPath });
    assert.equal(trusting.code, 0, trusting.stderr);
    assert.equal(receiver.received.length, 1);
  });

  it('rotates a secret with an overlap, and re-encrypts all with a new key', async t => {
    const { run, json, query, key } = await setUp(t);
    const { id, secret } = await json('create', 'https://acme.test/hook', '--owner', 'acme');
    const rotated = await json('rotate', id);
    assert.notEqual(rotated.secret, secret);
    assert.ok(Math.abs(Date.parse(rotated.previousSecretUntil) - (Date.now() + 86_400_000)) < 60_000);
    const fresh = newKey();
    const rekeyed = await run(['rekey', '--json'], { SMTP_RELAY_WEBHOOKS_SECRET_KEYS: `${fresh},${key}` });
    assert.deepEqual(JSON.parse(rekeyed.stdout), { rekeyed: 1, unreadable: [] });
    const [stored] = await query(
      'select w.signing_secret_enc as current, s.previous_secret_enc as previous from webhooks w join smtp_relay_webhooks s on s.webhook_id = w.id',
    );
    const box = createSecretBox([fresh]);
    assert.deepEqual([box.open(stored.current, id), box.open(stored.previous, id)], [rotated.secret, secret]);
    const at = await run(['rotate', id, '--overlap', '0s'], { SMTP_RELAY_WEBHOOKS_SECRET_KEYS: fresh });
    assert.match(at.stdout, /the old secret is out of use/);
    assert.deepEqual(await query('select previous_secret_enc from smtp_relay_webhooks'), [
      { previous_secret_enc: null },
    ]);
  });

  it('takes secrets that another program wrote for what they are', async t => {
    const { run, json, query, key } = await setUp(t);
    const { id: foreign } = await json('create', 'https://acme.test/foreign', '--owner', 'acme');
    const { id: mended } = await json('create', 'https://acme.test/mended', '--owner', 'acme');
    await query("update webhooks set signing_secret_enc = 'whsec_c2VjcmV0'");
    const tested = await run(['test', foreign]);
    assert.deepEqual([tested.code, tested.stdout], [1, '']);
    assert.match(tested.stderr, /not written by smtp-relay/);
    const { secret } = await json('rotate', mended);
    assert.deepEqual(await json('rekey'), { rekeyed: 1, unreadable: [foreign] });
    const rekeyed = await run(['rekey']);
    assert.match(rekeyed.stderr, new RegExp(`${foreign}: they stay as they are[^]*webhooks rotate`));
    const stored = await query(
      `select w.id, signing_secret_enc as current, previous_secret_enc as previous
         from webhooks w left join smtp_relay_webhooks s on s.webhook_id = w.id order by url`,
    );
    assert.deepEqual(stored[0], { id: foreign, current: 'whsec_c2VjcmV0', previous: null });
    assert.deepEqual(
      [createSecretBox([key]).open(stored[1].current, mended), stored[1].previous],
      [secret, 'whsec_c2VjcmV0'],
    );
  });

  it('lists deliveries, replays those that failed, enables and deletes', async t => {
    const { run, json, query } = await setUp(t);
    const { id } = await json('create', 'https://acme.test/hook', '--owner', 'acme');
    const { id: other } = await json('create', 'https://acme.test/other', '--owner', 'acme');
    const [{ email_id: emailId }] = await query(
      `with email as (insert into emails ("from", "to", subject, user_id) values ('a@acme.test', '[]', '', 'acme') returning id),
            event as (insert into email_events (email_id, type, payload, user_id) select id, 'bounced', '{}', 'acme' from email returning id, email_id)
       insert into webhook_deliveries (webhook_id, event_id, attempt, status, status_code, response_body, created_at, next_retry_at)
       select webhook::uuid, event.id, 7, status, 500, 'broken', now() - age::interval, null
         from event, (values ($1, 'dead_letter', '1h'), ($1, 'success', '1h'), ($1, 'dead_letter', '3d'), ($2, 'dead_letter', '1h')) d (webhook, status, age)
       returning (select email_id from event)`,
      [id, other],
    );
    const listed = await json('deliveries', '--webhook', id, '--status', 'dead_letter');
    assert.equal(listed.length, 2);
    const [{ event, answer: body, statusCode, attempts, emailId: about, ...newest }] = listed;
    assert.deepEqual([event, body, statusCode, attempts, about], ['email.bounced', 'broken', 500, 7, emailId]);
    assert.equal((await json('deliveries', '--email', emailId)).length, 4);
    assert.equal((await json('deliveries', '--since', '1d')).length, 3);
    assert.deepEqual(await json('deliveries', '--owner', 'other'), []);
    assert.match((await run(['deliveries'])).stdout, /dead_letter +7 +- +email\.bounced/);

    assert.deepEqual(await json('replay', '--webhook', id, '--since', '1d'), { replayed: 1 });
    const due = `select id, webhook_id, attempt from webhook_deliveries where status = 'pending' and next_retry_at <= now()`;
    assert.deepEqual(await query(due), [{ id: newest.id, webhook_id: id, attempt: 0 }]);
    await query(`update webhooks set status = 'disabled' where id = $1`, [other]);
    const disabled = await run(['replay', '--webhook', other]);
    assert.equal(disabled.code, 1);
    assert.match(disabled.stderr, /is disabled; first: smtp-relay webhooks enable/);
    const parked = await query(
      `insert into webhook_deliveries (webhook_id, event_id, attempt, status)
       select $1, id, 2, 'parked' from email_events limit 1 returning id`,
      [other],
    );
    assert.equal((await json('deliveries', '--status', 'parked')).length, 1);
    const enabled = await json('enable', other);
    assert.deepEqual([enabled.status, enabled.resumed], ['active', 1]);
    const resumed = `delete from webhook_deliveries where id = $1 returning status, attempt, next_retry_at <= now() as due`;
    assert.deepEqual(await query(resumed, [parked[0].id]), [{ status: 'failed', attempt: 2, due: true }]);
    const [left] = await json('deliveries', '--webhook', other);
    assert.deepEqual(await json('replay', left.id), { replayed: 1 });
    assert.deepEqual(await json('replay', '--owner', 'acme'), { replayed: 1 });

    await json('delete', id);
    assert.deepEqual(
      (await json('list')).map((row: { id: string }) => row.id),
      [other],
    );
    assert.deepEqual(await query('select distinct webhook_id from webhook_deliveries'), [{ webhook_id: other }]);
  });
});
