import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { freePort } from '../../../dev/ports.ts';
import { createDatabase } from '../../support/database.ts';
import { shared } from '../../support/environment.ts';
import { eventually } from '../../support/eventually.ts';
import { openPool } from '../../support/pool.ts';
import { withClient } from '../../support/postgres-server.ts';
import { createQueue } from '../../support/queue.ts';
import { startFakeSes } from '../../support/ses/start.ts';
import { storeMessage } from '../../support/stored.ts';
import { startWorker } from '../../support/worker.ts';
import { receivedBy } from '../support/sending.ts';

/** What is taken away while the worker sends, and whether nothing can be sent without it. */
const GRANTS = [
  ['select on emails', true],
  ['update on emails', true],
  ['select on smtp_relay_messages', true],
  ['insert on smtp_relay_attempts', true],
  ['select on smtp_relay_attempts', true],
  ['insert on smtp_relay_claims', true],
  ['delete on smtp_relay_claims', true],
  ['insert on email_events', true],
  ['select on email_suppressions', true],
  ['select on domains', false],
  ['update on smtp_relay_outbox', true],
  ['delete on smtp_relay_outbox', false],
] as const;

const LEASE = 2_000;
/** Milliseconds without the grant. */
const WITHOUT = 1_000;

describe('a grant that is taken from a worker while it sends', { concurrency: 4 }, () => {
  for (const [grant, isNeeded] of GRANTS) {
    for (const byQueue of grant.endsWith('emails') ? [false, true] : [false]) {
      it(`${grant}, ${byQueue ? 'by a queue' : 'from the outbox'}: nothing is lost or doubled, and it goes on by itself`, async t => {
        const parts = new AsyncDisposableStack();
        t.after(() => parts.disposeAsync());
        const context = { after: (fn: () => Promise<void>) => parts.defer(fn) };
        const role = `revoked_${randomBytes(6).toString('hex')}`;
        parts.defer(() =>
          withClient(shared('postgresUrl'), async client => void (await client.query(`drop role if exists ${role}`))),
        );
        const ownerUrl = await createDatabase(context);
        const db = openPool(ownerUrl, 2);
        parts.defer(() => db.end());
        await db.query(`create role ${role} login password 'secret'`);
        await db.query(`grant usage on schema public to ${role}`);
        await db.query(`grant select, insert, update, delete on all tables in schema public to ${role}`);
        await db.query(`grant usage on all sequences in schema public to ${role}`);
        const url = new URL(ownerUrl);
        Object.assign(url, { username: role, password: 'secret' });
        const ses = await startFakeSes(context, { latency: 100 });
        const queue = byQueue ? await createQueue(context) : null;
        const httpPort = await freePort();
        const worker = await startWorker(context, {
          databaseUrl: url.href,
          queue,
          settings: {
            transport: 'ses',
            migrations: 'none',
            'ses.sendRate': 100_000,
            'ses.endpoint': ses.endpoint,
            'retries.firstPause': 300,
            'retries.longestPause': 600,
            'worker.leaseTime': LEASE,
            'worker.concurrency': 4,
            'publishing.sweepInterval': 200,
            httpPort,
          },
        });
        const ids: string[] = [];
        const store = async (count: number) => {
          for (let nth = 0; nth < count; nth += 1) ids.push(await storeMessage(db));
        };
        await store(20);
        await eventually(() => ses.mailbox.count > 4);
        await db.query(`revoke ${grant} from ${role}`);
        await store(5);
        const ready = async () => (await fetch(`http://127.0.0.1:${httpPort}/readyz`)).status;
        if (isNeeded) await eventually(async () => (await ready()) === 503);
        await sleep(WITHOUT);
        assert.equal(await ready(), isNeeded ? 503 : 200);
        await db.query(`grant ${grant} to ${role}`);
        await eventually(async () => {
          const { rows } = await db.query('select status, count(*)::integer from emails group by 1');
          assert.deepEqual(rows, [{ status: 'sent', count: ids.length }]);
          return true;
        }, 150_000);
        const fatal = worker.logs.filter(({ level }) => level === 60);
        for (const id of ids) assert.equal(receivedBy(ses, id).length, 1);
        assert.ok(
          isNeeded ? fatal.length >= 1 && fatal.length <= 3 : fatal.length === 0,
          `${fatal.length} fatal lines`,
        );
      });
    }
  }
});
