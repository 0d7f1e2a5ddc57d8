import type { Queryable } from './pool.ts';
import { READ_ONLY } from './unreachable.ts';

const LOOK = "select current_setting('transaction_read_only')::boolean as read_only";

/** @throws the database's error where it does not serve, and one with its SQLSTATE where it takes nothing in */
export async function checkDatabase(db: Queryable): Promise<void> {
  const { rows } = await db.query<{ read_only: boolean }>(LOOK);
  if (rows[0]?.read_only) throw Object.assign(new Error('the database is read-only'), { code: READ_ONLY });
}
