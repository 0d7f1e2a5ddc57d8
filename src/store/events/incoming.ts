import type pg from 'pg';
import { inTransaction, type Queryable } from '../../postgres/pool.ts';
import type { NewEvent } from '../event-types.ts';
import { INSERT_DUE_DELIVERIES } from '../webhooks/deliveries.ts';
import { gravestStatus, tellsStatus, withoutAnswers } from './gravest-status.ts';

/** An event about one of our messages, told by its provider. */
export interface IncomingEvent extends NewEvent {
  readonly emailId: string;
  readonly sourceId: string;
  readonly suppression: IncomingSuppression | null;
  /** The call to the provider that it is about, which thereby is known to have been made. */
  readonly call: ProviderCall;
}

export interface IncomingSuppression {
  /** In the form in which suppressions are compared. */
  readonly email: string;
  readonly reason: 'bounced' | 'complained';
  readonly metadata: object;
}

export interface ProviderCall {
  readonly transport: string;
  /** null where nobody says. */
  readonly providerMessageId: string | null;
  readonly recipients: readonly string[];
}

/** What recording came to. */
export interface Recorded {
  /** The ids of the events that are new; the others were known. */
  readonly newEvents: ReadonlySet<string>;
  readonly deliveriesDue: boolean;
  /** Messages whose unknown outcome is known now, and which the worker may go on with. */
  readonly settled: readonly string[];
}

/**
 * The worker does the same before it settles a message. So whoever comes second sees what the first one wrote: events that
 * came while the message was being sent, or the status that it has got by then.
 */
const HOLD_ROWS = `
  select id from emails where id = any($1::uuid[]) order by id for no key update`;

const INCOMING = `
  incoming as materialized (
    select i.* from jsonb_to_recordset($1::jsonb) as i (
           id uuid, "emailId" uuid, "sourceId" text, type text, payload jsonb, "userId" text, suppression jsonb)
      join emails e on e.id = i."emailId"
  )`;

/** $1: the events, JSON. A stronger reason replaces a weaker one; what a person decided stays. */
const RECORD = `
  with ${INCOMING}, new_events as (
    insert into email_events (id, email_id, source_id, type, payload, user_id)
    select id, "emailId", "sourceId", type, payload, "userId" from incoming
    on conflict do nothing
    returning id, type, user_id
  ), due as (${INSERT_DUE_DELIVERIES} returning webhook_id
  ), unwanted as (
    select distinct on (i."userId", s.email) i.*, s.email, s.reason, s.metadata
      from new_events n join incoming i using (id),
           jsonb_to_record(i.suppression) as s (email text, reason text, metadata jsonb)
     where i."userId" is not null and s.email is not null
     order by i."userId", s.email, s.reason desc
  ), suppressed as (
    insert into email_suppressions as known
           (user_id, email, reason, source_event_id, source_email_id, source_message_id, metadata)
    select "userId", email, reason, id::text, "emailId", payload -> 'provider' ->> 'message_id', metadata from unwanted
    on conflict (user_id, email) do update
       set reason = excluded.reason, source_event_id = excluded.source_event_id,
           source_email_id = excluded.source_email_id, source_message_id = excluded.source_message_id,
           metadata = excluded.metadata, updated_at = now()
     where known.reason = 'bounced' and excluded.reason = 'complained'
  )
  select id, (select count(*) > 0 from due) as "deliveriesDue" from new_events`;

/** Only the worker moves a message that is not done yet; it looks at the events when it does. $1: ids. */
const RAISE = `
  update emails set status = known.status
    from (select e.id, ${gravestStatus('e.id', withoutAnswers('e.id', 'e.status'))} as status from emails e
           where e.id = any($1::uuid[]) and e.status in ('sent', 'delivered', 'failed', 'bounced', 'complained')) known
   where emails.id = known.id and emails.status <> known.status`;

const DONE = `('sent', 'permanent', 'suppressed')`;

/**
 * Recipients of whom nobody knew whether they were sent to, and whom the provider now tells of. That is also so while the
 * call is under way: its answer may be lost yet, with its worker. $1: the calls, JSON.
 */
