/** Measures how fast the relay takes messages in; see README.md beside this file. */
import { mkdir, writeFile } from 'node:fs/promises';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { PIPELINES, type Pipeline } from '../src/store/schema/pipeline.ts';
import { flameGraph } from './support/flame-graph.ts';
import { type Figure, goalTable } from './support/goals.ts';
import { type Measurement, type MeasureOptions, measure } from './support/measure.ts';
import { busyTime, readProfiles, topFunctions } from './support/profile.ts';
import { problems, table } from './support/report.ts';
import { SCENARIOS, type Scenario } from './support/scenarios.ts';
import { startSystem } from './support/system.ts';
import { measureYardstick } from './support/yardstick.ts';

const HELP = `Usage: node bin/node24.js bench/intake.ts [options]

  --scenario <names>   only these, separated by commas: ${SCENARIOS.map(({ name }) => name).join(', ')}
  --seconds <n>        how long each is measured (10)
  --warm-up <n>        seconds before that (3)
  --pipeline <name>    standalone (the default) or opensend
  --pipelining         send MAIL, RCPT and DATA in one packet
  --profile [--top <n>]  run the relay under the CPU profiler and print the n functions (20) that took most time
  --flame <file>       also the flame graph of the thread that was busiest, as an SVG; with one scenario
  --directory <path>   for the relay's logs and profiles
  --json               all figures as JSON instead of the table
`;

interface Options extends MeasureOptions {
  readonly scenarios: readonly Scenario[];
  readonly json: boolean;
  readonly top: number;
  /** Where to write a flame graph. */
  readonly flame: string | undefined;
}

function readOptions(): Options | undefined {
  const { values } = parseArgs({
    options: {
      scenario: { type: 'string' },
      seconds: { type: 'string', default: '10' },
      'warm-up': { type: 'string', default: '3' },
      pipeline: { type: 'string', default: 'standalone' },
      pipelining: { type: 'boolean', default: false },
      profile: { type: 'boolean', default: false },
      top: { type: 'string', default: '20' },
      flame: { type: 'string' },
      directory: { type: 'string', default: join(tmpdir(), `smtp-relay-bench-${process.pid}`) },
      json: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) return undefined;
  const { directory, flame, json, pipelining } = values;
  const profile = values.profile || flame !== undefined;
  const pipeline = PIPELINES.find(name => name === values.pipeline);
  if (!pipeline) throw new Error(`--pipeline is one of ${PIPELINES.join(', ')}`);
  const seconds = positive('--seconds', values.seconds);
  const warmUpSeconds = positive('--warm-up', values['warm-up']);
  const top = positive('--top', values.top);
  return {
    scenarios: choose(values.scenario),
    seconds,
    warmUpSeconds,
    pipeline,
    pipelining,
    profile,
    top,
    flame,
    directory,
    json,
  };
}

function positive(name: string, text: string): number {
  const value = Number(text);
  if (!(value > 0)) throw new Error(`${name} is a number above 0`);
  return value;
}

function choose(names: string | undefined): readonly Scenario[] {
  if (names === undefined) return SCENARIOS;
  return names.split(',').map(name => {
    const scenario = SCENARIOS.find(one => one.name === name);
    if (!scenario) throw new Error(`no scenario "${name}"; there are ${SCENARIOS.map(one => one.name).join(', ')}`);
    return scenario;
  });
}

async function writeFlameGraph(directory: string, file: string, measurement: Measurement): Promise<void> {
  const busiest = (await readProfiles(directory)).sort(
    (one, other) => busyTime(other.profile) - busyTime(one.profile),
  )[0];
  if (!busiest) throw new Error('the relay left no profile');
  const load = measurement.scenario.loads[0];
  const title = `${load?.name}, ${load?.connections} connections, ${Math.round(rateOf(measurement))} messages/s: where the main thread's time goes`;
  await writeFile(file, flameGraph(busiest.profile, title));
}

/** Rates that follow from what was measured before. @throws Error where that was not */
function withRates(scenario: Scenario, before: readonly Measurement[]): Scenario {
  const loads = scenario.loads.map(load => {
    if (!load.rateOf) return load;
    const { scenario: name, share } = load.rateOf;
    const full = before.find(({ scenario }) => scenario.name === name);
    if (!full) throw new Error(`measure ${name} before ${scenario.name}: --scenario ${name},${scenario.name}`);
    return { ...load, rate: rateOf(full) * share };
  });
  return { ...scenario, loads };
}

function rateOf({ loads: [load] }: Measurement): number {
  return load ? load.measured / load.seconds : Number.NaN;
}

/** For goals. Only the relay is measured here, and TLS is in a scenario of its own. */
function figureOf(measurements: readonly Measurement[], pipeline: Pipeline, { peer, load, of }: Figure) {
  const ours = pipeline === 'standalone' ? 'relay' : 'opensend';
  const name = peer === ours ? load : peer === `${ours}-tls` ? `${load}-tls` : undefined;
  const measurement = measurements.find(({ scenario }) => scenario.name === name);
  if (!measurement) return undefined;
  const measured = measurement.loads.reduce((sum, one) => sum + one.measured, 0);
  const figures = {
    rate: rateOf(measurement),
    p99: measurement.loads[0]?.latency.p99,
    cpu: (measurement.cpuSeconds / measured) * 1000,
    peakMegabytes: measurement.peakBytes / 1e6,
  };
  return figures[of];
}

function conditions(pipeline: Pipeline, { seconds }: Options): string {
  const processors = cpus();
  const machine = `${processors.length} × ${processors[0]?.model.trim() || 'CPU'}, ${process.platform}`;
  return `Pipeline \`${pipeline}\`; Node ${process.version}, Postgres 18 with fsync, SQS emulator and generator on one machine (${machine}); ${seconds} s each.`;
}

async function main(): Promise<number> {
  const options = readOptions();
  if (!options) {
    process.stdout.write(HELP);
    return 0;
  }
  await mkdir(options.directory, { recursive: true });
  const system = await startSystem();
  let interrupted = false;
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => (interrupted = true));
  const measurements: Measurement[] = [];
  const found: string[] = [];
  const yardsticks: number[] = [];
  try {
    for (const scenario of options.scenarios) {
      if (interrupted) break;
      process.stderr.write(`${scenario.name} …\n`);
      yardsticks.push(await measureYardstick(options));
      const measurement = await measure(system, withRates(scenario, measurements), options);
      measurements.push(measurement);
      found.push(...problems(measurement));
      if (options.profile) {
        const profiles = join(options.directory, scenario.name);
        process.stderr.write(`\n${await topFunctions(profiles, options.top)}\n\n`);
        if (options.flame) await writeFlameGraph(profiles, options.flame, measurement);
      }
    }
  } finally {
    await system.stop();
  }
  const goals = goalTable(figure => figureOf(measurements, options.pipeline, figure));
  const report = `${conditions(options.pipeline, options)}\n\n${table(measurements, yardsticks)}\n\n${goals}`;
  process.stdout.write(`${options.json ? JSON.stringify(measurements, null, 2) : report}\n`);
  for (const problem of found) process.stderr.write(`${problem}\n`);
  return found.length === 0 ? 0 : 1;
}

process.exitCode = await main().catch((error: Error) => {
  process.stderr.write(`${error.message}\n`);
  return 1;
});
