/** Measures what one key's hostile messages do to the relay's memory and to others; see README.md beside this file. */

import { once } from 'node:events';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { Worker } from 'node:worker_threads';
import pg from 'pg';
import { freePort } from '../dev/ports.ts';
import { createKey } from '../src/store/keys/api-keys.ts';
import { addDomain } from '../src/store/owners/domains.ts';
import { PIPELINES, type Pipeline } from '../src/store/schema/pipeline.ts';
import type { OtherData, OtherResult } from './processes/other-owner.ts';
import { Connection, type Target } from './support/connection.ts';
import {
  ADDRESSES,
  BODIES,
  HEADERS,
  hostileMessage,
  LARGE,
  sendMessage,
  TEXTS,
  textMessage,
} from './support/hostile-messages.ts';
import { type Relay, startRelay } from './support/relay.ts';
import { type Stage, type System, startSystem } from './support/system.ts';

const HELP = `Usage: node bin/node24.js bench/hostile.ts [options]

  --pipeline <name>   only this one
  --seconds <n>       how long others are measured beside the hostile key (10)
  --only <what>       memory, addresses, headers, bodies or large
  --kind <text>       only those whose names have this in them
`;

const MIB = 1024 * 1024;
const OTHER = { owner: 'other', domain: 'other.test' };
const HOSTILE_CONNECTIONS = 8;

interface Scene {
  readonly relay: Relay;
  readonly hostile: Target;
  readonly other: Target;
  /** The longest delay of the event loop since it was last asked, in milliseconds. */
  longestTurn(): Promise<number>;
}

interface Options {
  readonly pipeline: Pipeline;
  readonly seconds: number;
  readonly kind: string;
}

type Row = readonly [what: string, figure: string];

async function withScene<T>(system: System, pipeline: Pipeline, run: (scene: Scene) => Promise<T>): Promise<T> {
  const stage = await system.prepare(`hostile ${pipeline}`, pipeline);
  const httpPort = await freePort();
  const directory = join(tmpdir(), `smtp-relay-bench-${process.pid}`);
  const env = { SMTP_RELAY_HTTP_PORT: String(httpPort), SMTP_RELAY_HTTP_HOST: '127.0.0.1' };
  const relay = await startRelay({ system, stage, pipeline, tls: false, directory, profile: false, env });
  try {
    const target = { host: '127.0.0.1', port: relay.port };
    const other = { ...target, key: await addOther(stage) };
    const longestTurn = async (): Promise<number> => {
      const text = await (await fetch(`http://127.0.0.1:${httpPort}/metrics`)).text();
      return 1000 * Number(/^nodejs_eventloop_lag_max_seconds (\S+)/m.exec(text)?.[1] ?? Number.NaN);
    };
    return await run({ relay, hostile: { ...target, key: stage.key }, other, longestTurn });
  } finally {
    await relay.stop();
    await stage.remove();
  }
}

async function addOther({ databaseUrl }: Stage): Promise<string> {
  const pool = new pg.Pool({ connectionString: databaseUrl, max: 1 });
  const { key } = await createKey(pool, { name: 'other', owner: OTHER.owner });
  await addDomain(pool, { name: OTHER.domain, owner: OTHER.owner, region: 'us-east-1' });
  await pool.end();
  return key;
}

async function measureMemory(system: System, pipeline: Pipeline): Promise<Row[]> {
  const rows: Row[] = [];
  for (const [what, line] of Object.entries(TEXTS)) {
    const figure = await withScene(system, pipeline, async ({ relay, hostile }) => {
      const before = relay.usage().peakBytes;
      const message = textMessage(line, 38 * MIB);
      const connections = await Promise.all(Array.from({ length: 5 }, () => Connection.open(hostile)));
      const codes = await Promise.all(connections.map(connection => sendMessage(connection, 'a@bench.test', message)));
      for (const connection of connections) connection.close();
      return `${megabytes(relay.usage().peakBytes)} MB (${megabytes(before)} before), replies ${codes.join(' ')}`;
    });
    rows.push([`five texts of 38 MiB at once, ${what}: peak RSS`, figure]);
  }
  return rows;
}

