import { setTimeout as delay } from 'node:timers/promises';
import type pg from 'pg';
import { untilAborted } from '../platform/until-aborted.ts';
import { cancelOnAbort, type Watched } from './cancel-statement.ts';
import { isAnswer, isCancelled, isConflict, OutcomeUnknown } from './errors.ts';
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
  /** Cancels the first try. One after a loss is left alone: only it can tell whether the work is done. */
  readonly signal?: AbortSignal;
  /** Comes before each further try after a loss: whether there shall be one. Where it fails, so has the try. */
  readonly beforeRepeat?: () => Promise<boolean>;
}

/** Milliseconds between two tries. */
const PAUSE = 250;
/** Milliseconds at most after the first conflict, more after each further one: those who met should not meet again. */
const CONFLICT_PAUSE = 5;

/** A commit of next to nothing, as durable as that of a message. */
const WAIT_FOR_STANDBYS = `
  select case when current_setting('synchronous_commit') in ('off', 'local', 'remote_write')
              then set_config('synchronous_commit', 'on', true) end, pg_logical_emit_message(true, 'smtp-relay', '')`;

/** `failed`: nothing is stored. `unknown`: that is not known. */
type Outcome<T> =
  | { readonly kind: 'done'; readonly value: T }
  | { readonly kind: 'failed' | 'unknown'; readonly error: unknown };

/**
 * Runs work whose outcome has to be known. Where a statement was sent and the answer is not the database's own, it is open
 * whether the server has committed; then the work is done again on another connection, until the server says which it is.
 * What the server rolled back only because others were in the way is tried again at once.
 *
 * Where no connection can be had in the first place, nothing was sent, so nothing is tried again. What is cancelled in time
 * is rolled back; what is not is done.
 *
 * @throws the database's error or the signal's reason, and nothing is stored; OutcomeUnknown at the limit, and where no
 * further try shall be
 */
export async function untilKnown<T>(pool: pg.Pool, work: RepeatableWork<T>, options: UntilKnownOptions): Promise<T> {
  const { signal = NEVER } = options;
  for (let conflicts = 1; ; conflicts++) {
    const outcome = await runOn(await connect(pool, signal), work, false, signal);
    if (outcome.kind === 'done') return outcome.value;
    if (outcome.kind === 'unknown') return repeat(pool, work, options, outcome.error);
    signal.throwIfAborted();
    if (!isConflict(outcome.error) || conflicts >= options.conflicts) throw outcome.error;
    await delay(Math.random() * CONFLICT_PAUSE * conflicts);
  }
}

const NEVER = new AbortController().signal;

/** Waits for a connection no longer than the signal allows. */
async function connect(pool: pg.Pool, signal: AbortSignal): Promise<pg.PoolClient> {
  signal.throwIfAborted();
  const connecting = pool.connect();
  return untilAborted(signal, connecting).catch(error => {
    if (signal.aborted) connecting.then(giveBack, () => {});
    throw error;
  });
}

function giveBack(client: pg.PoolClient): void {
  client.release();
}

async function repeat<T>(
  pool: pg.Pool,
  work: RepeatableWork<T>,
  { isFinal, limit, beforeRepeat }: UntilKnownOptions,
  lost: unknown,
): Promise<T> {
  const deadline = performance.now() + limit;
  let last = lost;
  while (performance.now() < deadline) {
    await delay(PAUSE);
    const outcome = await connectAndRun(pool, work, beforeRepeat);
    if (outcome === null) break;
    if (outcome.kind === 'done') return outcome.value;
    if (outcome.kind === 'failed' && isFinal(outcome.error)) throw outcome.error;
    // Any other error, such as a full disk, says that this try failed, but nothing about the one before it.
    last = outcome.error;
  }
  throw new OutcomeUnknown(last);
}

/** @returns null where there is nobody to do it for any more */
async function connectAndRun<T>(
  pool: pg.Pool,
  work: RepeatableWork<T>,
  before: UntilKnownOptions['beforeRepeat'],
): Promise<Outcome<T> | null> {
  let client: pg.PoolClient;
  try {
    if ((await before?.()) === false) return null;
    client = await pool.connect();
  } catch (error) {
    return { kind: 'unknown', error };
  }
  return runOn(client, work, true, NEVER);
}

async function runOn<T>(
  client: pg.PoolClient,
  work: RepeatableWork<T>,
  repeated: boolean,
  signal: AbortSignal,
): Promise<Outcome<T>> {
  let wasAsked = false;
  const query = (...args: Parameters<typeof client.query>) => {
    signal.throwIfAborted();
    wasAsked = true;
    return client.query(...args);
  };
  const endWatch = cancelOnAbort(client, signal);
  try {
    const value = await work({ query } as unknown as Queryable, repeated);
    return await ended(client, value, await endWatch());
  } catch (error) {
    const { asked } = await endWatch();
    const isKnown = isAnswer(error) || (signal.aborted && error === signal.reason);
    const isRolledBack = isKnown && (await rollBack(client));
    client.release(!isRolledBack || asked);
    return { kind: isRolledBack || !wasAsked ? 'failed' : 'unknown', error };
  }
}

/**
 * Work that was done, whatever it was asked meanwhile. Asked to cancel a commit that waits for its standbys, the server makes
 * it without them, and warns: the next commit waits for both.
 */
async function ended<T>(client: pg.PoolClient, value: T, { asked, warned }: Watched): Promise<Outcome<T>> {
  try {
    if (warned) await client.query(WAIT_FOR_STANDBYS);
    // A request that came too late for its statement is not to meet the next one.
    client.release(asked);
    return { kind: 'done', value };
  } catch (error) {
    client.release(true);
    return { kind: 'unknown', error };
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
  // Open (T), or failed (E) where the server has said so by now.
  const isInTransaction = /[TE]/.test(getTransactionStatus?.call(client) ?? '');
  // A late request to cancel is an answer as well: the session goes on.
  return client.query(isInTransaction ? 'rollback' : '').then(() => true, isCancelled);
}
