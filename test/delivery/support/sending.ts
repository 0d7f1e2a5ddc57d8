import type pg from 'pg';
import { pino } from 'pino';
import type { SettingName } from '../../../src/config/schema.ts';
import { createEventIntake } from '../../../src/events/intake.ts';
import { createEventsMetrics } from '../../../src/events/metrics.ts';
import { createRegistry } from '../../../src/observability/metrics.ts';
import { eventually } from '../../support/eventually.ts';
import type { TestContext } from '../../support/relay.ts';
import type { FakeSes } from '../../support/ses/server.ts';
import { startFakeSes } from '../../support/ses/start.ts';
import { type StoredOptions, storeMessage } from '../../support/stored.ts';
import { startWorker, type TestWorker } from '../../support/worker.ts';

/** All that the database knows of a message. */
export interface Story {
  readonly row: Readonly<Record<string, unknown>> & { readonly status: string };
  readonly attempts: readonly StoredAttempt[];
  readonly events: readonly { readonly type: string; readonly payload: Readonly<Record<string, unknown>> }[];
  readonly claim: { readonly state: string } | null;
}

export interface StoredAttempt {
  readonly try: number;
  readonly outcome: string;
  readonly recipients: readonly string[];
  readonly code: string | null;
  readonly message: string | null;
  readonly transport: string;
}

/** A worker that sends by a fake SES. */
export interface Sending {
  readonly ses: FakeSes;
  readonly worker: TestWorker;
  readonly db: pg.Pool;
  store(options?: StoredOptions): Promise<string>;
  story(id: string): Promise<Story>;
  /** Waits until the row has the status. @throws what it is instead */
  until(id: string, status: string): Promise<Story>;
  /** Lets the time of the message's next try come. */
  makeDue(id: string): Promise<void>;
  /** The recipients of each call that SES took, in order. */
  received(id: string): (readonly string[])[];
  /** Records a notification of SES. */
  tell(notification: object): Promise<void>;
}

const SETTINGS = { transport: 'ses', 'retries.firstPause': 100, 'retries.longestPause': 400, 'ses.sendRate': 100_000 };

export async function startSending(
  t: TestContext,
  settings: Readonly<Partial<Record<SettingName, unknown>>> = {},
): Promise<Sending> {
  const ses = await startFakeSes(t);
  const worker = await startWorker(t, { settings: { ...SETTINGS, 'ses.endpoint': ses.endpoint, ...settings } });
  const { db } = worker;
  const metrics = createEventsMetrics(createRegistry());
  const intake = createEventIntake({ pool: db, metrics, logger: pino({ level: 'silent' }) });
  const story = (id: string) => storyOf(db, id);
  return {
    ses,
    worker,
    db,
    store: options => storeMessage(db, options),
    story,
    until: (id, status) => untilStatus(db, id, status),
    makeDue: id => makeDue(db, id),
    received: id => receivedBy(ses, id),
    tell: async notification => {
      const [done] = await intake.record([JSON.stringify(notification)], 'sns');
      if (!done) throw new Error('the notification could not be read');
    },
  };
}

export function receivedBy({ mailbox }: Pick<FakeSes, 'mailbox'>, id: string): (readonly string[])[] {
  return mailbox.messages
    .filter(({ tags }) => tags['smtp-relay-email-id'] === id)
    .map(({ recipients }) => [...recipients]);
}

export async function untilStatus(db: pg.Pool, id: string, status: string): Promise<Story> {
  await eventually(async () => {
    const now = (await db.query('select status from emails where id = $1', [id])).rows[0]?.status;
    if (now !== status) throw new Error(`the message is ${now}, not ${status}`);
    return true;
  });
  return storyOf(db, id);
}

async function makeDue(db: pg.Pool, id: string): Promise<void> {
  await db.query('update emails set provider_next_retry_at = now() where id = $1', [id]);
  await db.query('update smtp_relay_outbox set due_at = now() where email_id = $1', [id]);
}

/** As it stands at one moment. */
export async function storyOf(db: pg.Pool, id: string): Promise<Story> {
  const client = await db.connect();
  try {
    await client.query('begin isolation level repeatable read');
    const rows = async (sql: string) => (await client.query(sql, [id])).rows;
    return {
      row: (await rows('select * from emails where id = $1'))[0],
      attempts: await rows('select * from smtp_relay_attempts where email_id = $1 order by id'),
      events: await rows('select type, payload from email_events where email_id = $1 order by received_at, type'),
      claim: (await rows('select state from smtp_relay_claims where email_id = $1'))[0] ?? null,
    };
  } finally {
    await client.query('rollback').finally(() => client.release());
  }
}

/** So many recipients, all different. */
export function addresses(count: number): string[] {
  return Array.from({ length: count }, (_, nth) => `to${nth + 1}@example.com`);
}
