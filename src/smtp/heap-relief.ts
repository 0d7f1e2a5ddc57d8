import { type EventLoopUtilization, performance } from 'node:perf_hooks';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { findTrim } from './unused-memory.ts';

export interface HeapReliefOptions {
  /** Connections that are open. */
  readonly connections: () => number;
  /** Milliseconds between two looks. */
  readonly interval?: number;
  /** Collects what nobody uses any more, and gives it back; V8's own collector and the C library unless given. */
  readonly collect?: () => Promise<void>;
}

/** Milliseconds. */
const INTERVAL = 10_000;
/** As many connections have to have gone for a collection to be worth its pause. */
const WORTHWHILE = 1_000;
/** The share of its time for which the event loop may have been busy of late: who waits for it then is hardly anybody. */
const QUIET = 0.1;

/**
 * Has garbage collected where connections have gone by the thousand, and behind the start, as soon as there is nothing else
 * to do. V8 collects when memory is asked for, and a while after its heap has grown; when connections have gone it does
 * neither, so that what they left behind, on the heap and outside it, stayed for good.
 *
 * @returns ends it
 */
export function relieveHeap({
  connections,
  interval = INTERVAL,
  collect = collectGarbage(),
}: HeapReliefOptions): () => void {
  /** The most there were at a look since the last collection. */
  let most = Number.POSITIVE_INFINITY;
  let before: EventLoopUtilization = performance.eventLoopUtilization();
  let timer: NodeJS.Timeout;
  async function look(): Promise<void> {
    const now = performance.eventLoopUtilization();
    const { utilization } = performance.eventLoopUtilization(now, before);
    before = now;
    const count = connections();
    most = Math.max(most, count);
    if (utilization <= QUIET && most - count >= WORTHWHILE) {
      most = count;
      await collect();
    }
    timer = setTimeout(look, interval).unref();
  }
  timer = setTimeout(look, interval).unref();
  return () => clearTimeout(timer);
}

type Collect = (options: { type: 'major'; execution: 'async'; flavor: 'last-resort' }) => Promise<void>;

/** The collector is there for who asks by a flag, also while the program runs; another context sees it. */
function collectGarbage(): () => Promise<void> {
  setFlagsFromString('--expose-gc');
  const gc = runInNewContext('gc') as Collect;
  let trim: ReturnType<typeof findTrim> | undefined;
  return async () => {
    // Any other leaves the emptied pages in V8's pool: 80 MB of them after 5,000 connections.
    await gc({ type: 'major', execution: 'async', flavor: 'last-resort' });
    trim ??= findTrim();
    await (await trim)?.();
  };
}
