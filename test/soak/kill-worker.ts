/** Kills workers at random under load, and counts what that came to; see README.md beside this file. */
import { mkdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import pg from 'pg';
import { startWorker } from '../../bench/processes/worker.ts';
import type { Program } from '../../bench/support/program.ts';
import { type Stage, type System, startSystem } from '../../bench/support/system.ts';
import type { ReceivedNote } from '../support/ses/mailbox.ts';
import { type FakeSesProcess, spawnFakeSes } from '../support/ses/start.ts';
import { storeMessage } from '../support/stored.ts';

const HELP = `Usage: node bin/node24.js test/soak/kill-worker.ts [options]

  --seconds <n>       how long messages are stored and workers are killed (300)
  --rate <n>          messages a second (100)
  --workers <n>       workers at the same time (3)
  --every <seconds>   between two kills, on average (4)
  --source <name>     where jobs come from: sqs or outbox (sqs)
  --directory <path>  for logs
`;

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '300' },
    rate: { type: 'string', default: '100' },
    workers: { type: 'string', default: '3' },
    every: { type: 'string', default: '4' },
    source: { type: 'string', default: 'sqs' },
    directory: { type: 'string', default: join(tmpdir(), `smtp-relay-kill-${process.pid}`) },
    help: { type: 'boolean', default: false },
  },
});

const LEASE_MS = 5_000;
/** Long enough that a kill often meets a call. */
const SES_LATENCY_MS = 30;
/** For what is left at the end, while nothing of it is done: a lease, its grace, and time to spare. */
const DRAIN_LIMIT_MS = 60_000;

interface Context {
  readonly stage: Stage;
  readonly system: System;
  readonly ses: FakeSesProcess;
  readonly db: pg.Pool;
}

/** What the database says of a message. */
interface Outcome {
  readonly id: string;
  readonly status: string;
  readonly unknown: number;
  readonly acceptedAt: Date;
}

const OUTCOMES = `
  select e.id, e.status, e.created_at as "acceptedAt",
         (select count(*)::integer from smtp_relay_attempts a where a.email_id = e.id and a.outcome = 'unknown') as unknown
    from emails e`;

const OPEN = "select count(*)::integer as open from emails where status in ('queued', 'processing')";

/** Stores messages at an even rate, whatever the workers do. @returns how many */
async function store(db: pg.Pool, rate: number, until: number): Promise<number> {
  const began = performance.now();
  const storing = new Set<Promise<unknown>>();
  let count = 0;
  while (performance.now() < until) {
    const due = Math.floor(((performance.now() - began) / 1_000) * rate);
    for (; count < due; count += 1) {
      const stored = storeMessage(db, { userId: `owner${count % 5}` }).finally(() => storing.delete(stored));
      storing.add(stored);
    }
    await sleep(10);
  }
  await Promise.all(storing);
  return count;
}

/** A number of workers, of which any may be killed and is replaced at once. */
class Fleet {
  readonly #context: Context;
  readonly #workers: (Program | null)[] = [];
  readonly #starting = new Set<Promise<void>>();
  #started = 0;
  kills = 0;

  constructor(context: Context) {
    this.#context = context;
  }

