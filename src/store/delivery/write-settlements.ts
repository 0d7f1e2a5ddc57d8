import { kept, type Queryable } from '../../postgres/pool.ts';
import { gravestOf, gravestStatus } from '../events/gravest-status.ts';
import { releaseHeld } from '../events/incoming.ts';
import { insertMessages } from '../messages/insert.ts';
import { INSERT_DUE_DELIVERIES } from '../webhooks/deliveries.ts';
import type { Settled } from './claim.ts';
import { type Facts, insertAttempts, recordFacts, rowOf, storableJson, tryFacts } from './facts.ts';

/**
 * Events come in at any time, and each looks whether the row is done. Holding the rows first, this statement's successor
 * sees the events of whoever came before, and whoever comes after sees the new status.
 */
const HOLD_ROWS = `
  select id from emails where id = any($1::uuid[]) order by id for no key update`;

/** $1: the settlements, JSON. Writes nothing for a claim whose token is another by now. */
const SETTLE = `
  with input as materialized (
    select * from jsonb_to_recordset($1::jsonb) as s (
      email_id uuid, token uuid, try integer, worker text, user_id text, standing text, status text, code text, message text,
      exhausted boolean, went_out boolean, retry_seconds double precision, stands_still boolean, correlation_id text, traceparent text, attempts jsonb, events jsonb)
  ), owned as materialized (
    select i.* from input i join smtp_relay_claims c on c.email_id = i.email_id and c.token = i.token
     order by i.email_id for update of c
  ), released as (
    delete from smtp_relay_claims c using owned o
     where c.email_id = o.email_id and o.standing not in ('held', 'underway')
  ), kept as (
    update smtp_relay_claims c
       set state = case o.standing when 'held' then 'held' else 'claimed' end, in_flight = null,
           until = case o.standing when 'held' then 'infinity' else c.until end
      from owned o where c.email_id = o.email_id and o.standing in ('held', 'underway')
  ), tried as (${insertAttempts('owned')}
  ), standing as (
    update emails e
       set status = case when o.standing in ('sent', 'failed', 'suppressed') then ${gravestStatus('o.email_id', 'o.status')}
                         when o.standing in ('retry', 'later') then 'queued' else e.status end,
           sent_at = case when o.went_out then coalesce(e.sent_at, now()) else e.sent_at end,
           provider_last_attempted_at = now(),
           provider_retry_count = case o.standing when 'retry' then o.try + 1 else e.provider_retry_count end,
           provider_next_retry_at = case when o.standing in ('retry', 'later') then now() + make_interval(secs => o.retry_seconds) end,
           provider_last_error_code = coalesce(left(o.code, 255), e.provider_last_error_code),
           provider_last_error_message = coalesce(left(o.message, 1000), e.provider_last_error_message),
           provider_dead_lettered_at = case when o.exhausted then now() else e.provider_dead_lettered_at end
      from owned o where e.id = o.email_id
  ), again as (
    insert into smtp_relay_outbox (email_id, user_id, try, due_at, correlation_id, traceparent)
    select o.email_id, o.user_id, o.try + 1 + coalesce(m.put_off, 0), now() + make_interval(secs => o.retry_seconds),
           o.correlation_id, o.traceparent
      from owned o left join smtp_relay_messages m on m.email_id = o.email_id where o.standing in ('retry', 'later')
    on conflict (email_id, try) do update set due_at = excluded.due_at, leased_until = null
  ), numbered as (
    update smtp_relay_messages m
       set put_off = m.put_off + case o.standing when 'later' then 1 else 0 end,
           stood_still = m.stood_still + case when o.stands_still then o.retry_seconds else 0 end
      from owned o where m.email_id = o.email_id and (o.standing = 'later' or o.stands_still)
  ), new_events as (
    insert into email_events (id, email_id, source_id, type, payload, user_id, received_at)
    select e.id, e."emailId", e."sourceId", e.type, e.payload, e."userId", clock_timestamp()
      from owned o, jsonb_to_recordset(o.events) as e (
           id uuid, "emailId" uuid, "sourceId" text, type text, payload jsonb, "userId" text, "dueAt" timestamptz)
     where e."dueAt" is null
    on conflict do nothing
    returning id, type, user_id
  ), due as (${INSERT_DUE_DELIVERIES} returning webhook_id)
  select email_id as "emailId", (select count(*)::integer from due) as deliveries from owned`;

