import { setTimeout as sleep } from 'node:timers/promises';

/** Rejects where the dependency does not serve. @param signal nobody waits for the answer any more */
export type DependencyCheck = (signal: AbortSignal) => Promise<unknown>;

/** How a dependency was found at the last look. */
export interface DependencyReport {
  readonly ok: boolean;
  readonly latencyMs: number;
  /** ISO 8601. */
  readonly checkedAt: string;
  /** The last failure since the start, also where it is over: its class, never its text, which may name hosts and users. */
  readonly lastError?: { readonly class: string; readonly at: string };
}

export interface DependencyChecksOptions {
  /** Milliseconds that one look may take. */
  readonly timeLimit?: number;
  /** Milliseconds for which an answer serves others who ask. */
  readonly maxAge?: number;
}

const TIME_LIMIT = 2_000;
const MAX_AGE = 1_000;
const MAX_CLASS_LENGTH = 100;

/** Looks at all dependencies at once, at most once in `maxAge`, however many ask. The function returned never rejects. */
export function createDependencyChecks(
  checks: Readonly<Record<string, DependencyCheck>>,
  { timeLimit = TIME_LIMIT, maxAge = MAX_AGE }: DependencyChecksOptions = {},
): () => Promise<Record<string, DependencyReport>> {
  const probes = Object.entries(checks).map(([name, check]) => ({ name, look: createProbe(check, timeLimit) }));
  let answer: Promise<Record<string, DependencyReport>> | undefined;
  let askedAt = Number.NEGATIVE_INFINITY;

  async function lookAtAll(): Promise<Record<string, DependencyReport>> {
    return Object.fromEntries(await Promise.all(probes.map(async ({ name, look }) => [name, await look()] as const)));
  }

  return () => {
    const now = performance.now();
    if (!answer || now - askedAt > maxAge) {
      askedAt = now;
      answer = lookAtAll();
    }
    return answer;
  };
}

function createProbe(check: DependencyCheck, timeLimit: number): () => Promise<DependencyReport> {
  const ask = inTime(check, timeLimit);
  let lastError: { readonly class: string; readonly at: string } | undefined;

  return async () => {
    const begin = performance.now();
    let ok = true;
    try {
      await ask();
    } catch (error) {
      ok = false;
      lastError = { class: classOf(error), at: new Date().toISOString() };
    }
    const latencyMs = Math.round((performance.now() - begin) * 10) / 10;
    return { ok, latencyMs, checkedAt: new Date().toISOString(), ...(lastError && { lastError }) };
  };
}

/** Makes a report that may hang or fail one that never holds up who asks: null stands for it then. */
export function reportInTime<T>(make: () => Promise<T>, timeLimit = TIME_LIMIT): () => Promise<T | null> {
  const ask = inTime(make, timeLimit);
  return () => ask().catch(() => null);
}

/**
 * Rejects where the answer takes longer. While it is waited for no second one is asked for, so that those who ask again and again
 * take nothing more of what it hangs on.
 *
 * @param timeLimit milliseconds
 */
export function inTime<T>(ask: (signal: AbortSignal) => Promise<T>, timeLimit: number): () => Promise<T> {
  let running: Promise<T> | undefined;
  return async () => {
    const ended = new AbortController();
    const timeUp = sleep(timeLimit, undefined, { signal: ended.signal }).then((): never => {
      throw Object.assign(new Error('no answer in time'), { code: 'Timeout' });
    });
    timeUp.catch(() => undefined);
    try {
      running ??= ask(ended.signal).finally(() => {
        running = undefined;
      });
      return await Promise.race([running, timeUp]);
    } finally {
      ended.abort();
      running?.catch(() => undefined);
    }
  };
}

/** `ECONNREFUSED`, `57P01`, `QueueDoesNotExist`, `Timeout`: what can be looked up, and holds no names. */
function classOf(error: unknown): string {
  const first = error instanceof AggregateError ? error.errors[0] : error;
  if (!(first instanceof Error)) return 'unknown';
  const code = 'code' in first && typeof first.code === 'string' ? first.code : '';
  return (code || first.name).slice(0, MAX_CLASS_LENGTH);
}