  async start(count: number): Promise<void> {
    await Promise.all(Array.from({ length: count }, (_, place) => this.#startAt(place)));
  }

  async killAtRandom(everyMs: number, until: number): Promise<void> {
    for (;;) {
      const pause = everyMs * (0.5 + Math.random());
      if (performance.now() + pause >= until) break;
      await sleep(pause);
      const places = [...this.#workers.keys()].filter(place => this.#workers[place] !== null);
      const place = places[Math.floor(Math.random() * places.length)];
      if (place !== undefined) await this.#kill(place);
    }
    await Promise.all(this.#starting);
  }

  async stop(): Promise<void> {
    await Promise.all(this.#workers.map(worker => worker?.stop()));
  }

  async #kill(place: number): Promise<void> {
    const worker = this.#workers[place];
    this.#workers[place] = null;
    this.kills += 1;
    await worker?.kill();
    const starting = this.#startAt(place).finally(() => this.#starting.delete(starting));
    this.#starting.add(starting);
  }

  async #startAt(place: number): Promise<void> {
    this.#started += 1;
    this.#workers[place] = await startWorker({
      ...this.#context,
      directory: join(values.directory, `worker-${this.#started}`),
      profile: false,
      env: {
        SMTP_RELAY_WORKER_LEASE_TIME: `${LEASE_MS}ms`,
        SMTP_RELAY_DATABASE_POOL_SIZE: '5',
        ...(values.source === 'outbox' && { BACKGROUND_JOBS_QUEUE_URL: '' }),
      },
    });
  }
}

/** Waits until nothing is left, or nothing goes on any more. @returns seconds */
async function drain(db: pg.Pool): Promise<number> {
  const began = performance.now();
  let least = Number.POSITIVE_INFINITY;
  for (let movedAt = began; performance.now() - movedAt < DRAIN_LIMIT_MS; await sleep(100)) {
    const { rows } = await db.query<{ open: number }>(OPEN);
    const open = rows[0]?.open ?? 0;
    if (open < least) movedAt = performance.now();
    least = Math.min(least, open);
    if (open === 0) break;
  }
  return (performance.now() - began) / 1_000;
}

/** The table's rows, and whether all promises were kept. */
function judge(outcomes: readonly Outcome[], notes: readonly ReceivedNote[], stored: number) {
  const copies = new Map<string, number[]>();
  for (const { emailId, at } of notes) copies.set(emailId ?? '', [...(copies.get(emailId ?? '') ?? []), at]);
  const timesOf = ({ id }: Outcome) => copies.get(id) ?? [];
  const lost = outcomes.filter(outcome => outcome.status !== 'sent' || timesOf(outcome).length === 0);
  const twice = outcomes.filter(outcome => timesOf(outcome).length > 1);
  const unexplained = twice.filter(outcome => timesOf(outcome).length - 1 > outcome.unknown);
  const unknown = outcomes.filter(outcome => outcome.unknown > 0);
  const waits = outcomes
    .flatMap(outcome =>
      timesOf(outcome)
        .slice(0, 1)
        .map(at => at - outcome.acceptedAt.getTime()),
    )
    .sort((one, other) => one - other);
  const wait = (share: number) => Math.round(waits[Math.min(waits.length - 1, Math.floor(waits.length * share))] ?? 0);
  const kept = outcomes.length === stored && lost.length === 0 && unexplained.length === 0;
  return {
    kept,
    rows: [
      ['accepted', stored],
      ['sent', outcomes.length - lost.length],
      ['lost', stored - outcomes.length + lost.length],
      ['sent more than once', twice.length],
      ['of those, explained by an unknown attempt', twice.length - unexplained.length],
      ['unexplained', unexplained.length],
      ['unknown, though SES did not have it', unknown.length - twice.length + unexplained.length],
      ['250 to SES, p50 ms', wait(0.5)],
      ['250 to SES, p99 ms', wait(0.99)],
      ['250 to SES, longest ms', wait(1)],
    ] as const,
  };
}

async function run(context: Context): Promise<boolean> {
  const { db, ses } = context;
  const fleet = new Fleet(context);
  try {
    await fleet.start(Number(values.workers));
    const until = performance.now() + Number(values.seconds) * 1_000;
    const killing = fleet.killAtRandom(Number(values.every) * 1_000, until);
    const stored = await store(db, Number(values.rate), until);
    await killing;
    const drained = await drain(db);
    const { rows: outcomes } = await db.query<Outcome>(OUTCOMES);
    const { notes } = await ses.control<{ notes: ReceivedNote[] }>('notes');
    const verdict = judge(outcomes, notes, stored);
    const rows = [['seconds', values.seconds], ['workers killed', fleet.kills], ...verdict.rows] as const;
    console.log('| | |\n| --- | ---: |');
    for (const [name, value] of [...rows, ['drained in, s', drained.toFixed(1)]]) console.log(`| ${name} | ${value} |`);
    console.log(verdict.kept ? '\nNothing lost; every duplicate is explained.' : '\nNOT KEPT. See the logs.');
    return verdict.kept;
  } finally {
    await fleet.stop();
  }
}

async function main(): Promise<void> {
  await mkdir(values.directory, { recursive: true });
  const system = await startSystem();
  const ses = await spawnFakeSes({ keep: 0, latency: SES_LATENCY_MS });
  const stage = await system.prepare('kill', 'standalone');
  const db = new pg.Pool({ connectionString: stage.databaseUrl, max: 8 });
  try {
    process.exitCode = (await run({ stage, system, ses, db })) ? 0 : 1;
  } finally {
    await db.end();
    await ses.stop();
    await stage.remove();
    await system.stop();
  }
  console.log(`Logs: ${values.directory}`);
}

if (values.help) console.log(HELP);
else await main();
