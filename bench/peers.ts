/** Measures the relay beside its peers; see README.md beside this file. */
import { chmod, mkdir, mkdtemp, rm } from 'node:fs/promises';
import { cpus, loadavg, totalmem } from 'node:os';
import { resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { haraka } from './peers/haraka.ts';
import type { Peer, RunningPeer, Surroundings, Times } from './peers/peer.ts';
import { pgbench } from './peers/pgbench.ts';
import { postfix } from './peers/postfix.ts';
import { relayPeer } from './peers/relay.ts';
import { report, writeReport } from './peers/report.ts';
import { type LoadResults, type PeerFigures, readResults, writeResults } from './peers/results.ts';
import { smtpServer } from './peers/smtp-server.ts';
import { SCENARIOS, type ScenarioLoad } from './support/scenarios.ts';
import { POSTGRES_VERSION, startSystem } from './support/system.ts';

const LOADS = ['1k-1', '1k-16', '1k-64', '7m-8'];

const HELP = `Usage: node bin/node24.js bench/peers.ts [options]

  --load <names>      only these, separated by commas: ${LOADS.join(', ')}
  --peer <names>      only these: relay, relay-tls, opensend, haraka, postfix, smtp-server, pgbench, before, before-opensend
  --rounds <n>        how often each is measured, in turns (5)
  --seconds <n>       how long each time (4)
  --warm-up <n>       seconds before that (2)
  --against <folder>  also the relay of another checkout, its packages installed: before, before-opensend
  --postgres <n>      Debian's Postgres of that version in place of the embedded one, which knows no LZ4
  --write             keep the figures in bench/results/peers, and put tables and chart into docs/
  --report            measure nothing: tables, chart and goals from the figures that are kept
`;

const { values } = parseArgs({
  options: {
    load: { type: 'string', default: LOADS.join() },
    peer: { type: 'string' },
    rounds: { type: 'string', default: '5' },
    seconds: { type: 'string', default: '4' },
    'warm-up': { type: 'string', default: '2' },
    against: { type: 'string' },
    postgres: { type: 'string' },
    write: { type: 'boolean', default: false },
    report: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
});

/** What is started is ended before this process ends. */
let interrupted = false;
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.on(signal, () => {
    interrupted = true;
  });
}

function choosePeers(): Peer[] {
  const against = values.against && resolve(values.against);
  const before = against ? { folder: against } : undefined;
  const all = [
    relayPeer({ name: 'relay', title: 'this relay, standalone', pipeline: 'standalone' }),
    relayPeer({ name: 'relay-tls', title: 'the same, TLS kept open', pipeline: 'standalone', tls: true }),
    relayPeer({ name: 'opensend', title: 'this relay, beside OpenSend', pipeline: 'opensend' }),
    haraka,
    postfix,
    pgbench,
    smtpServer,
    ...(before
      ? [
          relayPeer({ name: 'before', title: 'the revision before, standalone', pipeline: 'standalone', ...before }),
          relayPeer({
            name: 'before-opensend',
            title: 'the revision before, beside OpenSend',
            pipeline: 'opensend',
            ...before,
          }),
        ]
      : []),
  ];
  return values.peer === undefined ? all : values.peer.split(',').map(name => named(all, name));
}

function named<T extends { readonly name: string }>(all: readonly T[], name: string): T {
  const found = all.find(one => one.name === name);
  if (!found) throw new Error(`no "${name}"; there are ${all.map(one => one.name).join(', ')}`);
  return found;
}

/** A peer of this load, and what it has taken so far. */
interface Entrant {
  readonly peer: Peer;
  readonly running: RunningPeer;
  accepted: number;
}

async function measureLoad(name: string, peers: readonly Peer[], surroundings: Surroundings): Promise<LoadResults> {
  const load = named(SCENARIOS, name).loads[0] as ScenarioLoad;
  const loadAverage = loadavg()[0] as number;
  const entrants: Entrant[] = [];
  const absent: LoadResults['absent'][number][] = [];
  const rounds: Record<string, PeerFigures>[] = [];
  try {
    for (const peer of peers) {
      try {
        entrants.push({ peer, running: await peer.start(surroundings, load), accepted: 0 });
      } catch (error) {
        absent.push({ title: peer.title, reason: (error as Error).message });
      }
    }
    for (let round = 0; round < Number(values.rounds); round += 1) {
      const figures: Record<string, PeerFigures> = {};
      // Nobody is always first.
      const first = round % entrants.length;
      for (const entrant of [...entrants.slice(first), ...entrants.slice(0, first)]) {
        if (interrupted) throw new Error('interrupted');
        process.stderr.write(`${name}, round ${round + 1}: ${entrant.peer.name} …`);
        const found = await measureOnce(entrant, `round${round}`);
        process.stderr.write(` ${found.rate.toFixed(found.rate < 100 ? 1 : 0)}/s\n`);
        figures[entrant.peer.name] = found;
      }
      rounds.push(figures);
    }
    for (const { peer, running, accepted } of entrants) {
      for (const problem of await running.check(accepted)) complain(`${name}, ${peer.name}: ${problem}`);
    }
  } finally {
    for (const { running } of entrants) await running.stop();
  }
  const kinds = entrants.map(({ peer, running }) => ({ name: peer.name, title: peer.title, version: running.version }));
  const title = `${load.name}, ${load.connections === 1 ? 'one connection' : `${load.connections} connections`}`;
  return { load: name, title, ...conditions(), loadAverage, peers: kinds, absent, rounds };
}

async function measureOnce(entrant: Entrant, run: string): Promise<PeerFigures> {
  const { peer, running } = entrant;
  const times: Times = { seconds: Number(values.seconds), warmUpSeconds: Number(values['warm-up']) };
  let before = running.usage();
  const result = await running.run(run, times, () => {
    before = running.usage();
  });
  await running.settle();
  const after = running.usage();
  entrant.accepted += result.accepted;
  for (const [text, count] of Object.entries(result.refusals)) complain(`${peer.name}: ${count} times: ${text}`);
  const cpu = (kind: 'server' | 'postgres' | 'sqs') => {
    const [start, end] = [before[kind], after[kind]];
    return start && end ? { [kind]: ((end.cpuSeconds - start.cpuSeconds) / result.measured) * 1000 } : {};
  };
  const rate = result.measured / result.seconds;
  return {
    rate,
    megabytesPerSecond: (rate * result.messageBytes) / 1e6,
    p50: result.latency.p50,
    p99: result.latency.p99,
    cpu: { ...cpu('server'), ...cpu('postgres'), ...cpu('sqs') },
    peakMegabytes: (after.server?.peakBytes ?? 0) / 1e6,
  };
}

function conditions() {
  const processors = cpus();
  const memory = `${Math.round(totalmem() / 2 ** 30)} GiB`;
  return {
    date: new Date().toISOString().slice(0, 10),
    machine: `${processors.length} × ${processors[0]?.model.trim() || 'CPU'}, ${memory}, ${process.platform}`,
    node: process.version,
    postgres: `${values.postgres ?? POSTGRES_VERSION} with fsync`,
    seconds: Number(values.seconds),
  };
}

function complain(problem: string): void {
  process.stderr.write(`${problem}\n`);
  process.exitCode = 1;
}

async function main(): Promise<void> {
  if (values.help) {
    process.stdout.write(HELP);
    return;
  }
  const measured: LoadResults[] = [];
  if (!values.report) {
    const cache = fileURLToPath(new URL('../.cache/peers', import.meta.url));
    await mkdir(cache, { recursive: true });
    const peers = choosePeers();
    const system = await startSystem({}, values.postgres);
    const directory = await mkdtemp('/var/tmp/smtp-relay-peers-');
    // Postfix' processes run as another user.
    await chmod(directory, 0o755);
    try {
      for (const load of values.load.split(',')) {
        const results = await measureLoad(load, peers, { system, cache, directory });
        measured.push(results);
        if (values.write) await writeResults(results);
      }
    } finally {
      await system.stop();
      await rm(directory, { recursive: true, force: true });
    }
  }
  const shown = values.write || values.report ? await readResults(LOADS) : measured;
  if (values.write) await writeReport(shown);
  process.stdout.write(`${report(shown)}\n`);
}

await main().catch((error: Error) => complain(error.message));
