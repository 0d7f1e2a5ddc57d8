import { setTimeout as delay } from 'node:timers/promises';
import type pg from 'pg';
import { isUnreachable } from './unreachable.ts';

/** Work on one connection. Called again, it has to find out whether an earlier call of its own was committed. */
export type RepeatableWork<T> = (client: pg.PoolClient, repeated: boolean) => Promise<T>;

export interface UntilKnownOptions {
  /** Whether the database refuses what it was given; trying again would change nothing. */
  readonly isFinal: (error: unknown) => boolean;
}

/** Milliseconds: a server that restarts or fails over is usually back by then, and clients wait for minutes. */
const LIMIT = 10_000;
const PAUSE = 250;

/**
 * Runs work whose outcome has to be known. A connection lost in the middle leaves open whether the server has
 * committed; then the work is done again on another one, for about ten seconds, until the server says which it is.
 *
 * Where no connection can be had in the first place, nothing was sent, so nothing is tried again.
 *
 * @throws the database's error; after the ten seconds the last one, and the outcome stays unknown
 */
export async function untilKnown<T>(
  pool: pg.Pool,
  work: RepeatableWork<T>,
  { isFinal }: UntilKnownOptions,
): Promise<T> {
  const client = await pool.connect();
  try {
    return await runOn(client, work, false);
  } catch (lost) {
    if (!isUnreachable(lost)) throw lost;
    return await repeat(pool, work, isFinal, lost);
  }
}

async function repeat<T>(
  pool: pg.Pool,
  work: RepeatableWork<T>,
  isFinal: (error: unknown) => boolean,
  lost: unknown,
): Promise<T> {
  const deadline = performance.now() + LIMIT;
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
