import { fork } from 'node:child_process';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { Pipeline } from '../../src/store/schema/pipeline.ts';
import type { GeneratorMessage } from '../processes/generator.ts';
import type { Load, LoadResult } from './load.ts';
import { type Relay, startRelay } from './relay.ts';
import type { Scenario, ScenarioLoad } from './scenarios.ts';
import type { Stage, System } from './system.ts';

export interface MeasureOptions {
  readonly pipeline: Pipeline;
  readonly seconds: number;
  readonly warmUpSeconds: number;
  readonly pipelining: boolean;
  readonly profile: boolean;
  /** One folder a scenario is made in it. */
  readonly directory: string;
  /** The relay's settings over those of the bench. */
  readonly env?: NodeJS.ProcessEnv;
}

export interface Measurement {
  readonly scenario: Scenario;
  readonly loads: readonly LoadResult[];
  /** Of the relay's process, its whole life long. */
  readonly peakBytes: number;
  /** Of the relay's process, from the end of the warm-up until the last job was published. */
  readonly cpuSeconds: number;
  /** From the last 250 until the last job was published. */
  readonly drainSeconds: number;
  readonly accepted: number;
  readonly rows: number;
  readonly distinct: number;
  readonly jobs: number;
  readonly outbox: number;
}

const GENERATOR = fileURLToPath(new URL('../processes/generator.ts', import.meta.url));
const DRAIN_LIMIT_MS = 60_000;
/** Beyond the times asked for: to connect, and to finish what is under way. */
const LOAD_SLACK_MS = 60_000;

/** Runs one scenario against a relay and a database of its own. The run ends when the outbox is empty, or after 60 s. */
export async function measure(system: System, scenario: Scenario, options: MeasureOptions): Promise<Measurement> {
  const stage = await system.prepare(`bench ${scenario.name}`, options.pipeline);
  const directory = join(options.directory, scenario.name);
  const { pipeline, profile, env = {} } = options;
  const relay = await startRelay({ system, stage, pipeline, tls: scenario.tls, directory, profile, env });
  try {
    return await run(system, stage, relay, scenario, options);
  } finally {
    await relay.stop();
    await stage.remove();
  }
}

async function run(
  system: System,
  stage: Stage,
  relay: Relay,
  scenario: Scenario,
  options: MeasureOptions,
): Promise<Measurement> {
  let cpuBefore = 0;
  const onMeasuring = () => {
    cpuBefore = relay.usage().cpuSeconds;
  };
  const ca = scenario.tls ? { ca: system.tls.ca } : {};
  const target = { host: '127.0.0.1', port: relay.port, key: stage.key, ...ca };
  const { pipelining, seconds, warmUpSeconds } = options;
  const asLoad = ({ name: _, rateOf: __, ...load }: ScenarioLoad, index: number): Load => {
    return { ...load, name: `load${index}`, target, pipelining, seconds, warmUpSeconds };
  };
  const loads = await Promise.all(scenario.loads.map(asLoad).map(load => generate(load, onMeasuring)));
  const ended = performance.now();
  while ((await stage.countOutbox()) > 0 && performance.now() - ended < DRAIN_LIMIT_MS) await sleep(10);
  const drainSeconds = (performance.now() - ended) / 1000;
  const { cpuSeconds, peakBytes } = relay.usage();
  return {
    scenario,
    loads,
    peakBytes,
    cpuSeconds: cpuSeconds - cpuBefore,
    drainSeconds,
    accepted: loads.reduce((sum, load) => sum + load.accepted, 0),
    ...(await stage.countRows()),
    jobs: await stage.countJobs(),
    outbox: await stage.countOutbox(),
  };
}

/** Generates one load in a process of its own. */
export function generate(load: Load, onMeasuring: () => void): Promise<LoadResult> {
  const child = fork(GENERATOR);
  const limit = (load.seconds + load.warmUpSeconds) * 1000 + LOAD_SLACK_MS;
  const timer = setTimeout(() => child.kill('SIGKILL'), limit);
  return new Promise<LoadResult>((resolve, reject) => {
    child.on('message', (message: GeneratorMessage) => {
      if (message.type === 'measuring') onMeasuring();
      if (message.type === 'result') resolve(message.result);
      if (message.type === 'failed') reject(new Error(`load generator: ${message.reason}`));
    });
    child.on('error', reject);
    child.on('exit', code => reject(new Error(`load generator ended early (${code ?? 'killed'})`)));
    child.send(load);
  }).finally(() => {
    clearTimeout(timer);
    if (child.connected) child.disconnect();
  });
}
