import assert from 'node:assert/strict';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { freePort } from '../../../dev/ports.ts';
import { migrate } from '../../../src/store/schema/migrate.ts';
import { createDatabase } from '../../support/database.ts';
import { eventually } from '../../support/eventually.ts';
import { openPool } from '../../support/pool.ts';
import { createServer } from '../../support/postgres-server.ts';
import { startFakeSes } from '../../support/ses/start.ts';
import { storeMessage } from '../../support/stored.ts';
import { startWorker } from '../../support/worker.ts';
import { receivedBy, startSending, untilStatus } from '../support/sending.ts';

/** Milliseconds. */
const LEASE = 1_000;
const SENDING = { transport: 'ses', 'ses.sendRate': 100_000, 'retries.firstPause': 200 };

async function readiness({ httpPort }: { readonly httpPort: number }): Promise<number> {
  return (await fetch(`http://127.0.0.1:${httpPort}/readyz`)).status;
}

describe('an outcome that the database refuses', { concurrency: 2 }, () => {
  for (const table of ['smtp_relay_attempts', 'email_events', 'smtp_relay_outbox', 'emails']) {
    it(`for good (${table}): nothing is sent twice, nothing more is sent, and it goes on by itself`, async t => {
      const sending = await startSending(t, { 'worker.leaseTime': LEASE, httpPort: await freePort() });
      const { db, ses, worker } = sending;
      const answer = Promise.withResolvers<void>();
      ses.faults.plan({ kind: 'delay', until: answer.promise });
      const id = await sending.store();
      await eventually(() => (ses.calls['SendEmail'] ?? 0) === 1);
      await db.query(`alter table ${table} rename to away`);
      answer.resolve();
      await eventually(async () => (await readiness(worker)) === 503);
      await sleep(4 * LEASE);
      assert.equal(ses.calls['SendEmail'], 1, 'nothing is sent again');
      assert.equal(worker.logs.filter(({ level }) => level === 60).length, 1, 'one fatal line');
      if (table === 'email_events') {
        const { rows } = await db.query('select outcome from smtp_relay_attempts');
        assert.deepEqual(rows, [{ outcome: 'sent' }], 'the bare outcome is written');
      }
      await db.query(`alter table away rename to ${table}`);
      const next = await sending.store();
      await sending.until(id, 'sent');
      const story = await sending.until(next, 'sent');
      assert.equal(await readiness(worker), 200);
      const { events } = await sending.story(id);
      assert.deepEqual(
        events.map(({ type }) => type),
        ['sent'],
      );
      assert.equal(sending.received(id).length, 1);
      assert.equal(story.attempts.length, 1);
    });
  }

  it('while it refuses, what comes in stays where it is', async t => {
    const sending = await startSending(t, { 'worker.leaseTime': LEASE, httpPort: await freePort() });
    const { db, ses, worker } = sending;
    const answer = Promise.withResolvers<void>();
    ses.faults.plan({ kind: 'delay', until: answer.promise });
    await sending.store();
    await eventually(() => (ses.calls['SendEmail'] ?? 0) === 1);
    await db.query('alter table smtp_relay_attempts rename to away');
    answer.resolve();
    await eventually(async () => (await readiness(worker)) === 503);
    const ids = await Promise.all(Array.from({ length: 5 }, () => sending.store()));
    await sleep(2 * LEASE);
    assert.equal(ses.calls['SendEmail'], 1);
    await db.query('alter table away rename to smtp_relay_attempts');
    for (const id of ids) await sending.until(id, 'sent');
    assert.equal(ses.calls['SendEmail'], 6);
  });

  it('is found at the start, before the first message goes out', async t => {
    const databaseUrl = await createDatabase(t);
    const db = openPool(databaseUrl, 1);
    t.after(() => db.end());
    const ses = await startFakeSes(t);
    const id = await storeMessage(db);
    await db.query('alter table smtp_relay_attempts rename to away');
    const settings = { ...SENDING, 'ses.endpoint': ses.endpoint, httpPort: await freePort() };
    const worker = await startWorker(t, { databaseUrl, settings });
    assert.equal(await readiness(worker), 503);
    await sleep(1_000);
    assert.deepEqual((await db.query('select status from emails')).rows, [{ status: 'queued' }]);
    await db.query('alter table away rename to smtp_relay_attempts');
    await untilStatus(db, id, 'sent');
    assert.equal(await readiness(worker), 200);
    assert.equal(receivedBy(ses, id).length, 1);
  });
});

describe('a worker that is told to stop while Postgres is away', () => {
  it('leaves what it has sent in the journal, and the next one writes it down', async () => {
    await using parts = new AsyncDisposableStack();
    const context = { after: (fn: () => Promise<void>) => parts.defer(fn) };
    const journal = await mkdtemp(join(tmpdir(), 'smtp-relay-journal-'));
    parts.defer(() => rm(journal, { recursive: true, force: true }));
    const server = await createServer(context);
    const databaseUrl = await server.createDatabase('relay');
    await migrate(databaseUrl, { pipeline: 'standalone' });
    const ses = await startFakeSes(context);
    const settings = { ...SENDING, 'ses.endpoint': ses.endpoint, 'worker.journal': journal, shutdownTimeout: 1_000 };
    const worker = await startWorker(context, { databaseUrl, settings });
    const answer = Promise.withResolvers<void>();
    ses.faults.plan({ kind: 'delay', times: 3, until: answer.promise });
    const ids = await Promise.all(Array.from({ length: 3 }, () => storeMessage(worker.db)));
    await eventually(() => (ses.calls['SendEmail'] ?? 0) === 3);
    await server.stop();
    answer.resolve();
    await eventually(() => ses.mailbox.count === 3);
    await worker.stop();
    assert.equal((await readdir(journal)).length, 3);
    await server.start();
    const next = await startWorker(context, { databaseUrl, settings });
    for (const id of ids) {
      const story = await untilStatus(next.db, id, 'sent');
      assert.deepEqual(
        [story.attempts.map(({ outcome }) => outcome), story.events.map(({ type }) => type)],
        [['sent'], ['sent']],
      );
    }
    assert.equal(ses.calls['SendEmail'], 3);
    await eventually(async () => (await readdir(journal)).length === 0);
  });
});
