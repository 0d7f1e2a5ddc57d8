import { Gauge } from 'prom-client';
import type { Logger } from '../observability/log.ts';
import type { Registry } from '../observability/metrics.ts';
import type { Queryable } from '../postgres/pool.ts';

/** Declarations that nobody compares with their documents. */
export interface Unreconciled {
  readonly count: number;
  /** When a process last did; null where that is not known. */
  readonly since: Date | null;
}

/** A lease that was never taken has the time that it was made with, which is the epoch. */
const FIND = `
  select d.count, nullif(l.until, 'epoch') as since
    from (select count(*)::integer as count from smtp_relay_declared) d
    left join smtp_relay_leases l on l.name = 'resources'
   where d.count > 0 and (l.until is null or l.until <= now() - make_interval(secs => $1))`;

/**
 * Finds declarations that are in force though no process has had the lease for some time.
 *
 * @param grace milliseconds for which a lease may be free, as while one process takes over from another
 * @returns null where there are none
 */
export async function findUnreconciled(db: Queryable, grace: number): Promise<Unreconciled | null> {
  return (await db.query<Unreconciled>(FIND, [grace / 1000])).rows[0] ?? null;
}

/** Told by every process, since those that would reconcile are those that may be missing. @returns sets how many there are */
export function createUnreconciledMetric(registry: Registry): (count: number) => void {
  const unreconciled = new Gauge({
    name: 'smtp_relay_resources_unreconciled',
    help: 'Declared objects that are in force though no process compares them with their documents',
    registers: [registry],
  });
  return count => unreconciled.set(count);
}

interface UnreconciledWatchOptions {
  readonly db: Queryable;
  /** Milliseconds for which the lease may be free without anything being wrong. */
  readonly grace: number;
  /** Whether nobody is to reconcile, since documents are applied by hand. */
  readonly isByHand: () => boolean;
  readonly tell: (count: number) => void;
  readonly logger: Logger;
  /** Milliseconds between two looks. */
  readonly interval?: number;
}

const INTERVAL = 30_000;

export const UNRECONCILED_REMEDY =
  'set resources.directory (in the chart: declared.enabled) where the pods run, or remove what is declared with ' +
  '`smtp-relay resources apply --allow-empty <an empty folder>`; set resources.byHand where documents are applied by hand only';

/**
 * Looks whether somebody looks after what was once declared. Where the documents are taken away together with their folder,
 * nobody would notice otherwise that a key which no document has any more logs in for ever.
 */
export class UnreconciledWatch {
  readonly #options: UnreconciledWatchOptions;
  #timer: NodeJS.Timeout | undefined;
  #isStopped = false;
  #isTold = false;

  constructor(options: UnreconciledWatchOptions) {
    this.#options = options;
    options.tell(0);
  }

  start(): void {
    if (this.#isStopped) return;
    this.#timer = setInterval(() => void this.#look(), this.#options.interval ?? INTERVAL).unref();
    void this.#look();
  }

  stop(): void {
    this.#isStopped = true;
    clearInterval(this.#timer);
  }

  /** null where all is well. */
  async find(): Promise<Unreconciled | null> {
    const { db, grace, isByHand } = this.#options;
    return isByHand() ? null : findUnreconciled(db, grace);
  }

  async #look(): Promise<void> {
    const { tell, logger } = this.#options;
    try {
      const found = await this.find();
      if (this.#isStopped) return;
      tell(found?.count ?? 0);
      if (found && !this.#isTold) {
        const text = `declared resources are in force, and nobody compares them with their documents: ${UNRECONCILED_REMEDY}`;
        logger.warn({ objects: found.count, since: found.since }, text);
      }
      if (!found && this.#isTold) logger.info('declared resources are reconciled again');
      this.#isTold = found !== null;
    } catch (error) {
      logger.debug({ err: error }, 'it cannot be read whether declared resources are reconciled');
    }
  }
}
