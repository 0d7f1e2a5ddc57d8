import assert from 'node:assert/strict';
import { randomBytes, randomUUID } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { describe, it, type TestContext } from 'node:test';
import type pg from 'pg';
import { freePort } from '../../dev/ports.ts';
import { createTables } from '../../src/declared/kinds/kinds.ts';
import { createDeclarationReader } from '../../src/declared/plan/declarations.ts';
import { reconcile } from '../../src/declared/reconcile.ts';
import { createEventIntake } from '../../src/events/intake.ts';
import { createEventsMetrics } from '../../src/events/metrics.ts';
import { createRegistry } from '../../src/observability/metrics.ts';
import { endTurn, giveLeaseBack, takeLease, takeTurn } from '../../src/postgres/lease.ts';
import { readFleet } from '../../src/store/delivery/fleet.ts';
import { readOldestWaiting } from '../../src/store/delivery/oldest-waiting.ts';
import { Republisher } from '../../src/store/delivery/republish.ts';
import { deleteExpiredIdempotency } from '../../src/store/intake/idempotency.ts';
import { setChaos } from '../../src/store/keys/chaos.ts';
import { deleteOldFailedLogins } from '../../src/store/keys/failed-logins.ts';
import { setSandbox } from '../../src/store/keys/sandbox.ts';
import { deleteOldKeyUsage } from '../../src/store/keys/usage.ts';
import { applyRetention } from '../../src/store/retention/retention.ts';
import { migrate } from '../../src/store/schema/migrate.ts';
import { listSubjects } from '../../src/store/sessions/subjects.ts';
import { listDeliveries, readBacklog } from '../../src/store/webhooks/deliveries.ts';
import { disableWebhook } from '../../src/store/webhooks/outcomes.ts';
import { createWebhook, parkDisabled } from '../../src/store/webhooks/webhooks.ts';
import { createHitRecorder } from '../../src/tracking/hits.ts';
import { newSecret } from '../../src/webhooks/signing.ts';
import { box, createFolder, document, SECRET_KEY } from '../declared/support.ts';
import { ses } from '../events/support/ses.ts';
import { SILENT } from '../events/support/system.ts';
import { followEvents, overviewThat } from '../http/operator/support.ts';
import { createDatabase } from '../support/database.ts';
import { shared } from '../support/environment.ts';
import { eventually } from '../support/eventually.ts';
import { type Owner, seedOwner } from '../support/owner.ts';
import { openPool } from '../support/pool.ts';
import { withClient } from '../support/postgres-server.ts';
import { type LogLine, startRelay } from '../support/relay.ts';
import { emailIdOf, messageFrom, SmtpClient } from '../support/smtp-client.ts';
import { storeMessage } from '../support/stored.ts';
import { startWorker } from '../support/worker.ts';

const REFUSED = { code: '42501' };
const ROLES = ['smtp_owner', 'smtp_relay', 'smtp_worker'] as const;
type Role = (typeof ROLES)[number];

const [makeRoles = '', grants = '', resourceGrants = '', inboxGrants = ''] = await readStatements();

