import type { Queryable } from '../../postgres/pool.ts';

/** Declared objects that nobody compares with their documents. */
export interface Unreconciled {
  readonly count: number;
  /** When somebody last did; null where that is not known. */
  readonly since: Date | null;
}

/** Who last had the lease, and until when, is in its row; that it was taken at all, in any other time than its first one. */
const FIND = `
  select d.count, nullif(l.until, 'epoch') as since
    from (select count(*)::integer as count from smtp_relay_declared) d
    left join smtp_relay_leases l on l.name = 'resources'
   where d.count > 0 and (l.until is null or l.until <= now() - make_interval(secs => $1))`;

/**
 * Finds declared objects that are in force though no process has had the lease for some time.
 *
 * @param grace milliseconds for which a lease may be free, as while one process takes over from another
 * @returns null where there are none
 */
export async function findUnreconciled(db: Queryable, grace: number): Promise<Unreconciled | null> {
  return (await db.query<Unreconciled>(FIND, [grace / 1000])).rows[0] ?? null;
}
