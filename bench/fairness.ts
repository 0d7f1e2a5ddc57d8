/** Measures what one owner's trouble costs another; see README.md beside this file. */
import { once } from 'node:events';
import { mkdir } from 'node:fs/promises';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import pg from 'pg';
import { sqsEnvironment } from '../dev/sqs.ts';
import { createSqsQueue, type SqsQueue } from '../src/queue/sqs/queue.ts';
import { insertMessages } from '../src/store/messages/insert.ts';
import { newMessage } from '../test/support/stored.ts';
import { type SesProcess, startSes } from './processes/ses.ts';
import { startWorker } from './processes/worker.ts';
import { type Stage, type System, startSystem } from './support/system.ts';

const HELP = `Usage: node bin/node24.js bench/fairness.ts [options]

  --scenario <names>   only these, separated by commas: alone, silent, backlog, large, slow
  --source <names>     sqs, outbox (both)
  --seconds <n>        how long B sends, ten messages a second (20); for slow one a second
  --backlog <n>        A's messages for backlog (100000)
  --directory <path>   for logs
`;

const { values } = parseArgs({
  options: {
    scenario: { type: 'string', default: 'alone,silent,backlog,large,slow' },
    source: { type: 'string', default: 'sqs,outbox' },
    seconds: { type: 'string', default: '20' },
    backlog: { type: 'string', default: '100000' },
    directory: { type: 'string', default: join(tmpdir(), `smtp-relay-fairness-${process.pid}`) },
    help: { type: 'boolean', default: false },
  },
});

const LIMIT_MS = 300_000;
const BATCH = 500;
const SLOW_RATE = 5;

interface Context {
  readonly stage: Stage;
  readonly ses: SesProcess;
  readonly db: pg.Pool;
  /** null: jobs come from the outbox. */
  readonly queue: Pick<SqsQueue, 'send'> | null;
  readonly bySqs: boolean;
}

interface Scenario {
  /** What A has waiting before the worker starts. */
  readonly before?: (context: Context) => Promise<void>;
  readonly env?: () => NodeJS.ProcessEnv;
  /** Of B's messages, a second. */
  readonly rate: number;
}

/** Stores messages of A and leaves their jobs in the outbox, as a relay does whose queue is full enough. */
async function storeOfA({ db }: Context, count: number, raw?: Buffer): Promise<void> {
  const size = raw ? 1 : BATCH;
  for (let stored = 0; stored < count; stored += size) {
    const messages = Array.from({ length: Math.min(size, count - stored) }, () =>
      newMessage({ userId: 'a', from: 'hello@a.test', messageId: null, ...(raw && { raw }) }),
    );
    await insertMessages(db, messages, { outboxLease: 0 });
  }
  await db.query('vacuum analyze');
}

/** Stores a message of B and has its job published at once, as the relay does. @returns its id and when it was stored */
async function storeOfB({ db, queue }: Context): Promise<{ readonly id: string; readonly at: number }> {
  const message = newMessage({ userId: 'b', from: 'hello@b.test', messageId: null });
  await insertMessages(db, [message], { outboxLease: queue ? 60_000 : 0 });
  const at = Date.now();
  if (queue) {
    const { rows } = await db.query(
      `select email_id as "emailId", user_id as "userId", try, correlation_id as "correlationId", traceparent,
              requested_at as "requestedAt" from smtp_relay_outbox where email_id = $1`,
      [message.id],
    );
    await queue.send(rows, 10_000);
    await db.query('delete from smtp_relay_outbox where email_id = $1', [message.id]);
  }
  return { id: message.id, at };
}

/** Takes every connection and never says a word. */
async function startSilent(): Promise<net.Server> {
  const server = net.createServer(socket => socket.on('error', () => {}));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return server.unref();
}

const silent = await startSilent();

