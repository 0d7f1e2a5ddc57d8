import { mkdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { parseArgs } from 'node:util';
import { type Measurement, measure } from './measure.ts';
import { problems } from './report.ts';
import { SCENARIOS } from './scenarios.ts';
import { startSystem } from './system.ts';

/** What is compared: the relay under one environment with the same relay under another. */
export interface Comparison<V extends string> {
  readonly variants: readonly V[];
  environmentOf(variant: V): NodeJS.ProcessEnv;
  readonly warmUpSeconds: number;
}

export interface Figures {
  /** Messages a second. */
  readonly rate: number;
  /** Seconds of a processor for a thousand messages, in the relay's process. */
  readonly cpu: number;
}

/** All variants, measured one after the other. A machine that is slow for a while is slow for all of them. */
export type Round<V extends string> = Readonly<Record<V, Figures>>;

export interface Compared<V extends string> {
  readonly rounds: readonly Round<V>[];
  /** What was wrong; empty where all is as it should be. */
  readonly found: readonly string[];
}

export const ROUND_OPTIONS = {
  rounds: { type: 'string', default: '5' },
  seconds: { type: 'string', default: '4' },
  scenario: { type: 'string', default: '1k-64' },
  help: { type: 'boolean', default: false },
} as const satisfies NonNullable<Parameters<typeof parseArgs>[0]>['options'];

export interface RoundValues {
  readonly rounds: string;
  readonly seconds: string;
  readonly scenario: string;
}

/** Measures each variant so many times, in turns. @throws Error where there is no such scenario */
export async function compare<V extends string>(
  { variants, environmentOf, warmUpSeconds }: Comparison<V>,
  values: RoundValues,
): Promise<Compared<V>> {
  const scenario = SCENARIOS.find(({ name }) => name === values.scenario);
  if (!scenario) throw new Error(`no scenario "${values.scenario}"`);
  const directory = join(tmpdir(), `smtp-relay-bench-${process.pid}`);
  await mkdir(directory, { recursive: true });
  const system = await startSystem();
  const rounds: Round<V>[] = [];
  const found: string[] = [];
  const run = async (variant: V): Promise<Figures> => {
    const options = { seconds: Number(values.seconds), warmUpSeconds, pipelining: false, profile: false, directory };
    const env = environmentOf(variant);
    const measurement = await measure(system, scenario, { ...options, env, pipeline: 'standalone' });
    found.push(...problems(measurement));
    return figuresOf(measurement);
  };
  try {
    for (let round = 0; round < Number(values.rounds); round += 1) {
      const figures: Partial<Record<V, Figures>> = {};
      // Nobody is always first.
      for (const variant of [
        ...variants.slice(round % variants.length),
        ...variants.slice(0, round % variants.length),
      ]) {
        process.stderr.write(`round ${round + 1}: ${variant} …\n`);
        figures[variant] = await run(variant);
      }
      rounds.push(figures as Round<V>);
    }
  } finally {
    await system.stop();
  }
  return { rounds, found };
}

function figuresOf({ loads, cpuSeconds }: Measurement): Figures {
  const measured = loads.reduce((sum, load) => sum + load.measured, 0);
  return { rate: measured / (loads[0]?.seconds ?? Number.NaN), cpu: (cpuSeconds / measured) * 1000 };
}

/** The median over the rounds of what `figureOf` makes of each. */
export function medianOf<R>(rounds: readonly R[], figureOf: (round: R) => number): number {
  const sorted = rounds.map(figureOf).sort((one, other) => one - other);
  const middle = (sorted.length - 1) / 2;
  return ((sorted[Math.floor(middle)] ?? 0) + (sorted[Math.ceil(middle)] ?? 0)) / 2;
}

/** Prints the report and what was wrong. Sets the exit code. */
export async function present(made: Promise<{ readonly report: string; readonly found: readonly string[] }>) {
  try {
    const { report, found } = await made;
    process.stdout.write(`${report}\n`);
    for (const problem of found) process.stderr.write(`${problem}\n`);
    process.exitCode = found.length === 0 ? 0 : 1;
  } catch (error) {
    process.stderr.write(`${(error as Error).message}\n`);
    process.exitCode = 1;
  }
}
