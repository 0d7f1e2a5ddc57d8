import assert from 'node:assert/strict';
import { randomBytes, randomUUID } from 'node:crypto';
import { after, describe, it } from 'node:test';
import { createEventIntake } from '../../src/events/intake.ts';
import { createEventsMetrics } from '../../src/events/metrics.ts';
import { createRegistry } from '../../src/observability/metrics.ts';
import { createPool } from '../../src/postgres/pool.ts';
import { createWebhook } from '../../src/store/webhooks/webhooks.ts';
import { createSecretBox, newSecret } from '../../src/webhooks/signing.ts';
import { ses } from '../events/support/ses.ts';
import { SILENT } from '../events/support/system.ts';
import { Senders } from '../faults/support/sender.ts';
import { createDatabase } from '../support/database.ts';
import { eventually } from '../support/eventually.ts';
import { needs } from '../support/needs.ts';
import { seedOwner } from '../support/owner.ts';
import { startPgBouncer } from '../support/pgbouncer.ts';
import { withClient } from '../support/postgres-server.ts';
import { startRelay, type TestContext } from '../support/relay.ts';
import { emailIdOf, messageFrom, SmtpClient } from '../support/smtp-client.ts';
import { startWorker } from '../support/worker.ts';
import { startReceiver } from '../webhooks/receiver.ts';

const FROM = 'a@acme.test';

/** What a session keeps beyond a transaction. */
const SESSION = `
  select current_setting('statement_timeout') as statement_timeout,
         current_setting('idle_in_transaction_session_timeout') as idle_timeout,
         current_setting('lock_timeout') as lock_timeout,
         current_setting('synchronous_commit') as synchronous_commit,
         current_setting('plan_cache_mode') as plan_cache_mode,
         (select count(*)::int from pg_locks where locktype = 'advisory' and pid = pg_backend_pid()) as locks,
         (select count(*)::int from pg_listening_channels()) as channels,
         (select count(*)::int from pg_prepared_statements where name <> '') as statements,
         (select count(*)::int from pg_class where relpersistence = 't') as temporary_tables`;

/** Relay and worker on one database behind PgBouncer; migrations go past it, as an operator has it. */
async function startSystem(t: TestContext, poolSize: number) {
  const parts = new AsyncDisposableStack();
  t.after(() => parts.disposeAsync());
  const context = { after: (fn: () => Promise<void>) => parts.defer(fn) };
  const direct = await createDatabase(context, { empty: true });
  const bouncer = await startPgBouncer(context, direct, poolSize);
  const databaseUrl = bouncer.through(direct);
  const key = randomBytes(32).toString('base64');
  const shared = { pipeline: 'standalone', transport: 'capture', migrationsDatabaseUrl: direct };
  const relay = await startRelay(context, {
    queue: false,
    // The tables are made as the relay starts, so that there is no owner yet.
    shareWith: { databaseUrl, owner: { userId: 'acme', domain: 'acme.test', apiKey: '', keyId: '' } },
    settings: shared,
  });
  const owner = await seedOwner(relay.db, { userId: 'acme' });
  const worker = await startWorker(context, {
    databaseUrl,
    settings: {
      ...shared,
      // A claim whose answer was lost is free again after that.
      'worker.leaseTime': 3_000,
      'webhooks.secretKeys': [key],
      'webhooks.allowedNetworks': ['127.0.0.1/32'],
    },
  });
  return { direct, bouncer, databaseUrl, key, relay: { ...relay, owner }, worker };
}

