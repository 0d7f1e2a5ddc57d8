import { setTimeout as delay } from 'node:timers/promises';
import type pg from 'pg';
import { isReadOnly, isUnreachable } from './unreachable.ts';

/** Work on one connection. Called again, it has to find out whether an earlier call of its own was committed. */
export type RepeatableWork<T> = (client: pg.PoolClient, repeated: boolean) => Promise<T>;

export interface UntilKnownOptions {
  /** Whether the database refuses what it was given; trying again would change nothing. */
  readonly isFinal: (error: unknown) => boolean;
  /** Milliseconds after the loss in which another try may begin. */
  readonly limit: number;
}

/** Milliseconds between two tries. */
const PAUSE = 250;

/**
 * Runs work whose outcome has to be known. A connection lost in the middle leaves open whether the server has
 * committed; then the work is done again on another one, until the server says which it is.
 *
 * Where no connection can be had in the first place, nothing was sent, so nothing is tried again.
 *
 * @throws the database's error; at the limit the last one, and the outcome stays unknown
 */
export async function untilKnown<T>(pool: pg.Pool, work: RepeatableWork<T>, options: UntilKnownOptions): Promise<T> {
  const client = await pool.connect();
  try {
    return await runOn(client, work, false);
  } catch (lost) {
    // What a read-only server refuses is not stored, and a failover may take minutes.
    if (!isUnreachable(lost) || isReadOnly(lost)) throw lost;
    return await repeat(pool, work, options, lost);
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
    try {
      return await runOn(await pool.connect(), work, true);
    } catch (error) {
      if (isFinal(error)) throw error;
      // Any other error, such as a full disk, says that this try failed, but nothing about the one before it.
      last = error;
    }
  }
  throw last;
}

/** Closing the connection after an error rolls back, whatever state it is in. */
async function runOn<T>(client: pg.PoolClient, work: RepeatableWork<T>, repeated: boolean): Promise<T> {
  try {
    const result = await work(client, repeated);
    client.release();
    return result;
  } catch (error) {
    client.release(true);
    throw error;
  }
}
