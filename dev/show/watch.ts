import { setTimeout as sleep } from 'node:timers/promises';
import type { Queryable } from '../../src/postgres/pool.ts';
import { findHappenings } from './happenings.ts';
import { renderHappening } from './lines.ts';

export interface WatchOptions {
  readonly db: Queryable;
  /** The folder of captured messages. */
  readonly captured: string;
  /** Shows one line. */
  readonly show: (line: string) => void;
}

/** Shows what happens to messages, a line each. */
export interface Watch {
  /** From now on; what happened since the watch was made is shown too. */
  start(): void;
  /** Ends when the last has been shown. Never rejects. */
  stop(): Promise<void>;
}

const POLL_MS = 300;
/** Longer than what `findHappenings` looks back. */
const REMEMBER_MS = 120_000;

export function createWatch({ db, captured, show }: WatchOptions): Watch {
  const since = new Date();
  const seen = new Map<string, Date>();
  const stopping = new AbortController();
  const { signal } = stopping;
  let watching: Promise<void> | undefined;

  async function look(): Promise<void> {
    for (const happening of await findHappenings(db, since, [...seen.keys()])) {
      seen.set(happening.key, happening.at);
      show(renderHappening(happening, captured));
    }
    forgetOld(seen);
  }

  async function watch(): Promise<void> {
    while (!signal.aborted) {
      // A look that fails is followed by the next one: relay and worker themselves report what is wrong.
      await look().catch(() => {});
      await sleep(POLL_MS, undefined, { signal }).catch(() => {});
    }
    await look().catch(() => {});
  }

  return {
    start: () => {
      watching ??= watch();
    },
    stop: async () => {
      stopping.abort();
      await watching;
    },
  };
}

function forgetOld(seen: Map<string, Date>): void {
  for (const [key, at] of seen) {
    if (Date.now() - at.getTime() > REMEMBER_MS) seen.delete(key);
  }
}
