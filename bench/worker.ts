/** Measures how fast the worker sends, how soon, and in how much memory; see README.md beside this file. */
import { mkdir } from 'node:fs/promises';
import { cpus, tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import pg from 'pg';
import { sqsEnvironment } from '../dev/sqs.ts';
import { createSqsQueue } from '../src/queue/sqs/queue.ts';
import { Outbox } from '../src/store/messages/outbox.ts';
import { storeMessage } from '../test/support/stored.ts';
import { type SesProcess, startSes } from './processes/ses.ts';
import { startWorker } from './processes/worker.ts';
import { generate } from './support/measure.ts';
import { topFunctions } from './support/profile.ts';
import { startRelay } from './support/relay.ts';
import { type Stage, type System, startSystem } from './support/system.ts';
import { usageOfTree } from './support/usage.ts';

const HELP = `Usage: node bin/node24.js bench/worker.ts [options]

  --scenario <names>   only these, separated by commas: throughput, latency, memory, large, beside
  --messages <n>       for throughput (20000)
  --seconds <n>        for latency (20)
  --rate <n>           messages a second for latency (300)
  --rounds <n>         times that throughput is measured (1)
  --against <folder>   in each of them also the worker of another checkout, its packages installed
  --profile [--top <n>]  run the worker under the CPU profiler and print the n functions (25) that took most time
  --directory <path>   for logs and profiles
`;

const { values } = parseArgs({
  options: {
    scenario: { type: 'string', default: 'throughput,latency,memory,large,beside' },
    messages: { type: 'string', default: '20000' },
    seconds: { type: 'string', default: '20' },
    rate: { type: 'string', default: '300' },
    rounds: { type: 'string', default: '1' },
    against: { type: 'string' },
    profile: { type: 'boolean', default: false },
    top: { type: 'string', default: '25' },
    directory: { type: 'string', default: join(tmpdir(), `smtp-relay-bench-${process.pid}`) },
    help: { type: 'boolean', default: false },
  },
});

const LIMIT_MS = 300_000;
const MB = 1_000_000;

interface Context {
  readonly system: System;
  readonly stage: Stage;
  readonly ses: SesProcess;
  readonly directory: string;
  readonly db: pg.Pool;
}

/** 2 KB with its header, as a short notification has. */
function smallMessage(): string {
  const header =
    'From: hello@bench.test\r\nTo: you@example.com\r\nSubject: Your receipt\r\nDate: Mon, 23 Nov 2026 10:00:00 +0000\r\n';
  const body = `${'0123456789abcdef '.repeat(4)}\r\n`.repeat(26);
  return `${header}Message-ID: <bench@bench.test>\r\nMIME-Version: 1.0\r\nContent-Type: text/plain\r\n\r\n${body}`;
}

/** Stores messages and publishes their jobs, as the relay does. */
async function seed(
  { stage, system, db }: Context,
  count: number,
  raw: () => string | Buffer,
  userId = 'bench',
): Promise<void> {
  const queue = createSqsQueue({
    queueUrl: stage.queueUrl,
    region: 'us-east-1',
    endpoint: system.sqsEndpoint,
    connections: 8,
    fairQueue: true,
  });
  for (let stored = 0; stored < count; stored += 100) {
    const batch = Array.from({ length: Math.min(100, count - stored) }, () =>
      storeMessage(db, { userId, from: 'hello@bench.test', raw: raw() }),
    );
    await Promise.all(batch);
  }
  const outbox = new Outbox(db);
  for (let jobs = await outbox.leaseDue(10, 60_000); jobs.length > 0; jobs = await outbox.leaseDue(10, 60_000)) {
    await queue.send(jobs, 10_000);
    await outbox.remove(jobs);
  }
  queue.close();
}

async function untilSent({ db }: Context, count: number): Promise<void> {
  const deadline = performance.now() + LIMIT_MS;
  for (;;) {
    const { rows } = await db.query("select count(*)::integer as sent from emails where status = 'sent'");
    if (rows[0].sent >= count) return;
    if (performance.now() > deadline) throw new Error(`only ${rows[0].sent} of ${count} sent within ${LIMIT_MS} ms`);
    await sleep(200);
  }
}

/** This checkout's worker, and in turns with it another's where that is asked for. */
async function throughput(context: Context): Promise<void> {
  const { against } = values;
  const workers = [
    { name: 'throughput' },
    ...(against ? [{ name: 'against', main: resolve(against, 'src/main.ts') }] : []),
  ];
  for (let round = 0; round < Number(values.rounds); round += 1) {
    // Nobody is always first.
    for (const worker of round % 2 === 0 ? workers : workers.toReversed()) await throughputOf(worker, context);
  }
}

async function throughputOf({ name, main }: { name: string; main?: string }, context: Context): Promise<void> {
  const { ses, db, system } = context;
  const count = Number(values.messages);
  await db.query('truncate emails cascade');
  await seed(context, count, smallMessage);
  await db.query('vacuum analyze');
  const cpu = () => ({
    SES: ses.usage().cpuSeconds,
    Postgres: usageOfTree(system.pids.postgres).cpuSeconds,
    SQS: usageOfTree(system.pids.sqs).cpuSeconds,
  });
  const earlier = (await ses.notes()).length;
  const before = cpu();
  const worker = await startWorker({ ...context, profile: values.profile, ...(main && { main }) });
  await untilSent(context, count);
  const { cpuSeconds, peakBytes } = worker.usage();
  const after = cpu();
  await worker.stop();
  const times = (await ses.notes()).slice(earlier).map(({ at }) => at);
  // The middle: without the start of the process, and without the last stragglers.
  const [from, to] = [times[Math.floor(count * 0.1)] ?? 0, times[Math.floor(count * 0.9)] ?? 0];
  const rate = (count * 0.8) / ((to - from) / 1000);
  const perThousand = (seconds: number) => ((seconds / count) * 1000).toFixed(3);
  const others = (['Postgres', 'SES', 'SQS'] as const).map(
    what => `${what} ${perThousand(after[what] - before[what])}`,
  );
  console.log(
    `${name}: ${Math.round(rate)} sends/s of 2 KB, ${times.length} sent of ${count}; CPU s/1000: worker ` +
      `${perThousand(cpuSeconds)}, ${others.join(', ')}; worker's peak RSS ${Math.round(peakBytes / MB)} MB`,
  );
}

/** From the acceptance, as the row has it, to when the transport had the message. */
async function latency(context: Context): Promise<void> {
  const { stage, system, ses, directory, db } = context;
  const relay = await startRelay({
    system,
    stage,
    pipeline: 'standalone',
    tls: false,
    directory: join(directory, 'relay'),
    profile: false,
  });
  const worker = await startWorker({ ...context, profile: values.profile });
  const target = { host: '127.0.0.1', port: relay.port, key: stage.key };
  const load = {
    name: 'load',
    target,
    seconds: Number(values.seconds),
    warmUpSeconds: 3,
    pipelining: false,
    connections: 32,
    rate: Number(values.rate),
    message: { kind: 'text' as const, size: 2_000 },
  };
  await generate(load, () => {});
  const { rows } = await db.query<{ id: string; at: Date }>(
    'select id, created_at as at from emails order by created_at',
  );
  await untilSent(context, rows.length);
  await worker.stop();
  await relay.stop();
  const had = new Map((await ses.notes()).map(({ emailId, at }) => [emailId, at]));
  const first = rows[0]?.at.getTime() ?? 0;
  const measured = rows.filter(({ at }) => at.getTime() > first + 3_000);
  const ages = measured
    .map(({ id, at }) => (had.get(id) ?? Number.POSITIVE_INFINITY) - at.getTime())
    .sort((a, b) => a - b);
  const share = (part: number) => `${ages[Math.floor(ages.length * part)]} ms`;
  const rate = Math.round(measured.length / Number(values.seconds));
  console.log(
    `latency: ${measured.length} messages at ${rate}/s; from acceptance to SES p50 ${share(0.5)}, p95 ${share(0.95)}, p99 ${share(0.99)}, max ${ages.at(-1)} ms`,
  );
}

/** A short text, and a file in Base64. */
function largeMessage(bytes: number): Buffer {
  const [header] = smallMessage().split('\r\n\r\n');
  const fields = header?.replace('text/plain', 'multipart/mixed; boundary=b');
  const file = 'Content-Type: application/pdf\r\nContent-Transfer-Encoding: base64\r\n\r\n';
  const head = Buffer.from(`${fields}\r\n\r\n--b\r\n\r\nSee the file.\r\n--b\r\n${file}`);
  const content = Buffer.alloc(bytes - head.length, `${'QUJD'.repeat(19)}\r\n`);
  return Buffer.concat([head, content, Buffer.from('\r\n--b--\r\n')]);
}

/** How fast large messages go out, as many at a time as the worker sends. */
async function large(context: Context): Promise<void> {
  for (const [megabytes, count] of [
    [7, 28],
    [34, 6],
  ] as const) {
    await context.db.query('delete from emails');
    const raw = largeMessage(megabytes * MB);
    for (let stored = 0; stored < count; stored += 4) await seed(context, 4, () => raw);
    const before = context.ses.usage().cpuSeconds;
    const worker = await startWorker({ ...context, profile: values.profile });
    const started = performance.now();
    await untilSent(context, count);
    const seconds = (performance.now() - started) / 1000;
    const { peakBytes, cpuSeconds } = worker.usage();
    await worker.stop();
    console.log(
      `large: ${count} messages of ${megabytes} MB in ${seconds.toFixed(1)} s (${Math.round((count * megabytes) / seconds)} MB/s); ` +
        `worker's peak RSS ${Math.round(peakBytes / MB)} MB, CPU ${cpuSeconds.toFixed(1)} s, SES ${(context.ses.usage().cpuSeconds - before).toFixed(1)} s`,
    );
  }
}

/** Another owner's small messages beside large ones that came before them. */
async function beside(context: Context): Promise<void> {
  const [many, few] = [12, 300];
  const raw = largeMessage(34 * MB);
  for (let stored = 0; stored < many; stored += 4) await seed(context, 4, () => raw, 'large');
  await seed(context, few, smallMessage, 'small');
  const worker = await startWorker({ ...context, profile: values.profile });
  const started = Date.now();
  await untilSent(context, many + few);
  const { peakBytes } = worker.usage();
  await worker.stop();
  const notes = await context.ses.notes();
  const last = (isLarge: boolean) =>
    Math.max(...notes.filter(({ bytes }) => bytes > MB === isLarge).map(({ at }) => at)) - started;
  console.log(
    `beside: ${many} messages of 34 MB, and ${few} small ones of another owner; the last small one ${last(false)} ms after the ` +
      `start, the last large one ${last(true)} ms; worker's peak RSS ${Math.round(peakBytes / MB)} MB`,
  );
}

async function memory(context: Context): Promise<void> {
  const count = 100;
  const raw = largeMessage(30 * MB);
  for (let stored = 0; stored < count; stored += 2) await seed(context, 2, () => raw);
  const worker = await startWorker({ ...context, profile: values.profile });
  const started = performance.now();
  await untilSent(context, count);
  const seconds = (performance.now() - started) / 1000;
  const { peakBytes } = worker.usage();
  await worker.stop();
  console.log(
    `memory: ${count} messages of 30 MB in ${seconds.toFixed(0)} s (${Math.round((count * 30) / seconds)} MB/s); worker's peak RSS ${Math.round(peakBytes / MB)} MB`,
  );
}

const SCENARIOS: Readonly<Record<string, (context: Context) => Promise<void>>> = {
  throughput,
  latency,
  memory,
  large,
  beside,
};

async function runOne(system: System, name: string): Promise<void> {
  const scenario = SCENARIOS[name];
  if (!scenario) throw new Error(`no scenario "${name}"`);
  const stage = await system.prepare(`bench worker ${name}`, 'standalone');
  const db = new pg.Pool({ connectionString: stage.databaseUrl, max: 4 });
  const ses = await startSes();
  const directory = join(values.directory, name);
  await mkdir(directory, { recursive: true });
  try {
    await scenario({ system, stage, ses, directory, db });
    if (values.profile) console.log(await topFunctions(directory, Number(values.top)));
  } finally {
    await ses.stop();
    await db.end();
    await stage.remove();
  }
}

if (values.help) {
  console.log(HELP);
} else {
  console.log(`${cpus().length} cores, ${cpus()[0]?.model}, Node ${process.version}`);
  const system = await startSystem();
  // The AWS SDK finds its credentials nowhere else.
  Object.assign(process.env, sqsEnvironment(system.sqsEndpoint));
  try {
    for (const name of values.scenario.split(',')) await runOne(system, name);
  } finally {
    await system.stop();
  }
}
