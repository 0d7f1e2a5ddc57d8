import { type EventLoopUtilization, performance } from 'node:perf_hooks';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { findTrim } from './unused-memory.ts';

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
/** As many connections have to have come or gone for something to be done; have they gone, for a collection. */
const WORTHWHILE = 1_000;
/** The share of its time for which the event loop may have been busy of late: who waits for it then is hardly anybody. */
const QUIET = 0.1;

/**
 * Has garbage collected where connections have gone by the thousand, and behind the start, as soon as there is nothing else
 * to do; where they have come, only what their handshakes have freed is given back. V8 collects when memory is asked for, and a while after its heap has grown; when connections have gone it does
 * neither, so that what they left behind, on the heap and outside it, stayed for good.
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

/** The collector is there for who asks by a flag, also while the program runs; another context sees it. */
function createRelief(): Relief {
  setFlagsFromString('--expose-gc');
  const gc = runInNewContext('gc') as Collect;
  let trim: ReturnType<typeof findTrim> | undefined;
  return {
    // Any other leaves the emptied pages in V8's pool: 80 MB of them after 5,000 connections.
    collect: () => gc({ type: 'major', execution: 'async', flavor: 'last-resort' }),
    async trim() {
      trim ??= findTrim();
      await (await trim)?.();
    },
  };
}