const SCENARIOS: Readonly<Record<string, Scenario>> = {
  alone: { rate: 10 },
  silent: {
    rate: 10,
    before: context => storeOfA(context, 400),
    env: () => {
      const { port } = silent.address() as net.AddressInfo;
      const smtp = { host: '127.0.0.1', port, security: 'none' };
      return { SMTP_RELAY_ROUTES: JSON.stringify([{ domains: ['a.test'], transport: 'smtp', smtp }]) };
    },
  },
  backlog: { rate: 10, before: context => storeOfA(context, Number(values.backlog)) },
  large: {
    rate: 10,
    before: context => {
      const header =
        'From: hello@a.test\r\nTo: you@example.com\r\nSubject: Large\r\nContent-Transfer-Encoding: base64\r\n\r\n';
      return storeOfA(
        context,
        12,
        Buffer.concat([Buffer.from(header), Buffer.alloc(34_000_000, `${'QUJD'.repeat(19)}\r\n`)]),
      );
    },
  },
  slow: {
    rate: 1,
    before: context => storeOfA(context, 2_000),
    env: () => ({ SMTP_RELAY_SES_SEND_RATE: String(SLOW_RATE) }),
  },
};

async function untilSent({ db }: Context, count: number): Promise<void> {
  const deadline = performance.now() + LIMIT_MS;
  for (;;) {
    const { rows } = await db.query(
      "select count(*)::integer as sent from emails where user_id = 'b' and status = 'sent'",
    );
    if (rows[0].sent >= count || performance.now() > deadline) return;
    await sleep(200);
  }
}

async function measure(context: Context, system: System, name: string, directory: string): Promise<void> {
  const scenario = SCENARIOS[name];
  if (!scenario) throw new Error(`no scenario "${name}"`);
  await scenario.before?.(context);
  const env = { ...(context.bySqs ? {} : { BACKGROUND_JOBS_QUEUE_URL: '' }), ...scenario.env?.() };
  const worker = await startWorker({ ...context, system, directory, profile: false, env });
  // The first seconds are those of the start.
  await sleep(3_000);
  const stored: { readonly id: string; readonly at: number }[] = [];
  const began = performance.now();
  for (let nth = 0; nth < Number(values.seconds) * scenario.rate; nth += 1) {
    await sleep(Math.max(0, began + (nth * 1000) / scenario.rate - performance.now()));
    stored.push(await storeOfB(context));
  }
  await untilSent(context, stored.length);
  const { rows } = await context.db.query(
    "select count(*)::integer as left from emails where user_id = 'a' and status = 'queued'",
  );
  await worker.stop();
  const notes = await context.ses.notes();
  const had = Map.groupBy(notes, ({ emailId }) => emailId);
  const ages = stored
    .map(({ id, at }) => (had.get(id)?.[0]?.at ?? Number.POSITIVE_INFINITY) - at)
    .sort((a, b) => a - b);
  const share = (part: number) => `${Math.round(ages[Math.floor(ages.length * part)] ?? Number.NaN)} ms`;
  const mean = Math.round(ages.reduce((sum, age) => sum + age, 0) / ages.length);
  const lost = ages.filter(age => age === Number.POSITIVE_INFINITY).length;
  const doubled = [...had.values()].filter(({ length }) => length > 1).length;
  console.log(
    `${name} by ${context.bySqs ? 'SQS' : 'the outbox'}: B's ${ages.length} messages: mean ${mean} ms, p50 ${share(0.5)}, p99 ${share(0.99)}, ` +
      `max ${Math.round(ages.at(-1) ?? Number.NaN)} ms; ${lost} lost, ${doubled} doubled; A has ${rows[0].left} left`,
  );
}

async function runOne(system: System, name: string, source: string): Promise<void> {
  const stage = await system.prepare(`bench fairness ${name} ${source}`, 'standalone');
  const db = new pg.Pool({ connectionString: stage.databaseUrl, max: 4 });
  const ses = await startSes();
  const directory = join(values.directory, `${name}-${source}`);
  await mkdir(directory, { recursive: true });
  const bySqs = source === 'sqs';
  const region = { region: 'us-east-1', endpoint: system.sqsEndpoint };
  const queue = bySqs ? createSqsQueue({ queueUrl: stage.queueUrl, ...region, connections: 4, fairQueue: true }) : null;
  try {
    await measure({ stage, ses, db, queue, bySqs }, system, name, directory);
  } finally {
    queue?.close();
    await ses.stop();
    await db.end();
    await stage.remove();
  }
}

if (values.help) {
  console.log(HELP);
} else {
  const system = await startSystem();
  // The AWS SDK finds its credentials nowhere else.
  Object.assign(process.env, sqsEnvironment(system.sqsEndpoint));
  try {
    for (const name of values.scenario.split(','))
      for (const source of values.source.split(',')) await runOne(system, name, source);
  } finally {
    await system.stop();
  }
}
silent.close();
