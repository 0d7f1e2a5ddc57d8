import type { Queryable } from '../../postgres/pool.ts';

/** Times are compared by the database's clock, as the processes' may differ. */
const TAKE = `
  insert into smtp_relay_settings (key, value) values ('turn.' || $1, (now() + make_interval(secs => $2))::text)
  on conflict (key) do update set value = excluded.value, updated_at = now()
   where smtp_relay_settings.value::timestamptz <= now()
  returning key`;

const END = `
  update smtp_relay_settings set value = (now() + make_interval(secs => $2))::text, updated_at = now()
   where key = 'turn.' || $1`;

/**
 * Takes the turn at work that one process at a time does, for `ms` milliseconds. A row rather than an advisory lock, which
 * would have to outlive a transaction, and so does not go through a pooler in transaction mode.
 *
 * @returns false where it is not due yet, or another process has it
 */
export async function takeTurn(db: Queryable, work: string, ms: number): Promise<boolean> {
  return ((await db.query(TAKE, [work, ms / 1000])).rowCount ?? 0) > 0;
}

/** Ends the turn; the next one may begin after `ms` milliseconds. */
export async function endTurn(db: Queryable, work: string, ms: number): Promise<void> {
  await db.query(END, [work, ms / 1000]);
}