describe('through PgBouncer in transaction mode', { skip: needs('pgbouncer') }, async () => {
  // With one connection for all, a transaction that needed a second one would wait for ever, and whatever a session
  // keeps would be met by all others.
  const system = await startSystem({ after }, 1);
  const { relay, worker, bouncer, databaseUrl, direct } = system;
  const statusOf = async (id: string) =>
    (await worker.db.query('select status from emails where id = $1', [id])).rows[0]?.status;

  it('relay and worker take, send and tell', async t => {
    const receiver = await startReceiver(t);
    const webhook = { id: randomUUID(), owner: 'acme', url: receiver.url, events: ['*'] };
    const secret = createSecretBox([system.key]).seal(newSecret(), webhook.id);
    await createWebhook(worker.db, { ...webhook, secret });
    const client = await SmtpClient.loggedIn(t, relay);
    const id = emailIdOf(await client.transact({ from: FROM, to: ['b@example.com'], data: messageFrom(FROM) }, '250 '));
    await eventually(async () => (await statusOf(id)) === 'sent');
    const event = await eventually(() => receiver.received[0]);
    const { type, data } = JSON.parse(String(event?.body));
    assert.deepEqual({ type, id: data.email_id }, { type: 'email.sent', id });
    await eventually(
      async () => (await worker.db.query("select 1 from webhook_deliveries where status = 'success'")).rowCount,
    );
    assert.equal((await worker.captured()).length, 1);
  });

  it('what SES tells of a message is recorded', async t => {
    const client = await SmtpClient.loggedIn(t, relay);
    const id = emailIdOf(await client.transact({ from: FROM, to: ['b@example.com'], data: messageFrom(FROM) }, '250 '));
    await eventually(async () => (await statusOf(id)) === 'sent');
    const pool = createPool({ databaseUrl, ...worker.config.database, poolSize: 1 }, SILENT);
    t.after(() => pool.end());
    const metrics = createEventsMetrics(createRegistry());
    const intake = createEventIntake({ pool, metrics, logger: SILENT, onDeliveriesDue: () => {} });
    await intake.record([JSON.stringify(ses.delivery({ emailId: id, destination: ['b@example.com'] }))], 'sqs');
    await eventually(async () => (await statusOf(id)) === 'delivered');
  });

  it('a message with an idempotency key is stored once, also when it comes over several sessions at once', async t => {
    const data = `X-OpenSend-Idempotency-Key: ${randomUUID()}\r\n${messageFrom(FROM)}`;
    const ids = await Promise.all(
      Array.from({ length: 5 }, async () => {
        const client = await SmtpClient.loggedIn(t, relay);
        return emailIdOf(await client.transact({ from: FROM, to: ['b@example.com'], data }, '250 '));
      }),
    );
    assert.equal(new Set(ids).size, 1);
    await eventually(async () => (await statusOf(ids[0] ?? '')) === 'sent');
  });

  it('a restart of PgBouncer under load loses nothing and sends nothing twice', async t => {
    const senders = new Senders(t, relay, 4);
    await eventually(() => senders.sent.accepted.size > 20);
    await bouncer.restart();
    const before = senders.sent.accepted.size;
    await eventually(() => senders.sent.accepted.size > before + 20);
    const { accepted, refusals } = await senders.stop();
    assert.deepEqual(
      refusals.filter(({ code }) => code < 400 || code > 499).map(({ last }) => last),
      [],
    );
    const ids = [...accepted.keys()];
    await eventually(async () => {
      const { rows } = await worker.db.query("select 1 from emails where id = any($1) and status = 'sent'", [ids]);
      return rows.length === ids.length;
    });
    const sent = (await worker.captured()).map(({ envelope }) => envelope.emailId);
    assert.deepEqual(
      ids.filter(id => sent.filter(other => other === id).length !== 1),
      [],
    );
  });

  it('a large message, whose statement has settings of its own, is stored and sent', async t => {
    const client = await SmtpClient.loggedIn(t, relay);
    const data = messageFrom(FROM, { body: `${'x'.repeat(70)}\r\n`.repeat(6_000) });
    const id = emailIdOf(await client.transact({ from: FROM, to: ['b@example.com'], data }, '250 '));
    await eventually(async () => (await statusOf(id)) === 'sent');
  });

  it('looks for jobs in place of listening', async () => {
    assert.ok(worker.logs.some(({ msg }) => /a pooler is before the database/.test(msg)));
  });

  it('nothing stays behind in the session that others are given next', async () => {
    const fresh = await withClient(direct, client => client.query(SESSION));
    const used = await withClient(databaseUrl, client => client.query(SESSION));
    assert.deepEqual(used.rows, fresh.rows);
  });

  it('migrations went past it, and commands that need no other way go through it', async () => {
    const { rows } = await withClient(direct, client =>
      client.query('select count(*)::int from smtp_relay_migrations'),
    );
    assert.ok(rows[0].count > 0);
    assert.ok(relay.logs.some(({ msg }) => msg === 'database migrated'));
  });
});
