import { Registry } from 'prom-client';

export type { Registry };

/**
 * A registry of metrics. Each room makes its own metrics on the one it is given (`createXMetrics(registry)` in the room's
 * `metrics.ts`), with names that begin with `smtp_relay_`, base units, and label values from fixed sets.
 */
export function createRegistry(): Registry {
  return new Registry();
}

/** The metrics in the form that was asked for. */
export interface Exposition {
  readonly contentType: string;
  readonly text: string;
}

/**
 * Shows a registry's metrics to scrapers: as OpenMetrics 1.0, with exemplars, to those that accept it, as Prometheus does; else in
 * Prometheus' own text format, without exemplars.
 *
 * @returns a function of the request's `Accept`
 */
export function createExposition(registry: Registry): (accept: string | undefined) => Promise<Exposition> {
  let last: Promise<unknown> = Promise.resolve();
  return accept => {
    const wantsOpen = accept?.includes(OPEN_METRICS) ?? false;
    // One answer at a time, since the library renames counters while it makes one.
    const next = last.then(() => (wantsOpen ? openMetrics(registry) : plainText(registry)));
    last = next.catch(() => {});
    return next;
  };
}

const OPEN_METRICS = 'application/openmetrics-text';

async function plainText(registry: Registry): Promise<Exposition> {
  return { contentType: registry.contentType, text: await registry.metrics() };
}

/** Exemplars need a registry of that format. The library takes `_total` off a counter's name in it, and never puts it back. */
async function openMetrics(registry: Registry): Promise<Exposition> {
  const open = new Registry();
  open.setContentType(Registry.OPENMETRICS_CONTENT_TYPE as never);
  const metrics = registry.getMetricsAsArray() as unknown as readonly Metric[];
  const names = metrics.map(({ name }) => name);
  const taken = new Set(names);
  for (const metric of metrics) open.registerMetric(fit(metric, taken) as never);
  try {
    return { contentType: open.contentType, text: await open.metrics() };
  } finally {
    metrics.forEach((metric, index) => {
      metric.name = names[index] as string;
    });
  }
}

interface Metric {
  name: string;
  get(): Promise<{ readonly type: string }>;
}

/** A counter whose name would be another metric's without `_total` keeps it, and is of no known type (OpenMetrics 1.0, "Metric family"). */
function fit(metric: Metric, names: ReadonlySet<string>): Metric {
  const isFree = !metric.name.endsWith(SUFFIX) || !names.has(metric.name.slice(0, -SUFFIX.length));
  if (isFree) return metric;
  const { name } = metric;
  return Object.assign(Object.create(metric), {
    ...{ name, type: 'unknown' },
    get: async () => ({ ...(await metric.get()), type: 'unknown' }),
  });
}

const SUFFIX = '_total';

export interface ReadingOptions<T> {
  readonly read: () => Promise<T>;
  /** Milliseconds for which an answer serves all callers. */
  readonly maxAge?: number;
  /** Milliseconds that a caller waits for a new answer before it gets the last one. */
  readonly patience?: number;
  /** Milliseconds after which an answer is worth nothing any more. */
  readonly worthless?: number;
}

const MAX_AGE = 1_000;
const PATIENCE = 100;
const WORTHLESS = 60_000;

/**
 * A value for a gauge that takes a query. A scrape never waits long for it and never fails by it: while the database is away the
 * last answer stands, and after a minute there is none. The function returned never rejects.
 */
export function createReading<T>(options: ReadingOptions<T>): () => Promise<T | null> {
  const { read, maxAge = MAX_AGE, patience = PATIENCE, worthless = WORTHLESS } = options;
  let last: { readonly value: T; readonly at: number } | null = null;
  let askedAt = Number.NEGATIVE_INFINITY;
  // A query that is never answered is not asked again and again.
  let reading: Promise<void> | null = null;

  async function refresh(): Promise<void> {
    try {
      const value = await read();
      last = { value, at: performance.now() };
    } catch {
      // The gauge then shows that it is unknown.
    } finally {
      reading = null;
    }
  }

  return async () => {
    if (reading === null && performance.now() - askedAt >= maxAge) {
      askedAt = performance.now();
      reading = refresh();
    }
    if (reading !== null) await atMost(reading, patience);
    return last !== null && performance.now() - last.at < worthless ? last.value : null;
  };
}

async function atMost(work: Promise<void>, milliseconds: number): Promise<void> {
  const late = Promise.withResolvers<void>();
  const timer = setTimeout(late.resolve, milliseconds);
  await Promise.race([work, late.promise]);
  clearTimeout(timer);
}