/** Latencies of another owner's small messages for so long. */
async function measureOther({ other }: Scene, seconds: number): Promise<string> {
  const file = new URL('./processes/other-owner.ts', import.meta.url);
  const thread = new Worker(file, { workerData: { target: other, domain: OTHER.domain } satisfies OtherData });
  const answer = once(thread, 'message') as Promise<[OtherResult]>;
  await sleep(seconds * 1000);
  thread.postMessage('over');
  const [{ times, codes }] = await answer;
  const sorted = times.toSorted((a, b) => a - b);
  const at = (part: number): string => (sorted[Math.floor(sorted.length * part)] ?? Number.NaN).toFixed(1);
  return `p50 ${at(0.5)} ms, p99 ${at(0.99)} ms, ${times.length} messages, replies ${codes.join(' ')}`;
}

async function measureBeside(scene: Scene, seconds: number, message: Buffer | null): Promise<string> {
  const end = performance.now() + seconds * 1000;
  const isOver = (): boolean => performance.now() > end;
  await scene.longestTurn();
  const attacked = new Map<number, number>();
  const attack = async (): Promise<void> => {
    const connection = await Connection.open(scene.hostile);
    while (message !== null && !isOver()) {
      const code = await sendMessage(connection, 'a@bench.test', message);
      attacked.set(code, (attacked.get(code) ?? 0) + 1);
    }
    connection.close();
  };
  const attackers = Array.from({ length: HOSTILE_CONNECTIONS }, attack);
  const figure = await measureOther(scene, seconds);
  await Promise.all(attackers);
  const attacks = [...attacked].map(([code, count]) => `${count} times ${code}`);
  return `${figure}, longest turn ${(await scene.longestTurn()).toFixed(0)} ms; the hostile key: ${attacks.join(', ')}`;
}

async function measureAddresses(system: System, { pipeline, seconds }: Options): Promise<Row[]> {
  return withScene(system, pipeline, async scene => [
    ['another owner, alone', await measureBeside(scene, seconds, null)],
    ['another owner, beside 8 connections with 250 KB of To', await measureBeside(scene, seconds, ADDRESSES)],
  ]);
}

async function measureAll(
  system: System,
  { pipeline, seconds, kind }: Options,
  messages: Readonly<Record<string, Buffer>>,
): Promise<Row[]> {
  return withScene(system, pipeline, async scene => {
    const rows: Row[] = [];
    for (const [what, message] of Object.entries(messages).filter(([what]) => what.includes(kind))) {
      rows.push([`another owner, beside ${what}`, await measureBeside(scene, seconds, message)]);
    }
    return rows;
  });
}

function headers(): Readonly<Record<string, Buffer>> {
  const entries = Object.entries(HEADERS);
  return Object.fromEntries(entries.map(([what, header]) => [`1 MiB of ${what}`, hostileMessage(header)]));
}

function megabytes(bytes: number): string {
  return (bytes / 1e6).toFixed(0);
}

const { values } = parseArgs({
  options: {
    pipeline: { type: 'string' },
    seconds: { type: 'string', default: '10' },
    only: { type: 'string' },
    kind: { type: 'string', default: '' },
    help: { type: 'boolean', default: false },
  },
});
if (values.help) process.stdout.write(HELP);
else {
  const system = await startSystem();
  try {
    for (const pipeline of PIPELINES.filter(name => name === (values.pipeline ?? name))) {
      const options = { pipeline, seconds: Number(values.seconds), kind: values.kind };
      const wanted = (what: string): boolean => (values.only ?? what) === what;
      const rows = [
        ...(wanted('memory') ? await measureMemory(system, pipeline) : []),
        ...(wanted('addresses') ? await measureAddresses(system, options) : []),
        ...(wanted('headers') ? await measureAll(system, options, headers()) : []),
        ...(wanted('large') ? await measureAll(system, options, LARGE) : []),
        ...(wanted('bodies') ? await measureAll(system, options, BODIES) : []),
      ];
      const lines = rows.map(([what, figure]) => `| ${what} | ${figure} |`);
      process.stdout.write(`${[`| ${pipeline} | |`, '| --- | --- |', ...lines].join('\n')}\n\n`);
    }
  } finally {
    await system.stop();
  }
}
