/** Measures what tracing costs the relay; see README.md beside this file. */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { type Measurement, measure } from './measure.ts';
import { problems } from './report.ts';
import { SCENARIOS, type Scenario } from './scenarios.ts';
import { startSystem } from './system.ts';

const HELP = `Usage: node bench/tracing.ts [options]

  --rounds <n>     how often each variant is measured, one after the other (5)
  --seconds <n>    how long each time (4)
  --scenario <name>  one of the intake bench's (1k-64)
  --all            also with every trace sampled, which is more than anybody needs
  --json           all figures as JSON instead of the table
`;

/** `absent` is what the others are compared with. */
const VARIANTS = ['absent', 'off', 'on, 10 % sampled', 'on, all sampled'] as const;
type Variant = (typeof VARIANTS)[number];

/** Seconds: the first spans load and compile what exports them. */
const WARM_UP = 5;

function environmentOf(variant: Variant, endpoint: string): NodeJS.ProcessEnv {
  if (variant === 'absent') return {};
  const on = { OTEL_EXPORTER_OTLP_ENDPOINT: endpoint, OTEL_TRACES_SAMPLER: 'parentbased_traceidratio' };
  if (variant === 'off') return { ...on, OTEL_SDK_DISABLED: 'true' };
  return { ...on, OTEL_TRACES_SAMPLER_ARG: variant === 'on, all sampled' ? '1' : '0.1' };
}

interface Figures {
  /** Messages a second. */
  readonly rate: number;
  /** Seconds of a processor for a thousand messages, in the relay's process. */
  readonly cpu: number;
}

function figuresOf({ loads, cpuSeconds }: Measurement): Figures {
  const measured = loads.reduce((sum, load) => sum + load.measured, 0);
  const seconds = loads[0]?.seconds ?? Number.NaN;
  return { rate: measured / seconds, cpu: (cpuSeconds / measured) * 1000 };
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((one, other) => one - other);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? (sorted[middle] ?? 0) : ((sorted[middle - 1] ?? 0) + (sorted[middle] ?? 0)) / 2;
}

/** Each round compares its own runs: a machine that is slow for a while is slow for all of them. */
function report(rounds: readonly ReadonlyMap<Variant, Figures>[], variants: readonly Variant[]): string {
  const row = (variant: Variant): string => {
    const of = (key: keyof Figures) => rounds.map(round => round.get(variant)?.[key] ?? Number.NaN);
    const ratio = (key: keyof Figures) =>
      median(rounds.map(round => (round.get(variant)?.[key] ?? 0) / (round.get('absent')?.[key] ?? 0)));
    const cells = [
      variant,
      median(of('rate')).toFixed(0),
      ratio('rate').toFixed(3),
      median(of('cpu')).toFixed(3),
      ratio('cpu').toFixed(3),
    ];
    return `| ${cells.join(' | ')} |`;
  };
  const head = '| tracing | messages/s | to absent | CPU s per 1000 | to absent |\n| --- | ---: | ---: | ---: | ---: |';
  return `${head}\n${variants.map(row).join('\n')}`;
}

interface Plan {
  readonly scenario: Scenario;
  readonly variants: readonly Variant[];
  readonly rounds: number;
  readonly seconds: number;
}

async function measureRounds({ scenario, variants, rounds, seconds }: Plan) {
  const directory = join(tmpdir(), `smtp-relay-bench-${process.pid}`);
  await mkdir(directory, { recursive: true });
  const collector = fork(fileURLToPath(new URL('./collector-process.ts', import.meta.url)));
  const [{ endpoint }] = (await once(collector, 'message')) as [{ endpoint: string }];
  const system = await startSystem();
  const results: Map<Variant, Figures>[] = [];
  const found: string[] = [];
  try {
    for (let round = 0; round < rounds; round += 1) {
      const figures = new Map<Variant, Figures>();
      // Nobody is always first.
      const order = variants.map((_, index) => variants[(index + round) % variants.length] as Variant);
      for (const variant of order) {
        process.stderr.write(`round ${round + 1}: ${variant} …\n`);
        const env = environmentOf(variant, endpoint);
        const options = { seconds, warmUpSeconds: WARM_UP, pipelining: false, profile: false, directory, env };
        const measurement = await measure(system, scenario, { ...options, pipeline: 'standalone' });
        figures.set(variant, figuresOf(measurement));
        found.push(...problems(measurement));
      }
      results.push(figures);
    }
  } finally {
    await system.stop();
    collector.disconnect();
  }
  return { results, found };
}

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      rounds: { type: 'string', default: '5' },
      seconds: { type: 'string', default: '4' },
      scenario: { type: 'string', default: '1k-64' },
      all: { type: 'boolean', default: false },
      json: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) {
    process.stdout.write(HELP);
    return 0;
  }
  const scenario = SCENARIOS.find(({ name }) => name === values.scenario);
  if (!scenario) throw new Error(`no scenario "${values.scenario}"`);
  const variants = VARIANTS.filter(variant => values.all || variant !== 'on, all sampled');
  const [rounds, seconds] = [Number(values.rounds), Number(values.seconds)];
  const { results, found } = await measureRounds({ scenario, variants, rounds, seconds });
  const json = () =>
    JSON.stringify(
      results.map(round => Object.fromEntries(round)),
      null,
      2,
    );
  process.stdout.write(`${values.json ? json() : report(results, variants)}\n`);
  for (const problem of found) process.stderr.write(`${problem}\n`);
  return found.length === 0 ? 0 : 1;
}

process.exitCode = await main().catch((error: Error) => {
  process.stderr.write(`${error.message}\n`);
  return 1;
});
