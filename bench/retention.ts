import { randomBytes, randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import pg from 'pg';
import { newTrace } from '../src/observability/tracing.ts';
import { insertMessages } from '../src/store/messages/insert.ts';
import type { NewMessage } from '../src/store/messages/new-message.ts';
import {
  applyRetention,
  type RetentionBatch,
  type RetentionKind,
  type RetentionPeriods,
} from '../src/store/retention/retention.ts';
import { startSystem } from './support/system.ts';

/**
 * What retention costs: how long a million rows of each kind take, how long its longest statement holds others up, and how
 * long a message takes to be stored meanwhile.
 *
 *     node bin/node24.js bench/retention.ts --rows 1000000
 */
const HELP = 'node bin/node24.js bench/retention.ts [--rows 1000000] [--rate 100] [--seconds 10]';

const { values: options } = parseArgs({
  options: {
    rows: { type: 'string', default: '1000000' },
    /** Messages stored a second meanwhile. */
    rate: { type: 'string', default: '100' },
    /** How long storing is measured on its own, for comparison. */
    seconds: { type: 'string', default: '10' },
    help: { type: 'boolean', default: false },
  },
});

const DAY = 86_400_000;
const FOREVER = Number.POSITIVE_INFINITY;
const FILL_BATCH = 20_000;
const RAW_BYTES = 2_048;
const KINDS = ['raw', 'bodies', 'deliveries', 'events'] as const satisfies readonly RetentionKind[];

/** $1 rows, $2 the first one's number, $3 of how many: the oldest are 60 days old, the youngest 31. */
const FILL = `
  with email as (
    insert into emails ("from", "to", subject, html, text, headers, status, user_id, created_at)
    select 'Bench <bench@bench.test>', '["to@example.com"]', 'Message ' || n, repeat('<p>text of it</p>', 60),
           repeat('text of it ', 60), '{"Message-ID": "<1@bench.test>"}', 'delivered', 'owner' || n % 100,
           now() - interval '60 days' + interval '29 days' * (n::float / $3::integer)
      from generate_series($2::integer, $2::integer + $1::integer - 1) n
    returning id, user_id, created_at
  ), raw as (
    insert into smtp_relay_messages (email_id, raw, sha256, size_bytes, reverse_path, recipients, message_id, created_at)
    select id, $4::bytea, '', length($4::bytea), 'bounce@bench.test', '["to@example.com"]', id::text, created_at from email
  ), event as (
    insert into email_events (email_id, source_id, type, payload, user_id, received_at)
    select id, id::text, 'delivered', '{"recipients": ["to@example.com"], "email_id": "1"}', user_id, created_at from email
    returning id, received_at
  )
  insert into webhook_deliveries (event_id, attempt, status, status_code, response_body, attempted_at, created_at)
  select id, 1, 'success', 200, 'ok', received_at, received_at from event`;

interface Line {
  readonly what: string;
  readonly removed: number;
  readonly seconds: number;
  readonly batches: readonly RetentionBatch[];
  readonly inserts: readonly number[];
}

async function main(): Promise<void> {
  if (options.help) return void console.log(HELP);
  const system = await startSystem();
  try {
    const { databaseUrl } = await system.prepare('retention', 'standalone');
    const pool = new pg.Pool({ connectionString: databaseUrl, max: 4 });
    // What ended the run is to be seen, rather than that the server was stopped after it.
    pool.on('error', () => {});
    await fill(pool, Number(options.rows));
    const lines = [await measure(pool, 'nothing', () => delay(Number(options.seconds) * 1000, {}))];
    for (const kind of KINDS) {
      const periods: RetentionPeriods = {
        raw: FOREVER,
        bodies: FOREVER,
        events: FOREVER,
        deliveries: FOREVER,
        [kind]: 30 * DAY,
      };
      lines.push(await measure(pool, kind, batches => retain(pool, periods, batches)));
    }
    report(lines);
    await pool.end();
  } finally {
    await system.stop();
  }
}

async function fill(pool: pg.Pool, rows: number): Promise<void> {
  const began = performance.now();
  for (let first = 0; first < rows; first += FILL_BATCH) {
    await pool.query(FILL, [Math.min(FILL_BATCH, rows - first), first, rows, randomBytes(RAW_BYTES)]);
  }
  await pool.query('vacuum analyze');
  console.log(`${rows} messages with an event and a delivery each, filled in ${seconds(performance.now() - began)} s`);
}

async function retain(
  pool: pg.Pool,
  periods: RetentionPeriods,
  batches: RetentionBatch[],
): Promise<Record<string, number>> {
  return applyRetention({
    db: pool,
    periods,
    signal: new AbortController().signal,
    onBatch: batch => batches.push(batch),
  });
}

/** Does the work, and stores messages at the rate meanwhile. */
async function measure(
  pool: pg.Pool,
  what: string,
  work: (batches: RetentionBatch[]) => Promise<Record<string, number>>,
): Promise<Line> {
  const ended = new AbortController();
  const batches: RetentionBatch[] = [];
  const storing = storeMessages(pool, ended.signal);
  const began = performance.now();
  const removed = Object.values(await work(batches)).reduce((sum, count) => sum + count, 0);
  const took = performance.now() - began;
  ended.abort();
  return { what, removed, seconds: took / 1000, batches, inserts: await storing };
}

/** @returns milliseconds of each, from when it was due */
async function storeMessages(pool: pg.Pool, signal: AbortSignal): Promise<number[]> {
  const interval = 1000 / Number(options.rate);
  const took: number[] = [];
  const began = performance.now();
  const calls: Promise<void>[] = [];
  for (let due = began; !signal.aborted; due += interval) {
    await delay(Math.max(0, due - performance.now()), undefined, { signal }).catch(() => {});
    const from = due;
    const store = async () => {
      await insertMessages(pool, [newMessage()], { outboxLease: 60_000 });
      took.push(performance.now() - from);
    };
    calls.push(store());
  }
  await Promise.all(calls);
  return took.sort((a, b) => a - b);
}

function newMessage(): NewMessage {
  const raw = randomBytes(RAW_BYTES);
  return {
    id: randomUUID(),
    userId: 'owner1',
    from: 'bench@bench.test',
    to: ['to@example.com'],
    cc: [],
    bcc: [],
    replyTo: [],
    subject: 'Meanwhile',
    text: 'Hi',
    html: null,
    headers: {},
    attachments: [],
    attachmentsJson: null,
    tags: [],
    trace: newTrace(),
    messageId: randomUUID(),
    original: {
      raw,
      sha256: randomBytes(32),
      reversePath: 'bounce@bench.test',
      recipients: ['to@example.com'],
      bodyType: '7BIT',
      smtpUtf8: false,
    },
    idempotency: null,
  };
}

function report(lines: readonly Line[]): void {
  console.table(
    lines.map(({ what, removed, seconds, batches, inserts }) => {
      const times = batches.map(({ milliseconds }) => milliseconds).sort((a, b) => a - b);
      return {
        removing: what,
        rows: removed,
        's per million': removed > 0 ? round((seconds * 1e6) / removed) : '',
        batches: times.length,
        'batch p50 ms': round(quantile(times, 0.5)),
        'batch p99 ms': round(quantile(times, 0.99)),
        'longest batch ms': round(times.at(-1) ?? 0),
        stored: inserts.length,
        'store p50 ms': round(quantile(inserts, 0.5)),
        'store p99 ms': round(quantile(inserts, 0.99)),
      };
    }),
  );
}

function quantile(sorted: readonly number[], share: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0;
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}

function seconds(milliseconds: number): string {
  return (milliseconds / 1000).toFixed(1);
}

await main();
