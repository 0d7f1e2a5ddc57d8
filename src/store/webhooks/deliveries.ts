import { eventNameOf } from '../event-types.ts';

/** SQL: an id as `newOrderedId` makes it, for the same reason. */
const NEW_ID = `(lpad(to_hex((extract(epoch from clock_timestamp()) * 1000)::bigint), 12, '0') ||
                 substr(gen_random_uuid()::text, 14))::uuid`;

/**
 * SQL: makes a delivery due at once for every active endpoint of the event's owner that asked for the event. It reads
 * the events from `new_events (id, type, user_id)`, which the statement around it has to name:
 *
 *     with new_events as (insert into email_events … returning id, type, user_id),
 *          due as (${INSERT_DUE_DELIVERIES})
 *     select …
 *
 * so that an event and its deliveries are one commit. It takes no parameters. Whoever has committed it wakes the
 * dispatcher (`Dispatcher.wake`).
 */
export const INSERT_DUE_DELIVERIES = insertDueDeliveries('true');

/**
 * The same for some endpoints only.
 *
 * @param condition SQL about `w`, the row of `webhooks`
 */
export function insertDueDeliveries(condition: string): string {
  // The lock is the one that the foreign key takes anyway. Taken here, an endpoint that is deleted at this very moment is
  // left out instead of failing the statement.
  return `
  insert into webhook_deliveries (id, webhook_id, event_id, attempt, status, next_retry_at, created_at)
  select ${NEW_ID}, w.id, e.id, 0, 'pending', now(), now()
    from new_events e
    join webhooks w on w.user_id = e.user_id and w.status = 'active' and w.event_types ?| array[${eventNameOf('e')}, '*']
   where ${condition}
     for key share of w`;
}
