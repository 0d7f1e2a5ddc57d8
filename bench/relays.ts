/** Measures what a second relay process adds on this machine; see README.md beside this file. */
import { mkdir } from 'node:fs/promises';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { generate } from './support/measure.ts';
import { startRelay } from './support/relay.ts';
import { medianOf, present } from './support/rounds.ts';
import { type System, startSystem } from './support/system.ts';
import { usageOfTree } from './support/usage.ts';

const HELP = `Usage: node bin/node24.js bench/relays.ts [options]

  --rounds <n>         rounds, each with one relay and with two (4)
  --seconds <n>        how long each is measured (5)
  --connections <n>    in all, by two generators (64)
`;

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '4' },
    seconds: { type: 'string', default: '5' },
    connections: { type: 'string', default: '64' },
    help: { type: 'boolean', default: false },
  },
});

const GENERATORS = 2;
const WARM_UP = 2;
const DRAIN_LIMIT_MS = 60_000;

interface Figures {
  /** 250s a second. */
  readonly rate: number;
  /** Milliseconds, of the generator that fared worse. */
  readonly p50: number;
  readonly p99: number;
  /** Seconds of a processor for a thousand messages, all relays together. */
  readonly relays: number;
  readonly postgres: number;
  readonly sqs: number;
  /** Of all processors' time while it was measured. */
  readonly idle: number;
}

type Round = readonly [one: Figures, two: Figures];

async function measureWith(count: number, round: number, system: System): Promise<Figures> {
  const name = `bench relays ${count} ${round}`;
  const stage = await system.prepare(name, 'standalone');
  const folder = join(tmpdir(), `smtp-relay-bench-${process.pid}`, name.replaceAll(' ', '-'));
  const start = async (nth: number) => {
    const directory = join(folder, String(nth));
    await mkdir(directory, { recursive: true });
    return startRelay({ system, stage, pipeline: 'standalone', tls: false, directory, profile: false });
  };
  const relays = await Promise.all(Array.from({ length: count }, (_, nth) => start(nth)));
  try {
    const cpu = () => ({
      relays: relays.reduce((sum, relay) => sum + relay.usage().cpuSeconds, 0),
      postgres: usageOfTree(system.pids.postgres).cpuSeconds,
      sqs: usageOfTree(system.pids.sqs).cpuSeconds,
    });
    let before = cpu();
    let timesBefore = processorTimes();
    const load = (nth: number) => ({
      name: `load${nth}`,
      target: { host: '127.0.0.1', port: relays[nth % count]?.port ?? 0, key: stage.key },
      message: { kind: 'text' as const, size: 1024 },
      connections: Number(values.connections) / GENERATORS,
      pipelining: false,
      seconds: Number(values.seconds),
      warmUpSeconds: WARM_UP,
    });
    const onMeasuring = () => {
      before = cpu();
      timesBefore = processorTimes();
    };
    const loads = await Promise.all(Array.from({ length: GENERATORS }, (_, nth) => generate(load(nth), onMeasuring)));
    const times = processorTimes();
    const ended = performance.now();
    while ((await stage.countOutbox()) > 0 && performance.now() - ended < DRAIN_LIMIT_MS) await sleep(10);
    const after = cpu();
    const measured = loads.reduce((sum, one) => sum + one.measured, 0);
    const perThousand = (part: keyof typeof after) => ((after[part] - before[part]) / measured) * 1000;
    return {
      rate: measured / Number(values.seconds),
      p50: Math.max(...loads.map(({ latency }) => latency.p50)),
      p99: Math.max(...loads.map(({ latency }) => latency.p99)),
      relays: perThousand('relays'),
      postgres: perThousand('postgres'),
      sqs: perThousand('sqs'),
      idle: (times.idle - timesBefore.idle) / (times.all - timesBefore.all),
    };
  } finally {
    await Promise.all(relays.map(relay => relay.stop()));
    await stage.remove();
  }
}

/** Of all processors, since the machine was started. */
function processorTimes(): { readonly idle: number; readonly all: number } {
  const times = cpus().map(({ times }) => times);
  const all = times.reduce((sum, { user, nice, sys, idle, irq }) => sum + user + nice + sys + idle + irq, 0);
  return { idle: times.reduce((sum, { idle }) => sum + idle, 0), all };
}

function rowOf(title: string, rounds: readonly Round[], which: 0 | 1): string {
  const median = (of: keyof Figures, digits: number) => medianOf(rounds, round => round[which][of]).toFixed(digits);
  const cpu = [median('relays', 3), median('postgres', 3), median('sqs', 3)];
  const idle = `${(medianOf(rounds, round => round[which].idle) * 100).toFixed(0)} %`;
  return `| ${[title, median('rate', 0), median('p50', 1), median('p99', 1), ...cpu, idle].join(' | ')} |`;
}

async function main(): Promise<{ readonly report: string; readonly found: readonly string[] }> {
  const system = await startSystem();
  const rounds: Round[] = [];
  try {
    for (let round = 0; round < Number(values.rounds); round += 1) {
      const one = () => measureWith(1, round, system);
      const two = () => measureWith(2, round, system);
      // Neither is always first.
      if (round % 2 === 0) rounds.push([await one(), await two()]);
      else {
        const second = await two();
        rounds.push([await one(), second]);
      }
      process.stderr.write(
        `round ${round + 1}: ${rounds
          .at(-1)
          ?.map(({ rate }) => Math.round(rate))
          .join(', ')}\n`,
      );
    }
  } finally {
    await system.stop();
  }
  const ratio = medianOf(rounds, ([one, two]) => two.rate / one.rate).toFixed(2);
  const report = [
    `1 KB, ${values.connections} connections, ${cpus().length} cores, medians of ${rounds.length} rounds of ${values.seconds} s; two to one: ${ratio}`,
    '',
    '| relays | messages/s | p50 ms | p99 ms | CPU s/1000: relays | Postgres | SQS emulator | idle |',
    '| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |',
    rowOf('one', rounds, 0),
    rowOf('two', rounds, 1),
  ].join('\n');
  return { report, found: [] };
}

if (values.help) process.stdout.write(HELP);
else await present(main());