/** $1: events, JSON. */
const KEEP_FOR_LATER = `
  insert into smtp_relay_later_events (id, due_at, event)
  select (e ->> 'id')::uuid, (e ->> 'dueAt')::timestamptz, e from jsonb_array_elements($1::jsonb) as e
  on conflict do nothing`;

/**
 * Writes settlements: those whose claim still holds as they are; of the others, what transports have answered.
 *
 * @param db in a transaction
 * @returns in the order of the settlements
 */
export async function writeSettlements(db: Queryable, settlements: readonly Facts[]): Promise<Settled[]> {
  await db.query(kept(HOLD_ROWS, [settlements.map(({ settlement }) => settlement.claim.emailId)]));
  const input = storableJson(settlements.map(inputOf));
  const { rows } = await db.query<{ emailId: string; deliveries: number }>(kept(SETTLE, [input]));
  const owned = new Set(rows.map(({ emailId }) => emailId));
  const isOwned = ({ settlement }: Facts) => owned.has(settlement.claim.emailId);
  const mine = settlements.filter(isOwned).map(({ settlement }) => settlement);
  const notices = mine.flatMap(({ notice }) => (notice ? [notice] : []));
  if (notices.length > 0) await insertMessages(db, notices, { outboxLease: 0 });
  const later = mine.flatMap(({ events }) => events.filter(({ dueAt }) => dueAt));
  if (later.length > 0) await db.query(KEEP_FOR_LATER, [storableJson(later)]);
  // What would end the hold may have been told while the call was under way.
  const held = mine.filter(({ standing }) => standing.kind === 'held').map(({ claim }) => claim.emailId);
  if (held.length > 0) await releaseHeld(db, held);
  const late = await recordFacts(
    db,
    settlements.filter(settlement => !isOwned(settlement)),
  );
  const deliveriesDue = (rows[0]?.deliveries ?? 0) + late > 0;
  return settlements.map(settlement => ({ owned: isOwned(settlement), deliveriesDue }));
}

/** Has the database look at the statements, with nothing to write. @throws its error where it refuses one */
export async function trySettlements(db: Queryable): Promise<void> {
  await db.query(HOLD_ROWS, [[]]);
  await db.query(SETTLE, ['[]']);
  await releaseHeld(db, []);
  await tryFacts(db);
}

const STATUS = {
  sent: 'sent',
  failed: 'failed',
  suppressed: 'suppressed',
  held: null,
  underway: null,
  retry: null,
  later: null,
};

function inputOf({ settlement, worker }: Facts) {
  const { claim, standing, attempts, events, trace } = settlement;
  const error = ('error' in standing ? standing.error : null) ?? null;
  const status = STATUS[standing.kind];
  return {
    email_id: claim.emailId,
    token: claim.token,
    try: claim.try,
    worker,
    user_id: claim.message.userId,
    standing: standing.kind,
    // The statement that writes the events does not see them yet.
    status:
      status &&
      gravestOf(
        status,
        events.filter(({ dueAt }) => !dueAt).map(({ type }) => type),
      ),
    code: error?.code ?? null,
    message: error?.message ?? null,
    exhausted: standing.kind === 'failed' && standing.exhausted,
    went_out: standing.kind === 'sent' || attempts.some(({ outcome }) => outcome === 'sent'),
    retry_seconds: 'afterMs' in standing ? standing.afterMs / 1000 : null,
    stands_still: standing.kind === 'retry' && standing.standsStill === true,
    correlation_id: trace.correlationId,
    traceparent: trace.traceparent,
    attempts: attempts.map(rowOf),
    events,
  };
}
