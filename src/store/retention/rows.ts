import type { Queryable } from '../../postgres/pool.ts';
import { OPEN, RAW_BYTES, type Sweep, sweepByTime, TOLD } from './sweep.ts';

/**
 * Whole messages, with everything that is known of them. One that is not done, that a worker or a queue has, whose row somebody
 * holds, or of which an endpoint is still to hear, stays. All goes by our own hand, in the order in which it refers to each other: only
 * where this program made the tables does it go by itself. $1 age in seconds, $2 and $3 the row to go on behind, $4 rows.
 */
const MESSAGES = `
  with candidate as (
    select id, created_at, coalesce((select size_bytes from smtp_relay_messages where email_id = emails.id), 0) as size_bytes
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
  ), event as materialized (
    select id from email_events where email_id = any (array(select id from free))
  ), without_deliveries as (
    delete from webhook_deliveries where event_id = any (array(select id from event))
  ), without_events as (
    delete from email_events where id = any (array(select id from event))
  ), without_attempts as (
    delete from smtp_relay_attempts where email_id = any (array(select id from free))
  ), without_originals as (
    delete from smtp_relay_messages where email_id = any (array(select id from free))
  ), without_names as (
    delete from smtp_relay_message_ids where email_id = any (array(select id from free))
  ), removed as (
    delete from emails where id = any (array(select id from free)) returning 1
  )
  select (select count(*)::integer from removed) as removed, created_at::text as at, id
    from batch order by created_at desc, id desc limit 1`;

/** Deletes messages, and with them their events, attempts, deliveries and what was received. */
export function sweepMessages(db: Queryable, seconds: number): Sweep {
  return sweepByTime(db, MESSAGES, seconds);
}
