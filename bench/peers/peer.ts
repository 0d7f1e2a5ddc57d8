import type { Load, LoadResult } from '../support/load.ts';
import { generate } from '../support/measure.ts';
import type { ScenarioLoad } from '../support/scenarios.ts';
import type { System } from '../support/system.ts';
import type { Usage } from '../support/usage.ts';

/** What all peers of a run share. */
export interface Surroundings {
  readonly system: System;
  /** Where packages are kept from one run to the next. */
  readonly cache: string;
  /** For data and logs, on the same disk as Postgres' data; removed at the end. */
  readonly directory: string;
}

/** A program that is put under the same load as the others. */
export interface Peer {
  /** As `--peer`, results and goals name it. */
  readonly name: string;
  /** As the table calls it. */
  readonly title: string;
  /** Installs it where it is missing and starts it. @throws Error that says why it cannot be had on this machine */
  start(surroundings: Surroundings, load: ScenarioLoad): Promise<RunningPeer>;
}

export interface RunningPeer {
  readonly version: string;
  /**
   * Puts the load on it once.
   *
   * @param name of no run before
   * @param onMeasuring called when the warm-up is over
   */
  run(name: string, times: Times, onMeasuring: () => void): Promise<LoadResult>;
  /** Waits until what it has taken is worked off. */
  settle(): Promise<void>;
  /** What its processes have used until now. */
  usage(): PeerUsage;
  /** What contradicts the 250s of all runs so far; empty when all is well. */
  check(accepted: number): Promise<readonly string[]>;
  stop(): Promise<void>;
}

export interface Times {
  readonly seconds: number;
  readonly warmUpSeconds: number;
}

/** By what the processes are; absent where it has none of that kind. */
export interface PeerUsage {
  readonly server?: Usage;
  readonly postgres?: Usage;
  readonly sqs?: Usage;
}

/** How the generator's load is put on a server of SMTP. */
export function smtpLoad(target: Load['target'], { message, connections }: ScenarioLoad): RunningPeer['run'] {
  return (name, times, onMeasuring) =>
    generate({ name, target, connections, message, pipelining: false, ...times }, onMeasuring);
}
