import type { Queryable } from '../../postgres/pool.ts';

/** By then whoever asks for a message by its Message-ID has asked. */
const KEPT = '30 days';

const DELETED_AT_ONCE = 10_000;

/** Relays that do so at once leave each other's rows alone. */
const DELETE_OLD = `
  delete from smtp_relay_message_ids
   where ctid = any (array(
     select ctid from smtp_relay_message_ids where created_at < now() - interval '${KEPT}'
      limit ${DELETED_AT_ONCE} for update skip locked))`;

/** Forgets by which Message-ID clients know messages of long ago, in steps that do not hold others up. @returns how many */
export async function deleteOldMessageIds(db: Queryable): Promise<number> {
  let total = 0;
  for (;;) {
    const deleted = (await db.query(DELETE_OLD)).rowCount ?? 0;
    total += deleted;
    if (deleted < DELETED_AT_ONCE) return total;
  }
}
