import type { Queryable } from './pool.ts';

const NAME = 'resources';

/** Times are the database's, as the processes' clocks may differ. A process that finds the row locked does not wait for it. */
const TAKE = `
  with free as (
    select name, holder from smtp_relay_leases
     where name = '${NAME}' and (holder = $1 or until <= now()) for update skip locked
  )
  update smtp_relay_leases l
     set holder = $1, until = now() + make_interval(secs => $2),
         taken_at = case when free.holder = $1 then l.taken_at else now() end
    from free where l.name = free.name
  returning l.name`;

const GIVE_BACK = `
  update smtp_relay_leases set until = now() where name = '${NAME}' and holder = $1 and until > now()`;

const LOCK = `
  select from smtp_relay_leases where name = '${NAME}' and holder = $1 and until > now() for update`;

const HOLDER = `
  select holder from smtp_relay_leases where name = '${NAME}' and until > now()`;

/**
 * Takes or renews the lease without which nothing is written for declared documents.
 *
 * @param ms how long it lasts
 * @returns false where another process has it
 */
export async function takeLease(db: Queryable, holder: string, ms: number): Promise<boolean> {
  return (await db.query(TAKE, [holder, ms / 1000])).rowCount === 1;
}

export async function giveLeaseBack(db: Queryable, holder: string): Promise<void> {
  await db.query(GIVE_BACK, [holder]);
}

/**
 * Inside a transaction: makes sure of the lease until the transaction ends, since nobody can take it meanwhile.
 *
 * @returns false where it is lost
 */
export async function lockLease(client: Queryable, holder: string): Promise<boolean> {
  return (await client.query(LOCK, [holder])).rowCount === 1;
}

/** The process that has the lease; null where none has. */
export async function leaseHolder(db: Queryable): Promise<string | null> {
  return (await db.query<{ holder: string }>(HOLDER)).rows[0]?.holder ?? null;
}

const TAKE_TURN = `
  insert into smtp_relay_settings (key, value) values ('turn.' || $1, (now() + make_interval(secs => $2))::text)
  on conflict (key) do update set value = excluded.value, updated_at = now()
   where smtp_relay_settings.value::timestamptz <= now()
  returning key`;

const END_TURN = `
  update smtp_relay_settings set value = (now() + make_interval(secs => $2))::text, updated_at = now()
   where key = 'turn.' || $1`;

/**
 * Takes the turn at work that one process at a time does, for `ms` milliseconds: a lease that whoever has it does not renew, and behind
 * which there is a pause. A row rather than an advisory lock, which would have to outlive a transaction, and so does not go through a
 * pooler in transaction mode. It is no row of `smtp_relay_leases`, which a worker without declared documents need not be able to write.
 *
 * @returns false where it is not due yet, or another process has it
 */
export async function takeTurn(db: Queryable, work: string, ms: number): Promise<boolean> {
  return ((await db.query(TAKE_TURN, [work, ms / 1000])).rowCount ?? 0) > 0;
}

/** Ends the turn; the next one may begin after `ms` milliseconds. */
export async function endTurn(db: Queryable, work: string, ms: number): Promise<void> {
  await db.query(END_TURN, [work, ms / 1000]);
}
