/** Measures whether what is stored makes the rest slower; see README.md beside this file. */

import { randomUUID } from 'node:crypto';
import { parseArgs } from 'node:util';
import pg from 'pg';
import { pino } from 'pino';
import { createPool } from '../src/postgres/pool.ts';
import { createWebhook } from '../src/store/webhooks/webhooks.ts';
import { fill, type Ids } from './support/scale-fill.ts';
import { type Step, stepsOf } from './support/scale-work.ts';
import { startSystem } from './support/system.ts';
import { watchUsage } from './support/usage.ts';

const HELP =
  'node bin/node24.js bench/scale.ts [--messages 0,1000000,10000000] [--rounds 7] [--each 2000] [--ids ordered|random]';

const { values } = parseArgs({
  options: {
    help: { type: 'boolean', default: false },
    /** How many messages are there before, of each database; the first one is what others are compared with. */
    messages: { type: 'string', default: '0,1000000,10000000' },
    rounds: { type: 'string', default: '7' },
    /** Messages that each round stores, claims and settles. */
    each: { type: 'string', default: '2000' },
    ids: { type: 'string', default: 'ordered' },
  },
});

/** In every database, so that there is something to remove and to list. */
const LEAST = 20_000;
const OWNER = 'owner1';
/** The relay's and the worker's own, so that statements are kept which they have kept. */
const POOL = { poolSize: 4, connectTimeout: 10_000, statementTimeout: 0, preparedStatements: 'auto' } as const;
const logger = pino({ level: 'silent' });

interface Database {
  readonly messages: number;
  readonly pool: pg.Pool;
  readonly steps: readonly Step[];
  /** By step: what one thing cost in each round. */
  readonly costs: Map<string, Cost[]>;
}

/** For one thing. */
interface Cost {
  readonly ms: number;
  /** Milliseconds of CPU of Postgres' sessions. */
  readonly cpu: number;
  /** Bytes of write-ahead log. */
  readonly wal: number;
}

async function main(): Promise<void> {
  if (values.help) return void console.log(HELP);
  const system = await startSystem({ wal_level: 'minimal', max_wal_senders: '0' });
  try {
    const databases: Database[] = [];
    for (const messages of values.messages.split(',').map(Number)) {
      const { databaseUrl } = await system.prepare(`scale ${messages}`, 'standalone');
      databases.push(await open(databaseUrl, messages));
    }
    for (const { pool } of databases) await pool.query('checkpoint');
    for (let round = 0; round <= Number(values.rounds); round += 1) {
      // In turn, so that whatever else the machine does meets all of them.
      for (const database of databases) await measure(database, round > 0);
    }
    report(databases);
    for (const { pool } of databases) await pool.end();
  } finally {
    await system.stop();
  }
}

async function open(databaseUrl: string, messages: number): Promise<Database> {
  const client = new pg.Client({ connectionString: databaseUrl });
  await client.connect();
  const webhookId = randomUUID();
  await createWebhook(client, { id: webhookId, owner: OWNER, url: 'https://hook.example/', events: ['*'], secret: '' });
  const began = performance.now();
  await fill(client, { count: Math.max(LEAST, messages), ids: values.ids as Ids, webhookId });
  const { rows } = await client.query<{ gb: number }>(
    'select round(pg_database_size(current_database()) / 1e9, 2)::float8 as gb',
  );
  console.log(`${messages} messages filled in ${((performance.now() - began) / 1000).toFixed()} s, ${rows[0]?.gb} GB`);
  await client.end();
  const pool = createPool({ ...POOL, databaseUrl }, logger);
  const newId = values.ids === 'ordered' ? orderedId : randomUUID;
  return { messages, pool, steps: stepsOf({ pool, messages: Number(values.each), newId }), costs: new Map() };
}

function orderedId(): string {
  const time = Date.now().toString(16).padStart(12, '0');
  return `${time.slice(0, 8)}-${time.slice(8)}${randomUUID().slice(13)}`;
}

async function measure({ pool, steps, costs }: Database, counts: boolean): Promise<void> {
  for (const { name, run } of steps) {
    const before = await readCost(pool);
    const things = await run();
    const after = await readCost(pool);
    if (!counts) continue;
    const cost = {
      ms: (after.ms - before.ms) / things,
      cpu: (after.cpu - before.cpu) / things,
      wal: (after.wal - before.wal) / things,
    };
    costs.set(name, [...(costs.get(name) ?? []), cost]);
  }
}

async function readCost(pool: pg.Pool): Promise<Cost> {
  const { rows } = await pool.query<{ pid: number }>(
    'select pid from pg_stat_activity where datname = current_database()',
  );
  const cpu = rows.reduce((sum, { pid }) => sum + watchUsage(pid).read().cpuSeconds * 1000, 0);
  const wal = await pool.query<{ bytes: number }>("select pg_current_wal_lsn() - '0/0' as bytes");
  return { ms: performance.now(), cpu, wal: Number(wal.rows[0]?.bytes) };
}

function report(databases: readonly Database[]): void {
  const [first] = databases;
  for (const kind of ['ms', 'cpu', 'wal'] as const) {
    console.log({ ms: 'time, ms', cpu: 'CPU of Postgres, ms', wal: 'write-ahead log, bytes' }[kind]);
    console.table(
      first?.steps.map(({ name }) => {
        const typical = databases.map(({ costs }) => median((costs.get(name) ?? []).map(cost => cost[kind])));
        const [base = 0] = typical;
        const columns = databases.map(({ messages }, index) => [
          [`at ${messages}`, round(typical[index] ?? 0)],
          ...(index > 0 ? [[`ratio ${messages}`, round((typical[index] ?? 0) / base)]] : []),
        ]);
        return { one: name, ...Object.fromEntries(columns.flat()) };
      }) ?? [],
    );
  }
}

function median(all: readonly number[]): number {
  return all.toSorted((a, b) => a - b)[Math.floor(all.length / 2)] ?? 0;
}

function round(value: number): number {
  return Number(value.toPrecision(3));
}

await main();
