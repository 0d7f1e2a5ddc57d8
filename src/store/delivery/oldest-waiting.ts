import type { Queryable } from '../../postgres/pool.ts';

/**
 * SQL: seconds since the acceptance of the message that waits longest, wherever it is: in the outbox, in the queue, in a worker's hands, or
 * put back again and again. Those that wait for a person are left out. 0 where none waits. It reads the beginning of an index.
 */
export const OLDEST_WAITING = `
  coalesce((select extract(epoch from now() - e.created_at)::float8
              from emails e
             where e.status in ('queued', 'processing')
               and not exists (select from smtp_relay_claims c where c.email_id = e.id and c.state = 'held')
             order by e.created_at limit 1), 0)`;

/** Seconds since the acceptance of the message that waits longest to be sent, in the whole installation; 0 where none does. */
export async function readOldestWaiting(db: Queryable): Promise<number> {
  const { rows } = await db.query<{ seconds: number }>(`select ${OLDEST_WAITING} as seconds`);
  return rows[0]?.seconds ?? 0;
}
