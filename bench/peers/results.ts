import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import type { Figure } from '../support/goals.ts';
import { medianOf } from '../support/rounds.ts';

/** What one peer did in one round. CPU is seconds for a thousand messages; absent where it has no such process. */
export interface PeerFigures {
  readonly rate: number;
  readonly megabytesPerSecond: number;
  readonly p50: number;
  readonly p99: number;
  readonly cpu: { readonly server?: number; readonly postgres?: number; readonly sqs?: number };
  /** Of the server's processes, until then. */
  readonly peakMegabytes: number;
}

/** All rounds of one load: a file of `bench/results/peers`. */
export interface LoadResults {
  readonly load: string;
  /** As the table calls it. */
  readonly title: string;
  readonly date: string;
  readonly machine: string;
  readonly node: string;
  readonly postgres: string;
  /** Of one run. */
  readonly seconds: number;
  /** Of the machine, over the minute before the first. */
  readonly loadAverage: number;
  readonly peers: readonly { readonly name: string; readonly title: string; readonly version: string }[];
  /** Those that could not be started here, and why. */
  readonly absent: readonly { readonly title: string; readonly reason: string }[];
  readonly rounds: readonly Readonly<Record<string, PeerFigures>>[];
}

const FOLDER = new URL('../results/peers/', import.meta.url);

export async function writeResults(results: LoadResults): Promise<void> {
  await mkdir(FOLDER, { recursive: true });
  await writeFile(new URL(`${results.load}.json`, FOLDER), `${JSON.stringify(results, null, 2)}\n`);
}

/** Of all loads that were ever written, in the order given. */
export async function readResults(order: readonly string[]): Promise<LoadResults[]> {
  const names = await readdir(fileURLToPath(FOLDER)).catch((): string[] => []);
  const known = order.filter(load => names.includes(`${load}.json`));
  return Promise.all(
    known.map(async load => JSON.parse(await readFile(new URL(`${load}.json`, FOLDER), 'utf8')) as LoadResults),
  );
}

export function median(results: LoadResults, peer: string, of: (figures: PeerFigures) => number): number | undefined {
  const values = results.rounds.flatMap(round => round[peer] ?? []);
  return values.length === 0 ? undefined : medianOf(values, of);
}

/** The median of the ratios of each round: a machine that is slow for a while is slow for both. */
export function ratio(
  results: LoadResults,
  peer: string,
  to: string,
  of: (figures: PeerFigures) => number = figures => figures.rate,
): number | undefined {
  const pairs = results.rounds.flatMap(({ [peer]: one, [to]: other }) => (one && other ? [of(one) / of(other)] : []));
  return pairs.length === 0 ? undefined : medianOf(pairs, value => value);
}

/** For goals. */
export function lookUp(all: readonly LoadResults[]) {
  const value = (figures: PeerFigures, { of }: Figure) => (of === 'cpu' ? (figures.cpu.server ?? 0) : figures[of]);
  const resultsOf = (load: string) => all.find(results => results.load === load);
  return {
    figureOf: (figure: Figure): number | undefined => {
      const results = resultsOf(figure.load);
      return results && median(results, figure.peer, figures => value(figures, figure));
    },
    ratioOf: (figure: Figure, to: Figure): number | undefined => {
      const results = figure.load === to.load ? resultsOf(figure.load) : undefined;
      return results && ratio(results, figure.peer, to.peer, figures => value(figures, figure));
    },
  };
}
