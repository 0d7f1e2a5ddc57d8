import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { eventually } from '../support/eventually.ts';
import { startRelay } from '../support/relay.ts';
import { createOwnPostgres } from './support/own-postgres.ts';
import { Senders, type SentMail } from './support/sender.ts';

const SESSIONS = 8;

const postgres = await createOwnPostgres({ after }, { pipeline: 'standalone' });
const relay = await startRelay(
  { after },
  { shareWith: postgres, settings: { pipeline: 'standalone', 'database.connectTimeout': 5_000 } },
);

interface StoredRow {
  readonly id: string;
  readonly subject: string;
  readonly intact: boolean;
}

const STORED = `
  select emails.id, subject, sha256(raw) = sha256 and length(raw) = size_bytes as intact
    from emails join smtp_relay_messages on email_id = emails.id where subject = any($1)`;

/** Each 250 has its row and its original; nothing else has; all other replies are temporary. */
async function assertPromisesKept({ accepted, refusals, unaccepted }: SentMail): Promise<void> {
  const subjects = [...accepted.values(), ...unaccepted];
  const { rows } = await relay.db.query<StoredRow>(STORED, [subjects]);
  assert.deepEqual(new Map(rows.map(({ id, subject }) => [id, subject])), accepted, 'what was acknowledged is stored');
  assert.ok(rows.every(({ intact }) => intact));
  assert.deepEqual(
    refusals.filter(({ code }) => code < 400 || code > 499).map(({ last }) => last),
    [],
  );
}

/** Breaks the database under several sessions, waits until all is well again. */
async function duringLoad(
  t: { after(fn: () => void): void },
  fault: (senders: Senders) => Promise<void>,
): Promise<SentMail> {
  const senders = new Senders(t, relay, SESSIONS);
  await eventually(() => senders.sent.accepted.size > 20);
  await fault(senders);
  const before = senders.sent.accepted.size;
  await eventually(() => senders.sent.accepted.size > before + 20);
  return senders.stop();
}

describe('Postgres under load', () => {
  it('is restarted: each 250 has its row, all else is 4xx, and mail is taken again by itself', async t => {
    await assertPromisesKept(await duringLoad(t, () => postgres.server.restart()));
  });

  it('crashes and recovers from its log: the same', async t => {
    const sent = await duringLoad(t, async () => {
      await postgres.server.crash();
      await postgres.server.start();
    });
    await assertPromisesKept(sent);
  });

  it('is stopped for a while: the same, and clients are told to come again meanwhile', async t => {
    const fault = '451 4.3.0 Temporary fault on our side: try again later';
    const sent = await duringLoad(t, async senders => {
      await postgres.server.stop();
      await eventually(() => senders.sent.refusals.filter(({ last }) => last === fault).length > SESSIONS);
      await postgres.server.start();
    });
    await assertPromisesKept(sent);
  });

  it('loses all its connections at once: each 250 has its row', async t => {
    const sent = await duringLoad(t, async () => {
      for (let round = 0; round < 10; round += 1) {
        await relay.db.query(
          "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'smtp-relay'",
        );
      }
    });
    await assertPromisesKept(sent);
  });

  // A crash may forget what was removed from the outbox in the second before: such a job is published again, and claimed once.
  it('has every job published in the end, and none twice but for the crash', async () => {
    const { rows } = await relay.db.query<{ id: string }>('select id from emails');
    await eventually(async () => {
      const left = await relay.db.query('select 1 from smtp_relay_outbox limit 1');
      return left.rows.length === 0;
    });
    const jobs = (await relay.queue?.receiveAll()) ?? [];
    const published = jobs.map(({ Body }) => JSON.parse(Body ?? '').emailId as string);
    const timesOf = Map.groupBy(published, id => id);
    for (const [id, times] of timesOf) assert.ok(times.length <= 2, `job ${id} was published ${times.length} times`);
    assert.deepEqual(new Set(published), new Set(rows.map(({ id }) => id)));
  });
});
