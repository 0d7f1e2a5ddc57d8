import type { Registry } from '../../observability/metrics.ts';

/** Counters whose increase each sample has, by the labels named, which are joined by a space. */
export const COUNTED = {
  messages: ['smtp_relay_messages_total', 'result'],
  refusals: ['smtp_relay_refusals_total', 'step', 'rule'],
  logins: ['smtp_relay_logins_total', 'result'],
  published: ['smtp_relay_publish_jobs_total', 'result'],
  sends: ['smtp_relay_sends_total', 'transport', 'outcome'],
  settled: ['smtp_relay_messages_settled_total', 'standing'],
  throttled: ['smtp_relay_ses_throttled_total', 'region'],
  webhooks: ['smtp_relay_webhook_attempts_total', 'result'],
  deadLetters: ['smtp_relay_webhook_dead_letters_total'],
  hits: ['smtp_relay_tracking_hits_total', 'result'],
  certificateFailures: ['smtp_relay_tls_reload_failures_total'],
} as const satisfies Readonly<Record<string, readonly [name: string, ...labels: string[]]>>;

/** Histograms, likewise by their buckets. */
export const MEASURED = {
  acceptance: 'smtp_relay_acceptance_duration_seconds',
  sendAge: 'smtp_relay_send_age_seconds',
} as const;

export type CounterName = keyof typeof COUNTED;
export type HistogramName = keyof typeof MEASURED;

/** Counts by labels. */
export type Counts = ReadonlyMap<string, number>;
/** Counts by the upper bounds of buckets, in their order, each without those before. */
export type Buckets = ReadonlyMap<number, number>;

/** What counters and histograms stand at, or have grown by. */
export interface Figures {
  readonly counts: Readonly<Record<CounterName, Counts>>;
  readonly buckets: Readonly<Record<HistogramName, Buckets>>;
}

/** One value of a metric, as prom-client gives it. */
interface Value {
  readonly value: number;
  readonly labels: Readonly<Record<string, string | number | undefined>>;
  readonly metricName?: string;
}

/** Reads the values of one metric; none where this process does not have it. */
export async function readValues(registry: Registry, name: string): Promise<readonly Value[]> {
  const metric = registry.getSingleMetric(name);
  return metric ? ((await metric.get()).values as readonly Value[]) : [];
}

/** Reads a gauge; null where it has no value. */
export async function readGauge(
  registry: Registry,
  name: string,
  labels: Value['labels'] = {},
): Promise<number | null> {
  const wanted = Object.entries(labels);
  const values = await readValues(registry, name);
  return values.find(value => wanted.every(([label, is]) => value.labels[label] === is))?.value ?? null;
}

/** Reads what is in memory: no metric here takes a query. */
export async function readFigures(registry: Registry): Promise<Figures> {
  const counts = await ofEach(COUNTED, async ([name, ...labels]: readonly [string, ...string[]]) => {
    const values = await readValues(registry, name);
    return new Map(values.map(value => [labels.map(label => value.labels[label]).join(' '), value.value]));
  });
  const buckets = await ofEach(MEASURED, async name => bucketsOf(await readValues(registry, name)));
  return { counts, buckets };
}

async function ofEach<K extends string, V, R>(
  table: Readonly<Record<K, V>>,
  read: (entry: V) => Promise<R>,
): Promise<Record<K, R>> {
  const entries = Object.entries(table) as [K, V][];
  return Object.fromEntries(
    await Promise.all(entries.map(async ([name, entry]) => [name, await read(entry)] as const)),
  ) as Record<K, R>;
}

/** Prometheus' buckets hold those before them, too. */
function bucketsOf(values: readonly Value[]): Buckets {
  const cumulative = values.filter(({ metricName }) => metricName?.endsWith('_bucket'));
  let before = 0;
  return new Map(
    cumulative.map(({ labels, value }) => {
      const own = value - before;
      before = value;
      return [labels['le'] === '+Inf' ? Number.POSITIVE_INFINITY : Number(labels['le']), own] as const;
    }),
  );
}

/** What has been added since; where nothing was, the label or bucket is left out. */
export function increase(now: Figures, before: Figures): Figures {
  return {
    counts: perName(now.counts, name => grown(now.counts[name], before.counts[name])),
    buckets: perName(now.buckets, name => grown(now.buckets[name], before.buckets[name])),
  };
}

/** Adds up what has been added in several times. */
export function total(increases: readonly Figures[]): Figures {
  const [first] = increases;
  if (!first) return { counts: perName(COUNTED, () => new Map()), buckets: perName(MEASURED, () => new Map()) };
  return {
    counts: perName(first.counts, name => added(increases.map(({ counts }) => counts[name]))),
    buckets: perName(first.buckets, name => added(increases.map(({ buckets }) => buckets[name]))),
  };
}

function perName<K extends string, V>(names: Readonly<Record<K, unknown>>, make: (name: K) => V): Record<K, V> {
  return Object.fromEntries((Object.keys(names) as K[]).map(name => [name, make(name)])) as Record<K, V>;
}

function grown<K>(now: ReadonlyMap<K, number>, before: ReadonlyMap<K, number>): ReadonlyMap<K, number> {
  const entries = [...now].map(([key, value]) => [key, value - (before.get(key) ?? 0)] as const);
  return new Map(entries.filter(([, by]) => by > 0));
}

function added<K>(maps: readonly ReadonlyMap<K, number>[]): ReadonlyMap<K, number> {
  const sums = new Map<K, number>();
  for (const [key, value] of maps.flatMap(map => [...map])) sums.set(key, (sums.get(key) ?? 0) + value);
  return sums;
}

/** All of a counter, or those with labels that one of the names begins with or ends in. */
export function sum(counts: Counts, ...names: readonly string[]): number {
  const chosen = [...counts].filter(([key]) => names.length === 0 || names.some(name => key.split(' ').includes(name)));
  return chosen.reduce((all, [, count]) => all + count, 0);
}

/**
 * The value below which a share of what was measured lies, as Prometheus' `histogram_quantile` has it: even within a bucket, and the
 * last bound for what is above it. null where nothing was measured.
 *
 * @param share from 0 to 1
 */
export function quantile(buckets: Buckets, share: number, bounds: readonly number[]): number | null {
  const wanted = share * [...buckets.values()].reduce((all, count) => all + count, 0);
  if (wanted === 0) return null;
  let seen = 0;
  for (const [index, bound] of bounds.entries()) {
    const count = buckets.get(bound) ?? 0;
    const lower = bounds[index - 1] ?? 0;
    if (seen + count >= wanted)
      return Number.isFinite(bound) ? lower + (bound - lower) * ((wanted - seen) / count) : lower;
    seen += count;
  }
  return null;
}
