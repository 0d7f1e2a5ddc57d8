import { performance } from 'node:perf_hooks';
import type { Registry } from '../../observability/metrics.ts';
import type { History, Sample, SeriesName, Values } from './contract.ts';
import { type Figures, increase, quantile, readFigures, readGauge, sum, total } from './figures.ts';

export interface RecorderOptions {
  readonly registry: Registry;
  readonly role: 'relay' | 'worker';
  /** Whether somebody looks just now: only then are metrics read that take a query. */
  readonly isWatched: () => boolean;
  /** A new sample is there. */
  readonly onSample?: () => void;
  /** Milliseconds from one sample to the next. */
  readonly interval?: number;
  /** How many samples are kept. */
  readonly most?: number;
}

const INTERVAL = 5_000;
/** A quarter of an hour. */
const MOST = 180;

const RELAY_SERIES = [
  'accepted',
  'refused',
  'deferred',
  'faults',
  'acceptanceMedian',
  'acceptance99',
  'connections',
] as const;
const WORKER_SERIES = ['sent', 'retried', 'failed', 'sendAge95', 'inHand'] as const;
const COMMON_SERIES = [
  ...['published', 'unpublished', 'queueJobs', 'outboxDue', 'outboxAge', 'waiting', 'busy', 'memory'],
] as readonly SeriesName[];

interface Taken {
  readonly sample: Sample;
  readonly increase: Figures;
}

/**
 * Keeps the last minutes of what this process does, so that whoever opens the page sees them. Every few seconds it reads some metrics
 * that are in memory, whether somebody looks or not, which costs next to nothing; those of the outbox only while somebody does.
 */
export class Recorder {
  readonly #options: RecorderOptions;
  readonly #interval: number;
  readonly #most: number;
  readonly #series: readonly SeriesName[];
  #taken: readonly Taken[] = [];
  #timer: NodeJS.Timeout | undefined;
  #last: { readonly figures: Figures; readonly at: number; readonly turns: ReturnType<typeof turns> } | null = null;
  /** Upper bounds of each histogram's buckets. */
  #bounds: Readonly<Record<keyof Figures['buckets'], readonly number[]>> = { acceptance: [], sendAge: [] };

  constructor(options: RecorderOptions) {
    this.#options = options;
    this.#interval = options.interval ?? INTERVAL;
    this.#most = options.most ?? MOST;
    this.#series = [...(options.role === 'relay' ? RELAY_SERIES : WORKER_SERIES), ...COMMON_SERIES];
  }

  start(): void {
    this.#timer = setInterval(() => void this.take(), this.#interval).unref();
    void this.take();
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  get history(): History {
    const samples = this.#taken.map(({ sample }) => sample);
    const series = this.#series.map(name => [name, samples.map(({ values }) => values[name] ?? null)] as const);
    return {
      interval: this.#interval,
      most: this.#most,
      at: samples.map(({ at }) => at),
      series: Object.fromEntries(series),
    };
  }

  get latest(): Sample {
    return this.#taken.at(-1)?.sample ?? { at: Date.now(), values: {} };
  }

  /** The values of a series in the last so many milliseconds, without those that are unknown. */
  recent(name: SeriesName, milliseconds: number): readonly number[] {
    return this.#since(milliseconds).flatMap(({ sample }) => sample.values[name] ?? []);
  }

  /** What was counted in the last so many milliseconds, at most those that are kept. */
  counted(milliseconds = Number.POSITIVE_INFINITY): Figures {
    return total(this.#since(milliseconds).map(taken => taken.increase));
  }

  /** The value below which a share of what was measured in the last so many milliseconds lies; null where nothing was. */
  quantile(name: keyof Figures['buckets'], share: number, milliseconds: number): number | null {
    return quantile(this.counted(milliseconds).buckets[name], share, this.#bounds[name]);
  }

  #since(milliseconds: number): readonly Taken[] {
    return this.#taken.slice(-Math.min(this.#most, Math.ceil(milliseconds / this.#interval)));
  }

  /** Takes a sample; the first one only tells where counters stand. Never rejects. */
  async take(): Promise<void> {
    const { registry, isWatched, onSample } = this.#options;
    const figures = await readFigures(registry);
    const now = { figures, at: performance.now(), turns: turns() };
    const before = this.#last;
    this.#last = now;
    const { acceptance, sendAge } = figures.buckets;
    this.#bounds = { acceptance: [...acceptance.keys()], sendAge: [...sendAge.keys()] };
    if (before !== null) {
      const by = increase(figures, before.figures);
      const seconds = (now.at - before.at) / 1_000;
      const busy = performance.eventLoopUtilization(now.turns, before.turns).utilization;
      const values = { ...this.#ratesOf(by, seconds), ...(await readLevels(registry, isWatched())), busy };
      const own = Object.fromEntries(this.#series.map(name => [name, rounded(values[name])]));
      const taken = { sample: { at: Date.now(), values: own }, increase: by };
      this.#taken = [...this.#taken.slice(1 - this.#most), taken];
    }
    onSample?.();
  }

  #ratesOf({ counts, buckets }: Figures, seconds: number): Values {
    const { messages, published, sends } = counts;
    const { acceptance, sendAge } = this.#bounds;
    return {
      accepted: sum(messages, 'queued', 'repeated', 'sandbox', 'captured') / seconds,
      refused: sum(messages, 'refused') / seconds,
      deferred: sum(messages, 'deferred') / seconds,
      faults: sum(messages, 'fault') / seconds,
      acceptanceMedian: quantile(buckets.acceptance, 0.5, acceptance),
      acceptance99: quantile(buckets.acceptance, 0.99, acceptance),
      published: sum(published, 'published') / seconds,
      unpublished: sum(published, 'refused', 'failed') / seconds,
      sent: sum(sends, 'sent') / seconds,
      retried: sum(sends, 'transient', 'unknown') / seconds,
      failed: sum(sends, 'permanent') / seconds,
      sendAge95: quantile(buckets.sendAge, 0.95, sendAge),
    };
  }
}

function turns() {
  return performance.eventLoopUtilization();
}

/** What stands at some height just now. */
async function readLevels(registry: Registry, isWatched: boolean): Promise<Values> {
  const gauge = (name: string) => readGauge(registry, name);
  const [connections, inHand, queueJobs, waiting] = await Promise.all([
    gauge('smtp_relay_connections'),
    gauge('smtp_relay_messages_in_hand'),
    gauge('smtp_relay_publish_queue_jobs'),
    gauge('smtp_relay_database_connections_waited_for'),
  ]);
  const levels = { connections, inHand, queueJobs, waiting, memory: process.memoryUsage.rss() };
  if (!isWatched) return levels;
  const [outboxDue, outboxAge] = await Promise.all([
    readGauge(registry, 'smtp_relay_outbox_jobs', { state: 'due' }),
    gauge('smtp_relay_outbox_oldest_due_seconds'),
  ]);
  return { ...levels, outboxDue, outboxAge };
}

/** To four digits: no chart shows more. */
function rounded(value: number | null | undefined): number | null {
  return value === null || value === undefined ? null : Number(value.toPrecision(4));
}
