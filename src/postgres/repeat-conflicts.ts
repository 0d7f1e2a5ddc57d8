import { setTimeout as delay } from 'node:timers/promises';
import type pg from 'pg';
import { isConflict } from './answers.ts';

type Query = (...args: unknown[]) => unknown;

const MOST_TRIES = 5;
/** Milliseconds at most after the first try, more after each further one. */
const PAUSE = 5;

/**
 * Has a pool repeat single statements that the server rolled back only because others were in the way (`isConflict`), as it
 * may where an installation's default is a stricter isolation. A statement of a transaction is not repeated by itself.
 */
export function repeatConflicts(pool: pg.Pool): void {
  const query = pool.query.bind(pool) as Query;
  const patient = async (...args: unknown[]): Promise<unknown> => {
    for (let tries = 1; ; tries++) {
      try {
        return await query(...args);
      } catch (error) {
        if (tries === MOST_TRIES || !isConflict(error)) throw error;
      }
      await delay(Math.random() * PAUSE * tries);
    }
  };
  // One with a callback, or that is an object of its own such as a cursor, is its caller's to repeat.
  const isPlain = (args: readonly unknown[]): boolean =>
    args.every(arg => typeof arg === 'string' || Array.isArray(arg));
  pool.query = ((...args: unknown[]) => (isPlain(args) ? patient(...args) : query(...args))) as typeof pool.query;
}
