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
/** As many connections have to have come or gone for a collection to be worth its pause. */
const WORTHWHILE = 1_000;
/** The share of its time for which the event loop may have been busy of late: who waits for it then is hardly anybody. */
const QUIET = 0.1;
/** V8 keeps the pages that a collection has emptied, up to 80 MB of them, and lets them go behind the next one. */
const COLLECTIONS = 2;

/**
 * Has garbage collected where connections have come or gone by the thousand, and behind the start, as soon as there is
 * nothing else to do. V8 collects when memory is asked for; idle connections ask for none, so that what their handshakes and
 * their ends left behind, on the heap and outside it, stayed for as long as they were idle.
 *
 * @returns ends it
 */
export function relieveHeap({
  connections,
  interval = INTERVAL,
  collect = collectGarbage(),
}: HeapReliefOptions): () => void {
  let collectedAt = Number.POSITIVE_INFINITY;
  /** How far from there it has been since: those that came and went in a busy time count too. */
  let furthest = 0;
  let left = 0;
  let before: EventLoopUtilization = performance.eventLoopUtilization();
  let timer: NodeJS.Timeout;
  async function look(): Promise<void> {
    const now = performance.eventLoopUtilization();
    const { utilization } = performance.eventLoopUtilization(now, before);
    before = now;
    const count = connections();
    furthest = Math.max(furthest, Math.abs(count - collectedAt));
    if (furthest >= WORTHWHILE) left = COLLECTIONS;
    if (utilization <= QUIET && left > 0) {
      collectedAt = count;
      furthest = 0;
      left -= 1;
      await collect();
    }
    timer = setTimeout(look, interval).unref();
  }
  timer = setTimeout(look, interval).unref();
  return () => clearTimeout(timer);
}

/** The collector is there for who asks by a flag, also while the program runs; another context sees it. */
function collectGarbage(): () => Promise<void> {
  setFlagsFromString('--expose-gc');
  const gc = runInNewContext('gc') as (options: { type: 'major'; execution: 'async' }) => Promise<void>;
  let trim: ReturnType<typeof findTrim> | undefined;
  return async () => {
    await gc({ type: 'major', execution: 'async' });
    trim ??= findTrim();
    await (await trim)?.();
  };
}
