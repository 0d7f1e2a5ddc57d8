import { setTimeout as delay } from 'node:timers/promises';
import type pg from 'pg';
import { isAnswer, isConflict, OutcomeUnknown } from './answers.ts';
import type { Queryable } from './pool.ts';

/** Work on one connection. Called again, it has to find out whether an earlier call of its own was committed. */
export type RepeatableWork<T> = (client: Queryable, repeated: boolean) => Promise<T>;

export interface UntilKnownOptions {
  /** Whether the database refuses what it was given; trying again would change nothing. */
  readonly isFinal: (error: unknown) => boolean;
  /** Milliseconds after the loss in which another try may begin. */
  readonly limit: number;
  /** How often others may be in the way before their error is the answer. */
  readonly conflicts: number;
}

/** Milliseconds between two tries. */
const PAUSE = 250;
/** Milliseconds at most after the first conflict, more after each further one: those who met should not meet again. */
const CONFLICT_PAUSE = 5;

/** `failed`: nothing is stored. `unknown`: that is not known. */
type Outcome<T> =
  | { readonly kind: 'done'; readonly value: T }
  | { readonly kind: 'failed' | 'unknown'; readonly error: unknown };

/**
 * Runs work whose outcome has to be known. Where a statement was sent and the answer is not the database's own, it is open
 * whether the server has committed; then the work is done again on another connection, until the server says which it is.
 * What the server rolled back only because others were in the way is tried again at once.
 *
 * Where no connection can be had in the first place, nothing was sent, so nothing is tried again.
 *
 * @throws the database's error, and nothing is stored; OutcomeUnknown at the limit
 */
export async function untilKnown<T>(pool: pg.Pool, work: RepeatableWork<T>, options: UntilKnownOptions): Promise<T> {
  for (let conflicts = 1; ; conflicts++) {
    const outcome = await runOn(await pool.connect(), work, false);
    if (outcome.kind === 'done') return outcome.value;
    if (outcome.kind === 'unknown') return repeat(pool, work, options, outcome.error);
    if (!isConflict(outcome.error) || conflicts >= options.conflicts) throw outcome.error;
    await delay(Math.random() * CONFLICT_PAUSE * conflicts);
  }
}

async function repeat<T>(
  pool: pg.Pool,
  work: RepeatableWork<T>,
  { isFinal, limit }: UntilKnownOptions,
  lost: unknown,
): Promise<T> {
  const deadline = performance.now() + limit;
  let last = lost;
  while (performance.now() < deadline) {
    await delay(PAUSE);
    const outcome = await connectAndRun(pool, work);
    if (outcome.kind === 'done') return outcome.value;
    if (outcome.kind === 'failed' && isFinal(outcome.error)) throw outcome.error;
    // Any other error, such as a full disk, says that this try failed, but nothing about the one before it.
    last = outcome.error;
  }
  throw new OutcomeUnknown(last);
}

async function connectAndRun<T>(pool: pg.Pool, work: RepeatableWork<T>): Promise<Outcome<T>> {
  let client: pg.PoolClient;
  try {
    client = await pool.connect();
  } catch (error) {
    return { kind: 'unknown', error };
  }
  return runOn(client, work, true);
}

async function runOn<T>(client: pg.PoolClient, work: RepeatableWork<T>, repeated: boolean): Promise<Outcome<T>> {
  let wasAsked = false;
  const query = (...args: Parameters<typeof client.query>) => {
    wasAsked = true;
    return client.query(...args);
  };
  try {
    const value = await work({ query } as unknown as Queryable, repeated);
    client.release();
    return { kind: 'done', value };
  } catch (error) {
    const isRolledBack = isAnswer(error) && (await rollBack(client));
    client.release(!isRolledBack);
    return { kind: isRolledBack || !wasAsked ? 'failed' : 'unknown', error };
  }
}

/**
 * After an error the server rolls back and goes on with the session. An error that ends the session (FATAL, PANIC) may come
 * behind a commit; which it was, its words tell in the server's language only. Closing the connection rolls back too.
 *
 * @returns whether the session goes on
 */
async function rollBack(client: pg.PoolClient): Promise<boolean> {
  const { getTransactionStatus } = client as { getTransactionStatus?: () => string | null };
  const isInTransaction = getTransactionStatus?.call(client) === 'T';
  return client.query(isInTransaction ? 'rollback' : '').then(
    () => true,
    () => false,
  );
}
