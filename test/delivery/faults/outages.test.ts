import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';
import { migrate } from '../../../src/store/schema/migrate.ts';
import { startFaultySqs } from '../../faults/support/faulty-sqs.ts';
import { eventually } from '../../support/eventually.ts';
import { openPool } from '../../support/pool.ts';
import { createServer } from '../../support/postgres-server.ts';
import { createQueue, sqsEnv } from '../../support/queue.ts';
import { startFakeSes } from '../../support/ses/start.ts';
import { storeMessage } from '../../support/stored.ts';
import { startWorker } from '../../support/worker.ts';
import { receivedBy } from '../support/sending.ts';

const MESSAGES = 60;
const AWAY = 2_000;
/** What was taken by a statement of which the answer was lost comes back with its lease: 60 s, and 10 s to see it. */
const LEASE_ENDED = 120_000;
const SENDING = { transport: 'ses', 'ses.sendRate': 100_000, 'retries.firstPause': 200 };

async function untilAllSent(db: pg.Pool, ids: readonly string[], milliseconds?: number): Promise<void> {
  await eventually(async () => {
    const { rows } = await db.query('select status, count(*)::integer from emails group by 1');
    assert.deepEqual(rows, [{ status: 'sent', count: ids.length }]);
    return true;
  }, milliseconds);
}

describe('while a worker sends', { concurrency: 2 }, () => {
  for (const [how, stop] of [
    ['is stopped', 'stop'],
    ['crashes', 'crash'],
  ] as const) {
    it(`Postgres ${how} and comes back: every outcome is written, and nobody gets a second copy`, async () => {
      // Freed in reverse: the server goes last.
      await using parts = new AsyncDisposableStack();
      const context = { after: (fn: () => Promise<void>) => parts.defer(fn) };
      const server = await createServer(context);
      const databaseUrl = await server.createDatabase('relay');
      await migrate(databaseUrl, { pipeline: 'standalone' });
      const ses = await startFakeSes(context, { latency: 100 });
      const settings = { ...SENDING, 'ses.endpoint': ses.endpoint, 'worker.concurrency': 8 };
      const worker = await startWorker(context, { databaseUrl, settings });
      const ids = await Promise.all(Array.from({ length: MESSAGES }, () => storeMessage(worker.db)));
      await eventually(() => ses.mailbox.count > 10);
      // In the middle: what is called from here on is answered when there is no database.
      const away = Promise.withResolvers<void>();
      ses.faults.plan({ kind: 'delay', times: MESSAGES, until: away.promise });
      await server[stop]();
      away.resolve();
      await sleep(AWAY);
      await server.start();
      const db = openPool(databaseUrl, 1);
      parts.defer(() => db.end());
      await untilAllSent(db, ids, LEASE_ENDED);
      for (const id of ids) assert.equal(receivedBy(ses, id).length, 1);
      const { rows } = await db.query("select from smtp_relay_attempts where outcome = 'unknown'");
      assert.equal(rows.length, 0, 'what was sent was known to the worker all the time');
    });
  }

  it('SQS goes away and comes back: what is retried meanwhile is sent, once', async () => {
    await using parts = new AsyncDisposableStack();
    const context = { after: (fn: () => Promise<void>) => parts.defer(fn) };
    const queue = await createQueue(context);
    const sqs = await startFaultySqs(context, sqsEnv().AWS_ENDPOINT_URL_SQS);
    const ses = await startFakeSes(context);
    const settings = { ...SENDING, 'ses.endpoint': ses.endpoint, sqsEndpoint: sqs.endpoint };
    const worker = await startWorker(context, { queue, settings });
    ses.faults.plan({ kind: 'error', status: 500, name: 'InternalFailure', times: 5 });
    const first = await Promise.all(Array.from({ length: 5 }, () => storeMessage(worker.db)));
    await eventually(() => (ses.calls['SendEmail'] ?? 0) >= 5);
    await sqs.down();
    const second = await Promise.all(Array.from({ length: 5 }, () => storeMessage(worker.db)));
    await sleep(AWAY);
    await sqs.up();
    await untilAllSent(worker.db, [...first, ...second]);
    for (const id of [...first, ...second]) assert.equal(receivedBy(ses, id).length, 1);
  });
});
