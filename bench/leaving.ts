/** Measures for how long a client that goes finds its message stored (RFC 1047); see README.md beside this file. */
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import pg from 'pg';
import { freePort } from '../dev/ports.ts';
import { Connection, type Target } from './support/connection.ts';
import { RECIPIENT, SENDER } from './support/message.ts';
import { startRelay } from './support/relay.ts';
import { startSystem } from './support/system.ts';

const HELP = `Usage: node bin/node24.js bench/leaving.ts [options]

  --leavers <n>      connections whose clients go at a moment of their own (16)
  --stayers <n>      connections that wait for their reply and load the relay meanwhile (16)
  --within <ms>      a leaver goes at random within so many milliseconds behind the end of its message (40)
  --seconds <n>      how long (20)
`;

/** What became of one message whose client meant to go. */
interface Left {
  readonly subject: string;
  /** Milliseconds behind the end of the message; null where the 250 came first. */
  readonly at: number | null;
}

interface Options {
  readonly target: Target;
  readonly within: number;
  readonly until: number;
}

interface Measured {
  readonly leavers: number;
  readonly stayers: number;
  readonly within: number;
  readonly seconds: number;
}

let count = 0;

async function begin(target: Target): Promise<Connection> {
  const connection = await Connection.open(target);
  await envelope(connection);
  return connection;
}

async function envelope(connection: Connection): Promise<void> {
  await connection.command(`MAIL FROM:<${SENDER}>`, 250);
  await connection.command(`RCPT TO:<${RECIPIENT}>`, 250);
  await connection.command('DATA', 354);
}

function messageOf(subject: string): Buffer {
  return Buffer.from(`From: ${SENDER}\r\nTo: ${RECIPIENT}\r\nSubject: ${subject}\r\n\r\nHi\r\n.\r\n`);
}

/** @returns when its 250 came, or `giveUp` milliseconds went by */
async function send(connection: Connection, subject: string, giveUp: number): Promise<number | null> {
  const reply = Promise.withResolvers<boolean>();
  connection.onReply = code => reply.resolve(code === 250);
  connection.onLost = () => reply.resolve(false);
  const began = performance.now();
  connection.write(messageOf(subject));
  const timer = setTimeout(() => reply.resolve(false), giveUp);
  const isHeard = await reply.promise;
  clearTimeout(timer);
  return isHeard ? null : performance.now() - began;
}

async function leave({ target, within, until }: Options, left: Left[]): Promise<void> {
  while (performance.now() < until) {
    const connection = await begin(target);
    count += 1;
    const subject = `leaver ${count}`;
    const at = await send(connection, subject, Math.random() * within);
    connection.close();
    left.push({ subject, at });
  }
}

/** @returns milliseconds from the end of each message to its 250 */
async function stay({ target, until }: Options): Promise<number[]> {
  const times: number[] = [];
  const connection = await Connection.open(target);
  while (performance.now() < until) {
    await envelope(connection);
    const began = performance.now();
    count += 1;
    await send(connection, `stayer ${count}`, 60_000);
    times.push(performance.now() - began);
  }
  connection.close();
  return times;
}

/**
 * A client that goes at a moment between the end of its message and its 250 finds it stored from some moment on. With
 * moments spread evenly over `within`, the share of them in that window is its length.
 */
function report(left: readonly Left[], stored: ReadonlySet<string>, within: number, waits: number[]): string {
  const heard = left.filter(({ at }) => at === null);
  const unheard = left.filter(({ at }) => at !== null);
  const kept = unheard.filter(({ subject }) => stored.has(subject));
  const lost = heard.filter(({ subject }) => !stored.has(subject));
  const share = (100 * kept.length) / unheard.length;
  waits.sort((a, b) => a - b);
  const wait = (part: number): string => (waits[Math.floor(waits.length * part)] ?? Number.NaN).toFixed(1);
  const window = (within * kept.length) / left.length;
  return [
    `${left.length} leavers, ${heard.length} of them had their 250 before they went; not stored of these: ${lost.length}`,
    `${unheard.length} went before: stored all the same ${kept.length} (${share.toFixed(1)} %)`,
    `the window, on the average: ${window.toFixed(1)} ms`,
    `from the end of a message to its 250: p50 ${wait(0.5)} ms, p99 ${wait(0.99)} ms`,
    '',
  ].join('\n');
}

/** The quantiles of the times of commits, which are the window but for the reply's way. */
function commits(metrics: string): string {
  const bucket = /^smtp_relay_commit_duration_seconds_bucket\{le="([^"]+)"[^}]*\} (\d+)/gm;
  const buckets = [...metrics.matchAll(bucket)].map(([, le, n]) => [
    Number(le?.replace('+Inf', 'Infinity')),
    Number(n),
  ]);
  const total = buckets.at(-1)?.[1] ?? 0;
  const within = (part: number): number => (buckets.find(([, n = 0]) => n >= total * part)?.[0] ?? Number.NaN) * 1000;
  const unheard = /^smtp_relay_messages_unheard_total (\d+)/m.exec(metrics)?.[1];
  return `${total} commits: half within ${within(0.5)} ms, 99 % within ${within(0.99)} ms; told of as unheard: ${unheard}\n`;
}

async function measure({ leavers, stayers, within, seconds }: Measured): Promise<void> {
  const system = await startSystem();
  try {
    const stage = await system.prepare('leaving', 'standalone');
    const httpPort = await freePort();
    const directory = join(tmpdir(), `smtp-relay-bench-${process.pid}`);
    const env = { SMTP_RELAY_HTTP_PORT: String(httpPort), SMTP_RELAY_HTTP_HOST: '127.0.0.1' };
    const relay = await startRelay({
      system,
      stage,
      pipeline: 'standalone',
      tls: false,
      directory,
      profile: false,
      env,
    });
    const target = { host: '127.0.0.1', port: relay.port, key: stage.key };
    const options = { target, within, until: performance.now() + seconds * 1000 };
    const left: Left[] = [];
    const leaving = Promise.all(Array.from({ length: leavers }, () => leave(options, left)));
    const waits = (await Promise.all(Array.from({ length: stayers }, () => stay(options)))).flat();
    await leaving;
    await sleep(1_000);
    const pool = new pg.Pool({ connectionString: stage.databaseUrl, max: 1 });
    const { rows } = await pool.query<{ subject: string }>("select subject from emails where subject like 'leaver %'");
    await pool.end();
    const metrics = await (await fetch(`http://127.0.0.1:${httpPort}/metrics`)).text();
    process.stdout.write(report(left, new Set(rows.map(({ subject }) => subject)), within, waits) + commits(metrics));
    await relay.stop();
    await stage.remove();
  } finally {
    await system.stop();
  }
}

const { values } = parseArgs({
  options: {
    leavers: { type: 'string', default: '16' },
    stayers: { type: 'string', default: '16' },
    within: { type: 'string', default: '40' },
    seconds: { type: 'string', default: '20' },
    help: { type: 'boolean', default: false },
  },
});
if (values.help) process.stdout.write(HELP);
else {
  const [leavers, stayers] = [Number(values.leavers), Number(values.stayers)];
  await measure({ leavers, stayers, within: Number(values.within), seconds: Number(values.seconds) });
}
