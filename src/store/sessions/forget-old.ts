import type { Queryable } from '../../postgres/pool.ts';

export interface Forgotten {
  readonly table: string;
  /** The column that says since when a row is kept; it has an index. */
  readonly since: string;
  /** So many rows are kept, the newest. */
  readonly most: number;
}

const DELETED_AT_ONCE = 5_000;

/**
 * Makes what forgets rows that have been kept for their time, and the oldest of very many. Relays that do so at once leave each other's rows
 * alone. Its period is in milliseconds.
 */
export function forgetsOld({ table, since, most }: Forgotten): (db: Queryable, period: number) => Promise<void> {
  const statement = `
    delete from ${table}
     where ctid = any (array(
       select ctid from ${table}
        where ${since} < greatest(now() - make_interval(secs => $1),
                                  (select ${since} from ${table} order by ${since} desc offset ${most} limit 1))
        limit ${DELETED_AT_ONCE} for update skip locked))`;
  return async (db, period) => {
    for (;;) {
      const { rowCount } = await db.query(statement, [period / 1000]);
      if ((rowCount ?? 0) < DELETED_AT_ONCE) return;
    }
  };
}