const SETTLE_UNKNOWN = `
  with calls as (
    select email_id, provider_message_id, transport, outcome, lower(recipient) as recipient
      from jsonb_to_recordset($1::jsonb) as c (
           email_id uuid, provider_message_id text, transport text, outcome text, recipients jsonb),
           jsonb_array_elements_text(c.recipients) as recipient
  ), unknown as (
    select a.email_id, a.try, a.started_at, recipient
      from smtp_relay_attempts a, jsonb_array_elements_text(a.recipients) as recipient
     where a.email_id = any($2::uuid[]) and a.outcome = 'unknown'
    union all
    select c.email_id, c.try, c.claimed_at, recipient
      from smtp_relay_claims c, jsonb_array_elements_text(c.in_flight) as recipient
     where c.email_id = any($2::uuid[]) and c.state = 'sending' and c.in_flight is not null
  ), known as (
    select distinct on (u.email_id, u.recipient) u.*, c.provider_message_id, c.transport, c.outcome
      from unknown u join calls c on c.email_id = u.email_id and c.recipient = lower(u.recipient)
     where not exists (select from smtp_relay_attempts d
                        where d.email_id = u.email_id and d.outcome in ${DONE} and d.recipients ? u.recipient)
     order by u.email_id, u.recipient, u.try desc, c.outcome
  )
  insert into smtp_relay_attempts
         (email_id, try, transport, recipients, outcome, code, message, provider_message_id, started_at)
  select email_id, max(try), transport, jsonb_agg(recipient), outcome,
         case outcome when 'permanent' then 'Rejected' end, 'told by an event of the provider', provider_message_id,
         max(started_at)
    from known group by email_id, transport, outcome, provider_message_id
  returning email_id as "emailId"`;

/**
 * $1: ids. Holds end where nothing is unknown any more; the worker then goes on with who is left. What is held for another
 * reason stays so.
 */
const RELEASE_HELD = `
  with unknown as materialized (
    select u.email_id, recipient, exists (
             select from smtp_relay_attempts d
              where d.email_id = u.email_id and d.recipients ? recipient
                and (d.outcome in ${DONE} or d.id > u.id and d.outcome <> 'unknown')) as answered
      from smtp_relay_attempts u, jsonb_array_elements_text(u.recipients) as recipient
     where u.email_id = any($1::uuid[]) and u.outcome = 'unknown'
  )
  update smtp_relay_claims c set state = 'claimed', until = now()
    from (select email_id from unknown group by 1 having bool_and(answered)) known
   where c.email_id = known.email_id and c.state = 'held'`;

/** $1: ids. An entry that somebody is just taking needs no push. */
const RETRY_NOW = `
  with retried as (
    update smtp_relay_outbox set due_at = now(), leased_until = null
     where id in (select id from smtp_relay_outbox
                   where email_id = any($1::uuid[]) and due_at > now() for update skip locked)
    returning email_id
  )
  update emails set provider_next_retry_at = now()
   where id in (select email_id from retried) and status = 'queued' and provider_next_retry_at > now()`;

/**
 * Writes what a provider tells of our messages, by one commit: the events that are new, due webhook deliveries,
 * suppressions, the status of messages that are done, and outcomes that were unknown. Told twice, or in another order, it
 * comes to the same.
 */
export async function recordIncoming(pool: pg.Pool, events: readonly IncomingEvent[]): Promise<Recorded> {
  if (events.length === 0) return { newEvents: new Set(), deliveriesDue: false, settled: [] };
  return inTransaction(pool, db => recordIncomingOn(db, events));
}

/**
 * Lets the worker go on with those of the messages that are held though nothing is unknown of them any more: what was told
 * came before they were held, or after.
 */
export async function releaseHeld(db: Queryable, emailIds: readonly string[]): Promise<void> {
  await db.query(RELEASE_HELD, [emailIds]);
}

/** Lets the status of messages that are done follow their events. */
export async function raiseStatus(db: Queryable, emailIds: readonly string[]): Promise<void> {
  await db.query(RAISE, [emailIds]);
}

/** Lets the next try of messages that wait for one come at once. */
export async function retryNow(db: Queryable, emailIds: readonly string[]): Promise<void> {
  await db.query(RETRY_NOW, [emailIds]);
}

/** The same, in the transaction of whoever calls it. */
export async function recordIncomingOn(client: Queryable, events: readonly IncomingEvent[]): Promise<Recorded> {
  const emailIds = [...new Set(events.map(({ emailId }) => emailId))];
  await client.query(HOLD_ROWS, [emailIds]);
  // Events of one message follow its lock, so that two writers never wait for each other's events crosswise.
  const { rows } = await client.query<{ id: string; deliveriesDue: boolean }>(RECORD, [JSON.stringify(events)]);
  const telling = [...new Set(events.filter(({ type }) => tellsStatus(type)).map(({ emailId }) => emailId))];
  if (telling.length > 0) await raiseStatus(client, telling);
  const calls = JSON.stringify(events.map(callOf));
  const known = await client.query<{ emailId: string }>(SETTLE_UNKNOWN, [calls, emailIds]);
  const settled = [...new Set(known.rows.map(({ emailId }) => emailId))];
  await releaseHeld(client, emailIds);
  if (settled.length > 0) await retryNow(client, settled);
  return {
    newEvents: new Set(rows.map(({ id }) => id)),
    deliveriesDue: rows[0]?.deliveriesDue ?? false,
    settled,
  };
}

/** Whatever happened to a message, the provider had it; where it then refused to send it, it never will. */
function callOf({ emailId, type, call }: IncomingEvent) {
  return {
    email_id: emailId,
    provider_message_id: call.providerMessageId,
    transport: call.transport,
    outcome: type === 'failed' ? 'permanent' : 'sent',
    recipients: call.recipients,
  };
}
