import { type EventLoopUtilization, PerformanceObserver, performance } from 'node:perf_hooks';
import { promisify } from 'node:util';
import { getHeapSpaceStatistics, setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

export interface HeapReliefOptions {
  /** Connections that are open. */
  readonly connections: () => number;
  /** Milliseconds between two looks. */
  readonly interval?: number;
  readonly relief?: Relief;
}

/** V8's own collector and the C library, unless others are given. */
export interface Relief {
  /** Collects what nobody uses any more. It pauses everything. */
  collect(): Promise<void>;
  /** Gives back to the operating system what is free outside V8's heap. */
  trim(): Promise<unknown>;
}

/** Milliseconds. */
const INTERVAL = 10_000;
/** So many connections have to come or go before anything is done. */
const WORTHWHILE = 1_000;
/** The share of its time for which the event loop may have been busy of late: then hardly anybody waits for it. */
const QUIET = 0.1;

/**
 * Collects garbage when connections have gone by the thousand, and after the start, as soon as the event loop is quiet. When as
 * many have come, only what their handshakes have freed is given back. V8 collects when memory is asked for, and a while after its
 * heap has grown. It does neither when connections go, so what they left behind, on the heap and outside it, stayed for good.
 *
 * @returns ends it
 */
export function relieveHeap({
  connections,
  interval = INTERVAL,
  relief = createRelief(),
}: HeapReliefOptions): () => void {
  /** The most and the least there were at a look since something was done. */
  let most = Number.POSITIVE_INFINITY;
  let least = Number.POSITIVE_INFINITY;
  let before: EventLoopUtilization = performance.eventLoopUtilization();
  let timer: NodeJS.Timeout;
  async function look(): Promise<void> {
    const now = performance.eventLoopUtilization();
    const { utilization } = performance.eventLoopUtilization(now, before);
    before = now;
    const count = connections();
    most = Math.max(most, count);
    least = Math.min(least, count);
    const haveGone = most - count >= WORTHWHILE;
    if (utilization <= QUIET && (haveGone || count - least >= WORTHWHILE)) {
      most = count;
      least = count;
      if (haveGone) await relief.collect();
      await relief.trim();
    }
    timer = setTimeout(look, interval).unref();
  }
  timer = setTimeout(look, interval).unref();
  return () => clearTimeout(timer);
}

type Collect = (options: { type: 'major'; execution: 'async'; flavor: 'last-resort' }) => Promise<void>;

/** A flag gives programs the collector, also while they run; only a new context sees it. */
function createRelief(): Relief {
  setFlagsFromString('--expose-gc');
  const gc = runInNewContext('gc') as Collect;
  let trim: ReturnType<typeof findTrim> | undefined;
  return {
    // Any other flavour leaves the emptied pages in V8's pool: 80 MB of them after 5,000 connections.
    collect: () => gc({ type: 'major', execution: 'async', flavor: 'last-resort' }),
    async trim() {
      trim ??= findTrim();
      await (await trim)?.();
    },
  };
}

/** What is used here of koffi, which calls functions of C. It need not be installed. */
interface Koffi {
  load(path: null): { func(signature: string): NativeFunction };
}

interface NativeFunction {
  (...values: number[]): number;
  readonly async: (pad: number, done: Done) => void;
}

type Done = (error: Error | null, wasGivenBack: number) => void;

/** Parameters of mallopt(3), by the numbers of glibc's <malloc.h>. */
const TRIM_THRESHOLD = -1;
const TOP_PAD = -2;
const MMAP_THRESHOLD = -3;

const KIB = 1024;

/** @returns a function of the C library; null where it has none of that name, or koffi is not installed */
async function findFunction(signature: string): Promise<NativeFunction | null> {
  try {
    // The compiler must not look the name up: the dependency is optional.
    const name: string = 'koffi';
    const { load } = (await import(name)) as Koffi;
    return load(null).func(signature);
  } catch {
    return null;
  }
}

/**
 * OpenSSL frees memory in pieces between others, which glibc keeps for the process until it is asked for them. Node has no way to
 * ask, since its own memory comes from elsewhere.
 *
 * @returns a function that gives freed memory back to the operating system, off the main thread (malloc_trim(3)), and tells whether
 *   there was any; null where that cannot be done
 */
export async function findTrim(): Promise<(() => Promise<boolean>) | null> {
  const trim = await findFunction('int malloc_trim(size_t pad)');
  if (!trim) return null;
  const run = promisify(trim.async);
  return async () => (await run(0)) === 1;
}

/**
 * Node gives each connection in TLS a buffer of 64 KiB, of which an idle one uses a page. glibc would put it where the handshake
 * before has just freed memory, and so hold that memory: 17 KB on the average. So it is mapped by itself, for which glibc must have
 * less than that left at the end of its heap.
 *
 * @returns whether the C library obeys
 */
export async function mapTlsBuffers(): Promise<boolean> {
  const mallopt = await findFunction('int mallopt(int parameter, int value)');
  const settings = [
    [MMAP_THRESHOLD, 64 * KIB],
    [TRIM_THRESHOLD, 64 * KIB],
    [TOP_PAD, 16 * KIB],
  ] as const;
  return mallopt !== null && settings.every(([parameter, value]) => mallopt(parameter, value) === 1);
}

/**
 * Bytes. V8 lets it grow to 128 MiB, of which handshakes touch half, and shrinks it only when memory is asked for. Four times as much
 * spares messages six of ten collections, so it is there for as many clients as a busy program has.
 */
const LIMIT = 32 * 1024 * 1024;
const CROWDED_LIMIT = 8 * 1024 * 1024;
/** With more connections than this, memory is theirs. */
const CROWD = 100;
/** V8's own. */
const GROWTH = 2;

export interface YoungGenerationOptions {
  /** Connections that are open. */
  readonly connections: () => number;
  /** Bytes, for as long as there are few connections. */
  readonly limit?: number;
  /** Bytes, while there are many. */
  readonly crowdedLimit?: number;
}

/**
 * Keeps V8's space for new objects small: it mostly holds what one turn of the event loop has made. V8's option for it works only
 * at the start of a process, and no program can give it to itself. And has the main thread alone collect in it: of two milliseconds'
 * work, waking helpers and waiting for them takes more than they save, on cores that have other things to do.
 *
 * @returns ends it
 */
export function limitYoungGeneration({
  connections,
  limit = LIMIT,
  crowdedLimit = CROWDED_LIMIT,
}: YoungGenerationOptions): () => void {
  setFlagsFromString('--no-parallel-scavenge');
  let growth = GROWTH;
  const grow = (factor: number): void => {
    if (factor === growth) return;
    growth = factor;
    setFlagsFromString(`--semi-space-growth-factor=${factor}`);
  };
  // It grows only after collections.
  const look = (): void => grow(youngBytes() < (connections() > CROWD ? crowdedLimit : limit) ? GROWTH : 1);
  const observer = new PerformanceObserver(look);
  observer.observe({ entryTypes: ['gc'] });
  look();
  return () => {
    observer.disconnect();
    grow(GROWTH);
    setFlagsFromString('--parallel-scavenge');
  };
}

function youngBytes(): number {
  return getHeapSpaceStatistics().find(space => space.space_name === 'new_space')?.space_size ?? 0;
}

/** How much V8's heap grows between two collections of all of it, in hundredths. */
const HEAP_GROWTH = 100;

/**
 * Has V8 collect its whole heap whenever that has doubled. By itself it chooses between a tenth and four times, by how fast objects
 * grow old, and counts what buffers hold outside the heap as if that grew in it: beside messages of 7 MB it collected all for each of
 * them, and beside many small ones it kept 90 MB more.
 *
 * @returns ends it
 */
export function collectWhenDoubled(): () => void {
  const grow = (percent: number) => setFlagsFromString(`--heap-growing-percent=${percent}`);
  grow(HEAP_GROWTH);
  return () => grow(0);
}
