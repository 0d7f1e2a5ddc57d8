import assert from 'node:assert/strict';
import { env } from 'node:process';
import type pg from 'pg';
import { createSqsQueue } from '../../../../src/queue/sqs/queue.ts';
import { Outbox } from '../../../../src/store/messages/outbox.ts';
import { createDatabase } from '../../../support/database.ts';
import { eventually } from '../../../support/eventually.ts';
import { openPool } from '../../../support/pool.ts';
import { createQueue, sqsEnv, type TestQueue } from '../../../support/queue.ts';
import type { TestContext } from '../../../support/relay.ts';
import type { Fault } from '../../../support/ses/faults.ts';
import { sesEnv, startFakeSes } from '../../../support/ses/start.ts';
import { type StoredOptions, storeMessage } from '../../../support/stored.ts';
import { receivedBy, type Story, storyOf, untilStatus } from '../../support/sending.ts';
import { spawnWorker, type WorkerProcess } from './worker-process.ts';

/** Milliseconds. */
export const LEASE = 4_000;

export interface FleetOptions {
  /** For every worker. */
  readonly env?: Readonly<Record<string, string>>;
  /** Without one, jobs come from the outbox. */
  readonly queue?: TestQueue | null;
}

/** A database, a queue and a fake SES, for workers that come and go. */
export interface Fleet {
  readonly db: pg.Pool;
  readonly queue: TestQueue | null;
  spawn(env?: Readonly<Record<string, string>>): Promise<WorkerProcess>;
  store(options?: StoredOptions): Promise<string>;
  /** Puts the jobs of all that is stored onto the queue, as a relay does. Without a queue they stay where they are. */
  publish(): Promise<void>;
  story(id: string): Promise<Story>;
  until(id: string, status: string): Promise<Story>;
  plan(fault: Fault): void;
  /** Waits until SES was called for so many messages in all, whatever it answered. */
  called(times: number): Promise<void>;
  /** Calls so far. */
  readonly calls: number;
  /** The recipients of each call that SES took, in order. */
  received(id: string): (readonly string[])[];
}

export async function createFleet(t: TestContext, options: FleetOptions = {}): Promise<Fleet> {
  // Freed in reverse: whoever uses a thing ends before it.
  const parts = new AsyncDisposableStack();
  t.after(() => parts.disposeAsync());
  const context = { after: (fn: () => Promise<void>) => parts.defer(fn) };
  const databaseUrl = await createDatabase(context);
  const db = openPool(databaseUrl, 3);
  parts.defer(() => db.end());
  const queue = options.queue === undefined ? await createQueue(context) : options.queue;
  const ses = await startFakeSes(context);
  const forAll = {
    ...sqsEnv(),
    ...sesEnv(ses),
    DATABASE_URL: databaseUrl,
    ...(queue && { BACKGROUND_JOBS_QUEUE_URL: queue.url }),
    SMTP_RELAY_PIPELINE: 'standalone',
    SMTP_RELAY_MIGRATIONS: 'none',
    SMTP_RELAY_DATABASE_POOL_SIZE: '5',
    SMTP_RELAY_WORKER_LEASE_TIME: `${LEASE}ms`,
    SMTP_RELAY_WORKER_POLL_INTERVAL: '200ms',
    SMTP_RELAY_WORKER_CONSUMERS: '2',
    SMTP_RELAY_RETRIES_FIRST_PAUSE: '300ms',
    SMTP_RELAY_PUBLISHING_SWEEP_INTERVAL: '200ms',
    SMTP_RELAY_SES_SEND_RATE: '100000',
    SMTP_RELAY_SHUTDOWN_TIMEOUT: '60s',
    ...options.env,
  };
  const calls = () => ses.calls['SendEmail'] ?? 0;
  return {
    db,
    queue,
    spawn: more => spawnWorker(context, { ...forAll, ...more }).working(),
    store: stored => storeMessage(db, stored),
    publish: async () => {
      if (queue) await publishAll(db, queue);
    },
    story: id => storyOf(db, id),
    until: (id, status) => untilStatus(db, id, status),
    plan: fault => ses.faults.plan(fault),
    get calls() {
      return calls();
    },
    called: async times => void (await eventually(() => calls() >= times)),
    received: id => receivedBy(ses, id),
  };
}

async function publishAll(db: pg.Pool, { url: queueUrl }: TestQueue): Promise<void> {
  const endpoint = sqsEnv().AWS_ENDPOINT_URL_SQS;
  Object.assign(env, sqsEnv());
  const queue = createSqsQueue({ queueUrl, region: 'us-east-1', endpoint, connections: 1, fairQueue: true });
  const outbox = new Outbox(db);
  const jobs = await outbox.leaseDue(10, 60_000);
  assert.deepEqual(await queue.send(jobs, 60_000), []);
  await outbox.remove(jobs);
  queue.close();
}

export function outcomesOf({ attempts }: Story): string[] {
  return attempts.map(({ outcome }) => outcome);
}

export async function untilClaimed({ db }: Fleet, count: number, state: string): Promise<void> {
  await eventually(async () => {
    const { rows } = await db.query('select count(*)::integer from smtp_relay_claims where state = $1', [state]);
    return rows[0].count === count;
  });
}
