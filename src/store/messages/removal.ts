import { unnameObjects } from './objects.ts';

/**
 * SQL for parts of a statement: takes away what is known of messages beside their rows of `emails`, in the order in which it refers to
 * each other. All goes by our own hand: only where this program made the tables does it go by itself.
 *
 * @param rows a part before these that has the messages' `id`
 */
export function removeBelongings(rows: string): string {
  const those = `any (array(select id from ${rows}))`;
  return `event as materialized (
    select id from email_events where email_id = ${those}
  ), without_deliveries as (
    delete from webhook_deliveries where event_id = any (array(select id from event))
  ), without_events as (
    delete from email_events where id = any (array(select id from event))
  ), without_attempts as (
    delete from smtp_relay_attempts where email_id = ${those}
  ), without_arrivals as (
    delete from smtp_relay_arrivals where email_id = ${those}
  ), without_originals as (
    delete from smtp_relay_messages where email_id = ${those} returning object_url
  ), ${unnameObjects('without_originals')}, without_names as (
    delete from smtp_relay_message_ids where email_id = ${those}
  )`;
}
