import { setTimeout as delay } from 'node:timers/promises';
import type pg from 'pg';
import type { Logger } from '../../observability/log.ts';

export interface LockOptions {
  /** Milliseconds to wait for others, all in all; 120,000 unless given. */
  readonly lockTimeout?: number | undefined;
  readonly logger?: Logger | undefined;
}

/** An arbitrary number that is ours: "smtp" in ASCII. */
const LOCK_ID = 0x736d7470;
/** Of who builds indexes: another one, since who waits for the first within a statement is waited for by a build. */
const BUILD_LOCK_ID = LOCK_ID + 1;

const LOCK_TIMEOUT = 120_000;
/** Milliseconds for which a migration waits for a lock: mail that comes meanwhile waits behind it. */
const SHORT_LOCK = 2_000;
/** Milliseconds between two tries, which mail has for itself. */
const PAUSE = 1_000;
/** PostgreSQL: a lock was not to be had in time, or two were in each other's way. */
const IN_THE_WAY = new Set(['55P03', '40P01']);

/**
 * Lock and work share one transaction and one connection: it is all or nothing, works through PgBouncer in
 * transaction mode (a session lock would stay behind on a pooled connection), and those who wait cannot take the
 * last connection away from the one they wait for. Where others are in the way, all of it is done again behind a pause, until the
 * time is up.
 */
export async function inLock<T>(client: pg.Client, options: LockOptions, work: () => Promise<T>): Promise<T> {
  const deadline = performance.now() + (options.lockTimeout ?? LOCK_TIMEOUT);
  for (;;) {
    const left = Math.max(1, Math.ceil(deadline - performance.now()));
    try {
      return await tryInLock(client, left, work);
    } catch (error) {
      const mayTryAgain = IN_THE_WAY.has((error as { code?: string }).code ?? '');
      if (!mayTryAgain || performance.now() + PAUSE >= deadline) throw error;
      options.logger?.info({ err: error }, 'a migration waits for others, and is tried again');
      await delay(PAUSE);
    }
  }
}

/** @param left milliseconds for the lock of all migrations, and for others at most */
async function tryInLock<T>(client: pg.Client, left: number, work: () => Promise<T>): Promise<T> {
  const limit = "select set_config('lock_timeout', $1, true)";
  await client.query('begin');
  try {
    await client.query(limit, [String(left)]);
    await client.query('select pg_advisory_xact_lock($1)', [LOCK_ID]);
    await client.query(limit, [String(Math.min(left, SHORT_LOCK))]);
    const result = await work();
    // The library of migrations has committed if it had something to do; then this one changes nothing.
    await client.query('commit');
    return result;
  } catch (error) {
    await client.query('rollback').catch(() => undefined);
    throw error;
  }
}

/**
 * Returns when nobody else builds indexes, and until the connection ends nobody does. Asked for without waiting: a statement that waits
 * has a snapshot, and so has a transaction that reads repeatably; a build waits until there is none of before.
 *
 * @param guard a connection for nothing else
 */
export async function lockBuilds(guard: pg.Client): Promise<void> {
  // With a parameter, the driver would leave a portal open, and that has a snapshot.
  const sql = `select pg_try_advisory_xact_lock(${BUILD_LOCK_ID}) as locked`;
  for (;;) {
    await guard.query('begin isolation level read committed');
    await guard.query('set local idle_in_transaction_session_timeout = 0');
    const { rows } = await guard.query<{ locked: boolean }>(sql);
    if (rows[0]?.locked === true) return;
    await guard.query('rollback');
    await delay(PAUSE * (0.5 + Math.random()));
  }
}
