import type pg from 'pg';
import { Pauses, retry } from '../flow/retry.ts';
import type { Logger } from '../observability/log.ts';
import { isTemporary } from '../postgres/until-answered.ts';
import type { Claims } from '../store/delivery/claims.ts';
import type { Settler, Standstill } from '../store/delivery/settle.ts';
import type { PutOffs } from '../store/delivery/unclaimed.ts';
import { trySettlements } from '../store/delivery/write-settlements.ts';
import { tryInsertMessages } from '../store/messages/insert.ts';

export interface WriteReadinessDependencies {
  readonly pool: pg.Pool;
  readonly claims: Claims;
  readonly putOffs: Pick<PutOffs, 'try'>;
  readonly settler: Settler;
  readonly standstill: Standstill;
  /** Whether settlements may write messages, too. */
  readonly hasNotices: boolean;
  readonly logger: Logger;
}

/** Whether what a worker does can be written down. */
export interface WriteReadiness {
  /** For readiness; empty while it can. */
  readonly reasons: readonly string[];
  /**
   * Makes sure, before the first message is claimed, that the database takes what will have to be written; and writes what earlier
   * workers could not. Where the database refuses, it waits until it takes it, or until `stop`.
   */
  start(): Promise<void>;
  /** Resolves when the statements have been tried for the first time, whatever came of it. */
  readonly tried: Promise<void>;
  stop(): Promise<void>;
}

/** Milliseconds between two tries. */
const PAUSE = { first: 500, longest: 10_000 };

export function createWriteReadiness(dependencies: WriteReadinessDependencies): WriteReadiness {
  const { settler, standstill, logger } = dependencies;
  const stopped = new AbortController();
  const { signal } = stopped;
  const tried = Promise.withResolvers<void>();
  let running: Promise<void> = Promise.resolve();

  async function prove(): Promise<void> {
    using causes = new DisposableStack();
    const pauses = new Pauses(PAUSE);
    let isRefused = false;
    const pauseAfter = (error: unknown): number => {
      if (isTemporary(error)) logger.warn({ err: error }, 'the statements of the worker could not be tried yet');
      else if (!isRefused) causes.use(standstill.begin(error));
      isRefused ||= !isTemporary(error);
      tried.resolve();
      return pauses.next();
    };
    // It ends without an answer where the worker is stopped.
    await retry(() => tryStatements(dependencies), { signal, pauseAfter }).catch(() => {});
  }

  const onJournalFault = (error: unknown): void =>
    logger.error({ err: error }, 'what an earlier worker had left in its journal is not written yet');

  return {
    get reasons() {
      return standstill.reasons;
    },
    tried: tried.promise,
    start() {
      running = prove().then(async () => {
        // What stays in the journal is there for the next start.
        if (!signal.aborted) await settler.settleLeft(signal).catch(onJournalFault);
      });
      return running;
    },
    async stop() {
      stopped.abort();
      await running.catch(() => {});
    },
  };
}

/**
 * Runs each statement of a delivery with nothing to do. Postgres checks the privileges of every table in a statement before it
 * looks at a row, so that a missing grant shows.
 */
async function tryStatements({ pool, claims, putOffs, hasNotices }: WriteReadinessDependencies): Promise<void> {
  const client = await pool.connect();
  try {
    await client.query('begin');
    await claims.try(client);
    await putOffs.try(client);
    await trySettlements(client);
    if (hasNotices) await tryInsertMessages(client);
    await client.query('rollback');
    client.release();
  } catch (error) {
    // Closing the connection rolls back, whatever state it is in.
    client.release(true);
    throw error;
  }
}