/** The SQL of "Database roles" in docs/security.md, block by block. */
async function readStatements(): Promise<string[]> {
  const text = await readFile(new URL('../../docs/security.md', import.meta.url), 'utf8');
  const section = text.split(/^## /m).find(part => part.startsWith('Database roles')) ?? '';
  return [...section.matchAll(/^```sql\n([\s\S]*?)^```$/gm)].map(match => match[1] ?? '');
}

/** A migrated database whose roles are those of the document, with other names, since roles are shared by all tests. */
async function createSystem(t: TestContext) {
  const parts = new AsyncDisposableStack();
  t.after(() => parts.disposeAsync());
  const context = { after: (fn: () => Promise<void>) => parts.defer(fn) };
  const suffix = randomBytes(6).toString('hex');
  const named = (sql: string) => sql.replaceAll(/\b(smtp_owner|smtp_relay|smtp_worker)\b/g, `$1_${suffix}`);
  parts.defer(async () => {
    for (const role of ROLES) await admin(`drop role if exists ${named(role)}`);
  });
  const databaseUrl = await createDatabase(context, { empty: true });
  await withClient(databaseUrl, client => client.query(named(makeRoles)));
  for (const role of ROLES) await admin(`alter role ${named(role)} password 'secret'`);

  const urlOf = (role: Role): string => {
    const url = new URL(databaseUrl);
    Object.assign(url, { username: named(role), password: 'secret' });
    return url.href;
  };
  const poolOf = (role: Role): pg.Pool => {
    const pool = openPool(urlOf(role), 2);
    parts.defer(() => pool.end());
    return pool;
  };
  await migrate(urlOf('smtp_owner'), { pipeline: 'standalone' });
  const owner = poolOf('smtp_owner');
  const grant = (statements: string) => owner.query(named(statements));
  await grant(grants);
  return { context, urlOf, grant, owner, relay: poolOf('smtp_relay'), worker: poolOf('smtp_worker') };
}

async function admin(sql: string): Promise<void> {
  await withClient(shared('postgresUrl'), client => client.query(sql));
}

function refusals(logs: readonly LogLine[]): LogLine[] {
  return logs.filter(({ err }) => (err as { code?: string } | undefined)?.code === REFUSED.code);
}

/** What a relay does at its start, for a client, and at its leisure. */
async function runRelay(t: TestContext, databaseUrl: string, owner: Owner): Promise<string> {
  const httpPort = await freePort();
  const settings = {
    pipeline: 'standalone',
    httpHost: '127.0.0.1',
    httpPort,
    migrations: 'none',
    suppression: 'recipient',
    'limits.messagesPerMinute': 100,
    'limits.messagesPerDay': 100,
  };
  const relay = await startRelay(t, { shareWith: { databaseUrl, owner }, queue: false, settings });
  const stranger = await SmtpClient.secured(t, relay);
  await stranger.logIn('os_live_wrong', '535 ');
  const client = await SmtpClient.loggedIn(t, relay);
  const from = `hello@${owner.domain}`;
  await client.command(`MAIL FROM:<${from}>`, '250 ');
  await client.command('RCPT TO:<suppressed@example.com>', '550 ');
  await client.command('RSET', '250 ');
  const data = `X-OpenSend-Idempotency-Key: once\r\n${messageFrom(from)}`;
  const message = { from, to: ['someone@example.com'], data };
  const id = emailIdOf(await client.transact(message, '250 '));
  assert.equal(emailIdOf(await client.transact(message, '250 ')), id);
  // The page does without what workers write, and says so.
  const { fleet, mayReadFleet } = await overviewThat(await followEvents(t, `http://127.0.0.1:${httpPort}`), () => true);
  assert.deepEqual([fleet, mayReadFleet], [null, false]);
  await relay.stop();
  assert.deepEqual(refusals(relay.logs), []);
  return id;
}

describe('the grants of docs/security.md', () => {
  it('are enough for relay and worker, and let neither do the work of the other', async t => {
    const { context, urlOf, owner: db, relay, worker } = await createSystem(t);
    const owner = await seedOwner(db);
    const { userId } = owner;
    await db.query(
      "insert into email_suppressions (user_id, email, reason) values ($1, 'suppressed@example.com', 'manual')",
      [userId],
    );
    // Nobody is asked: the address guard refuses, which is written down as a failed try.
    const hookId = randomUUID();
    const secret = box.seal(newSecret(), hookId);
    await createWebhook(db, { id: hookId, owner: userId, url: 'https://127.0.0.1:9/', events: ['*'], secret });
    const id = await runRelay(t, urlOf('smtp_relay'), owner);
    const { rows } = await db.query('select last_used_at from api_keys where id = $1', [owner.keyId]);
    assert.ok(rows[0]?.last_used_at);
    await deleteExpiredIdempotency(relay);
    await deleteOldKeyUsage(relay);
    await deleteOldFailedLogins(relay, 1);
    // What pages show: of sessions on relays, of the whole installation on workers.
    assert.equal((await listSubjects(relay, 5)).length, 2);
    assert.ok((await readOldestWaiting(worker)) > 0);
    await readFleet(worker);
    await assert.rejects(readFleet(relay), REFUSED);
    await assert.rejects(listSubjects(worker, 5), REFUSED);

    const running = await startWorker(context, {
      databaseUrl: urlOf('smtp_worker'),
      settings: { migrations: 'none', 'webhooks.secretKeys': [SECRET_KEY] },
    });
    await eventually(async () => (await db.query('select status from emails')).rows[0]?.status === 'sent');
    const metrics = createEventsMetrics(createRegistry());
    const intake = createEventIntake({ pool: worker, metrics, logger: SILENT, onDeliveriesDue() {} });
    assert.deepEqual(await intake.record([JSON.stringify(ses.complaint({ emailId: id }))], 'sns'), [true]);
    const record = createHitRecorder({ pool: worker });
    await record([{ type: 'opened', emailId: id, url: null, userAgent: 'Web', id: randomUUID(), at: new Date() }]);
    await eventually(async () => (await listDeliveries(db, { limit: 10 })).some(({ attempts }) => attempts > 0));
    await running.stop();
    assert.deepEqual(refusals(running.logs), []);

    await storeMessage(db, { outboxLease: null });
    await new Republisher({ db: worker, after: 0 }).next();
    assert.ok(await takeTurn(worker, 'test', 1_000));
    await endTurn(worker, 'test', 0);
    assert.ok(await disableWebhook(worker, hookId, undefined));
    await parkDisabled(worker, 10);
    await readBacklog(worker);
    const periods = { messages: 1, raw: 1, bodies: 1, events: 1, deliveries: 1 };
    await applyRetention({ db: worker, periods, signal: AbortSignal.timeout(60_000) });

    for (const sql of ['select raw from smtp_relay_messages', 'select subject from emails', 'delete from emails']) {
      await assert.rejects(relay.query(sql), REFUSED, sql);
    }
    for (const sql of ['select from api_keys', 'insert into api_keys (name) values (null)']) {
      await assert.rejects(worker.query(sql), REFUSED, sql);
    }
  });

  it('are enough for the inbox, which can make no key and put none into sandbox', async t => {
    const { context, urlOf, grant, owner, worker } = await createSystem(t);
    const { keyId, userId } = await seedOwner(owner);
    await setSandbox(owner, keyId, true);
    const databaseUrl = urlOf('smtp_worker');
    const started = await startWorker(context, {
      databaseUrl,
      settings: { 'inbox.enabled': true, 'inbox.port': 0, migrations: 'none' },
    });
    const keys = () => fetch(`http://127.0.0.1:${started.inboxPort}/api/keys`);
    const refused = await keys();
    assert.equal(refused.status, 409);
    assert.match(await refused.text(), /run the grants for the inbox of docs\/security\.md/);
    await grant(inboxGrants);
    assert.deepEqual(
      ((await (await keys()).json()) as { id: string }[]).map(({ id }) => id),
      [keyId],
    );
    const raw = messageFrom('hello@acme.test');
    const id = await storeMessage(owner, { recipients: ['ann@example.com'], userId, raw });
    const tried = await fetch(`http://127.0.0.1:${started.inboxPort}/api/messages/${id}/keys`);
    assert.equal(tried.status, 200, await tried.text());
    await setChaos(worker, keyId, { cutPercent: 5 }, null);
    for (const sql of ['update smtp_relay_credentials set sandbox = true', 'insert into api_keys (name) values (null)'])
      await assert.rejects(worker.query(sql), REFUSED, sql);
  });

  it('are enough to reconcile, for each of both', async t => {
    const { grant, relay, worker } = await createSystem(t);
    await grant(resourceGrants);
    const folder = await createFolder(t, { key: 'os_live_00112233445566778899aabbccddeeff\n' });
    const hookSecret = `${newSecret()}\n`;
    await folder.write('hook', hookSecret);
    const owner = 'declared';
    const all = (limit: number, subdomain: string) =>
      [
        document('SmtpCredential', 'billing', { owner, keyFile: 'key', limits: { messagesPerDay: limit } }),
        document('SendingDomain', 'acme', { owner, name: 'acme.test', route: 'folder', trackingSubdomain: subdomain }),
        document('SuppressionList', 'never', { owner, addresses: ['never@example.com', `${subdomain}@example.com`] }),
        document('WebhookEndpoint', 'hook', { owner, url: `https://${subdomain}.test/`, secretFile: 'hook' }),
        document('Route', 'folder', { transport: 'capture', capture: { directory: `/${subdomain}` } }),
      ].join('');
    const read = createDeclarationReader();
    const tables = createTables({ box });
    for (const [holder, pool] of Object.entries({ relay, worker })) {
      assert.ok(await takeLease(pool, holder, 60_000));
      const pass = async (text: string) => {
        await folder.write('all.yaml', text);
        const declarations = await read([folder.path], { documents: folder.path, secrets: folder.path });
        return reconcile(declarations, { pool, tables, holder, allowEmpty: true });
      };
      const made = await pass(all(1, 'one'));
      assert.deepEqual(
        made.records.map(({ ready }) => ready),
        [true, true, true, true, true],
      );
      await folder.write('hook', `${newSecret()}\n`);
      assert.equal((await pass(all(2, 'two'))).changes.updated, 5);
      assert.equal((await pass('')).changes.removed, 5);
      await giveLeaseBack(pool, holder);
    }
  });
});
