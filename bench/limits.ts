/** Measures what limits cost the intake; see README.md beside this file. */
import { mkdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { type Measurement, measure } from './measure.ts';
import { problems } from './report.ts';
import { SCENARIOS, type Scenario } from './scenarios.ts';
import { startSystem } from './system.ts';

const HELP = `Usage: node bench/limits.ts [options]

  --rounds <n>       how often both are measured, in turns (5)
  --seconds <n>      how long each time (4)
  --scenario <name>  one of the intake bench's (1k-64)
`;

const WARM_UP = 1.5;

const VARIANTS = {
  off: {
    SMTP_RELAY_LIMITS_FAILED_LOGINS_PER_ADDRESS: '0',
    SMTP_RELAY_LIMITS_FAILED_LOGINS_PER_KEY: '0',
    SMTP_RELAY_LIMITS_DATA_RATE: '0',
  },
  /** All that there are, none of them reached. */
  on: {
    SMTP_RELAY_LIMITS_CONNECTIONS_PER_ADDRESS: '10000',
    SMTP_RELAY_LIMITS_SESSIONS_PER_KEY: '10000',
    SMTP_RELAY_LIMITS_KEY_SHARE: '50',
    SMTP_RELAY_LIMITS_MESSAGES_PER_MINUTE: '1000000000',
    SMTP_RELAY_LIMITS_RECIPIENTS_PER_MINUTE: '1000000000',
    SMTP_RELAY_LIMITS_MESSAGES_PER_DAY: '1000000000',
    SMTP_RELAY_LIMITS_RECIPIENTS_PER_DAY: '1000000000',
    SMTP_RELAY_LIMITS_DATA_RATE: '1',
    SMTP_RELAY_RECIPIENT_ALLOW_LIST: 'example.com,*.example.com,example.test,qa@bench.test',
  },
} as const;
type Variant = keyof typeof VARIANTS;

interface Figures {
  /** Messages a second. */
  readonly rate: number;
  /** Seconds of a processor for a thousand messages, in the relay's process. */
  readonly cpu: number;
}

function figuresOf({ loads, cpuSeconds }: Measurement): Figures {
  const measured = loads.reduce((sum, load) => sum + load.measured, 0);
  return { rate: measured / (loads[0]?.seconds ?? Number.NaN), cpu: (cpuSeconds / measured) * 1000 };
}

type Round = Readonly<Record<Variant, Figures>>;

/** Each round compares its own two runs: a machine that is slow for a while is slow for both. */
async function measureRounds(scenario: Scenario, rounds: number, seconds: number) {
  const directory = join(tmpdir(), `smtp-relay-bench-${process.pid}`);
  await mkdir(directory, { recursive: true });
  const system = await startSystem();
  const results: Round[] = [];
  const found: string[] = [];
  const run = async (variant: Variant): Promise<Figures> => {
    const env = VARIANTS[variant];
    const options = { seconds, warmUpSeconds: WARM_UP, pipelining: false, profile: false, directory, env };
    const measurement = await measure(system, scenario, { ...options, pipeline: 'standalone' });
    found.push(...problems(measurement));
    return figuresOf(measurement);
  };
  try {
    for (let round = 0; round < rounds; round += 1) {
      process.stderr.write(`round ${round + 1} …\n`);
      // Nobody is always first.
      const off = round % 2 === 0 ? await run('off') : null;
      const on = await run('on');
      results.push({ on, off: off ?? (await run('off')) });
    }
  } finally {
    await system.stop();
  }
  return { results, found };
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((one, other) => one - other);
  const middle = (sorted.length - 1) / 2;
  return ((sorted[Math.floor(middle)] ?? 0) + (sorted[Math.ceil(middle)] ?? 0)) / 2;
}

function report(rounds: readonly Round[]): string {
  const row = (name: string, key: keyof Figures, digits: number): string => {
    const [off, on] = [median(rounds.map(round => round.off[key])), median(rounds.map(round => round.on[key]))];
    const ratio = median(rounds.map(round => round.on[key] / round.off[key]));
    return `| ${name} | ${off.toFixed(digits)} | ${on.toFixed(digits)} | ${ratio.toFixed(3)} |`;
  };
  const head = '| | limits off | all on | on to off |\n| --- | ---: | ---: | ---: |';
  return [head, row('messages/s', 'rate', 0), row('CPU s per 1000', 'cpu', 3)].join('\n');
}

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      rounds: { type: 'string', default: '5' },
      seconds: { type: 'string', default: '4' },
      scenario: { type: 'string', default: '1k-64' },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) {
    process.stdout.write(HELP);
    return 0;
  }
  const scenario = SCENARIOS.find(({ name }) => name === values.scenario);
  if (!scenario) throw new Error(`no scenario "${values.scenario}"`);
  const { results, found } = await measureRounds(scenario, Number(values.rounds), Number(values.seconds));
  process.stdout.write(`${report(results)}\n`);
  for (const problem of found) process.stderr.write(`${problem}\n`);
  return found.length === 0 ? 0 : 1;
}

process.exitCode = await main().catch((error: Error) => {
  process.stderr.write(`${error.message}\n`);
  return 1;
});
