import type { LoadResult } from './load.ts';
import type { Measurement } from './measure.ts';
import type { ScenarioLoad } from './scenarios.ts';

const COLUMNS = [
  'scenario',
  'connections',
  'TLS',
  'messages/s',
  'of bare',
  'p50 ms',
  'p95 ms',
  'p99 ms',
  'max ms',
  'MB/s',
  'peak RSS MB',
  'CPU s/1000',
  'rows',
  'jobs',
  'drain s',
] as const;

/**
 * The measurements as one Markdown table; `yardsticks` has, for each, what smtp-server alone took a second just before.
 * What belongs to a whole scenario stands in the row of its first load.
 */
export function table(measurements: readonly Measurement[], yardsticks: readonly number[]): string {
  const rows = measurements.flatMap((measurement, nth) =>
    measurement.loads.map((load, index) => row(measurement, load, index, yardsticks[nth] ?? Number.NaN)),
  );
  const align = COLUMNS.map((_, index) => (index === 0 ? '---' : '---:'));
  return [COLUMNS, align, ...rows].map(cells => `| ${cells.join(' | ')} |`).join('\n');
}

/** What contradicts "every 250 has its row and its job"; empty when all is well. */
export function problems(measurement: Measurement): string[] {
  const { accepted, distinct, jobs, loads, outbox, rows, scenario } = measurement;
  const found: string[] = [];
  if (rows !== accepted) found.push(`${accepted} messages got a 250, but there are ${rows} rows`);
  if (distinct !== rows) found.push(`only ${distinct} of ${rows} rows are of different messages`);
  if (jobs !== accepted) found.push(`${accepted} messages got a 250, but ${jobs} jobs are on the queue`);
  if (outbox !== 0) found.push(`${outbox} jobs were not published`);
  for (const load of loads) {
    if (load.measured === 0) found.push('no message was accepted in the measured time');
    for (const [text, count] of Object.entries(load.refusals)) found.push(`${count} times: ${text}`);
  }
  return found.map(problem => `${scenario.name}: ${problem}`);
}

function row(measurement: Measurement, load: LoadResult, index: number, yardstick: number): string[] {
  const { scenario } = measurement;
  const plan = scenario.loads[index];
  const rate = load.measured / load.seconds;
  const { max, p50, p95, p99 } = load.latency;
  const times = [p50, p95, p99, max].map(ms => ms.toFixed(ms < 10 ? 2 : ms < 100 ? 1 : 0));
  const cells = [
    plan?.name ?? '',
    String(plan?.connections ?? ''),
    scenario.tls ? 'yes' : 'no',
    figure(rate),
    share(plan, rate, yardstick),
    ...times,
  ];
  return [
    ...cells,
    figure((rate * load.messageBytes) / 1e6),
    ...(index === 0 ? ofScenario(measurement) : Array(5).fill('')),
  ];
}

function ofScenario(measurement: Measurement): string[] {
  const { cpuSeconds, drainSeconds, jobs, loads, peakBytes, rows } = measurement;
  const measured = loads.reduce((sum, load) => sum + load.measured, 0);
  const perThousand = (cpuSeconds / measured) * 1000;
  return [figure(peakBytes / 1e6), figure(perThousand), String(rows), String(jobs), drainSeconds.toFixed(2)];
}

/** Of what smtp-server alone takes: comparable for messages of 1 KB sent as fast as may be on as many connections. */
function share(plan: ScenarioLoad | undefined, rate: number, yardstick: number): string {
  const comparable =
    plan?.message.kind === 'text' && plan.connections === 64 && plan.rate === undefined && !plan.rateOf;
  return comparable ? `${((rate / yardstick) * 100).toFixed(0)} %` : '';
}

/** Three figures that mean something. */
function figure(value: number): string {
  return value >= 100 ? value.toFixed(0) : value.toPrecision(3);
}
