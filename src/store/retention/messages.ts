import type { Queryable } from '../../postgres/pool.ts';
import { unnameObjects } from '../messages/objects.ts';
import { removeBelongings } from '../messages/removal.ts';
import { BEGINNING, isOpen, OPEN, RAW_BYTES, type Sweep, sweepByTime, TOLD } from './sweep.ts';

/** A message is found by its Message-ID as long as its row is kept. $1 age in seconds, $2 and $3 the row to go on behind, $4 rows. */
const RAW = `
  with candidate as (
    select email_id, created_at, case when object_url is null then size_bytes else 0 end as size_bytes from smtp_relay_messages
     where created_at < now() - make_interval(secs => $1) and (created_at, email_id) > ($2::timestamptz, $3::uuid)
     order by created_at, email_id limit $4
  ), batch as materialized (
    select email_id, created_at
      from (select *, sum(size_bytes) over (order by created_at, email_id) - size_bytes as before from candidate) c
     where before < ${RAW_BYTES}
  ), removed as (
    delete from smtp_relay_messages
     where email_id = any (array(select email_id from batch where not ${isOpen('batch.email_id')}))
    returning email_id, message_id, created_at, object_url
  ), ${unnameObjects('removed')}, named as (
    insert into smtp_relay_message_ids (email_id, message_id, created_at)
    select email_id, message_id, created_at from removed
     where message_id is not null and exists (select from emails where id = removed.email_id offset 0)
    on conflict do nothing
  )
  select (select count(*)::integer from removed) as removed, created_at::text as at, email_id as id
    from batch order by created_at desc, email_id desc limit 1`;

/**
 * The same of `emails`. The rows stay, so a sweep begins where the last one ended; `pending` is the oldest one that it has
 * to come back to, because the message was not done or somebody held its row just then.
 */
const BODIES = `
  with batch as materialized (
    select id, created_at, (html is not null or text is not null or attachments is not null) as full from emails
     where created_at < now() - make_interval(secs => $1) and (created_at, id) > ($2::timestamptz, $3::uuid)
     order by created_at, id limit $4
  ), free as materialized (
    select id from emails
     where id = any (array(select id from batch where batch.full)) and status not in ${OPEN}
       for no key update skip locked
  ), removed as (
    update emails set html = null, text = null, attachments = null where id = any (array(select id from free)) returning id
  )
  select (select count(*)::integer from removed) as removed, created_at::text as at, id,
         (select min(created_at)::text from batch where batch.full and batch.id not in (select id from removed)) as pending,
         (select count(*)::integer from batch) as examined
    from batch order by created_at desc, id desc limit 1`;

const READ_MARK = 'select value from smtp_relay_settings where key = $1';

const WRITE_MARK = `
  insert into smtp_relay_settings (key, value) values ($1, $2)
  on conflict (key) do update set value = excluded.value, updated_at = now()`;

const BODIES_MARK = 'retention.bodies';

/** Deletes the messages as they were received. */
export function sweepRaw(db: Queryable, seconds: number): Sweep {
  return sweepByTime(db, RAW, seconds);
}

/** Empties the bodies of messages; the rest of their rows stays. */
export async function sweepBodies(db: Queryable, seconds: number): Promise<Sweep> {
  const { rows } = await db.query<{ value: string }>(READ_MARK, [BODIES_MARK]);
  let mark = rows[0]?.value ?? BEGINNING.at;
  let pending: string | null = null;
  const sweep = sweepByTime(db, BODIES, seconds, {
    from: mark,
    onStep: step => {
      pending ??= step.pending ?? null;
      mark = pending ?? step.at;
    },
  });
  return {
    next: limit => sweep.next(limit),
    close: async () => void (await db.query(WRITE_MARK, [BODIES_MARK, mark])),
  };
}

/**
 * Whole messages, with everything that is known of them. One that is not done, that a worker or a queue has, whose row somebody
 * holds, or of which an endpoint is still to hear, stays. $1 age in seconds, $2 and $3 the row to go on behind, $4 rows.
 */
const MESSAGES = `
  with candidate as (
    select id, created_at, coalesce((
           select size_bytes from smtp_relay_messages where email_id = emails.id and object_url is null), 0) as size_bytes
      from emails
     where created_at < now() - make_interval(secs => $1) and (created_at, id) > ($2::timestamptz, $3::uuid)
     order by created_at, id limit $4
  ), batch as materialized (
    select id, created_at
      from (select *, sum(size_bytes) over (order by created_at, id) - size_bytes as before from candidate) c
     where before < ${RAW_BYTES}
  ), free as materialized (
    select id from emails
     where id = any (array(select id from batch)) and status not in ${OPEN}
       and not exists (select from smtp_relay_claims where email_id = emails.id offset 0)
       and not exists (select from smtp_relay_outbox where email_id = emails.id offset 0)
       and not exists (select from email_events v join webhook_deliveries d on d.event_id = v.id
                        where v.email_id = emails.id and d.status not in ${TOLD} offset 0)
       for update skip locked
  ), ${removeBelongings('free')}, removed as (
    delete from emails where id = any (array(select id from free)) returning 1
  )
  select (select count(*)::integer from removed) as removed, created_at::text as at, id
    from batch order by created_at desc, id desc limit 1`;

/** Deletes messages, and with them their events, attempts, deliveries and what was received. */
export function sweepMessages(db: Queryable, seconds: number): Sweep {
  return sweepByTime(db, MESSAGES, seconds);
}

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
