import type pg from 'pg';
import type { Queryable } from '../../postgres/pool.ts';
import { raiseStatus, releaseHeld, retryNow } from '../events/incoming.ts';
import { INSERT_DUE_DELIVERIES } from '../webhooks/deliveries.ts';
import { type Attempt, NO_CALLS, type Settlement } from './claim.ts';

/**
 * JSON that Postgres takes. Servers answer what they like, and what they said may have been cut in the middle of a character:
 * it stores neither NUL nor half a surrogate pair, which alone are escaped by these.
 */
export function storableJson(value: unknown): string {
  const json = JSON.stringify(value);
  if (!/\\u(?:0000|d[89a-f])/.test(json)) return json;
  return JSON.stringify(value, (_, part) =>
    typeof part === 'string' ? part.replaceAll('\0', '').toWellFormed() : part,
  );
}

/**
 * SQL: writes attempts that are not written yet, looked for one by one (`offset 0`). The same one may come twice: where the answer to a commit was lost, and by the
 * journal of a worker that has ended. Whoever writes holds the row of the message, or is alone with its attempts.
 *
 * @param rows has `email_id`, `try`, `worker` and `attempts`
 */
export function insertAttempts(rows: string): string {
  return `
    insert into smtp_relay_attempts
           (email_id, try, transport, recipients, outcome, code, message, provider_message_id, worker, started_at)
    select o.email_id, o.try, a.transport, a.recipients, a.outcome, left(a.code, 255), left(a.message, 1000),
           left(a.provider_message_id, 255), o.worker, a.started_at
      from ${rows} o, jsonb_to_recordset(o.attempts) as a (
           transport text, recipients jsonb, outcome text, code text, message text, provider_message_id text,
           started_at timestamptz)
     where not exists (
       select from smtp_relay_attempts known
        where known.email_id = o.email_id and known.worker = o.worker and known.started_at = a.started_at
          and known.outcome = a.outcome and known.recipients = a.recipients offset 0)`;
}

const INPUT = `
  input as materialized (
    select s.* from jsonb_to_recordset($1::jsonb) as s (
           email_id uuid, try integer, worker text, token uuid, attempts jsonb, events jsonb)`;

/** $1: the facts, JSON. That it has failed is not told of whom somebody else has sent it to meanwhile. */
const RECORD = `
  with ${INPUT} join emails e on e.id = s.email_id
  ), tried as (${insertAttempts('input')}
    returning email_id, outcome
  ), went_out as (
    update emails set sent_at = now()
     where id = any (array(select email_id from tried where outcome = 'sent')) and sent_at is null
  ), new_events as (
    insert into email_events (id, email_id, source_id, type, payload, user_id, received_at)
    select e.id, e."emailId", e."sourceId", e.type, e.payload, e."userId", clock_timestamp()
      from input i, jsonb_to_recordset(i.events) as e (
           id uuid, "emailId" uuid, "sourceId" text, type text, payload jsonb, "userId" text)
     where e.type <> 'failed' or not exists (
       select from smtp_relay_attempts d
        where d.email_id = i.email_id and d.outcome = 'sent'
          and d.recipients ?| array(select jsonb_array_elements_text(e.payload -> 'recipients')))
    on conflict do nothing
    returning id, type, user_id
  ), due as (${INSERT_DUE_DELIVERIES} returning webhook_id)
  select (select count(*)::integer from tried) as facts, (select count(*)::integer from due) as deliveries`;

/** $1: the facts, JSON. Nothing but the one table, for a database that refuses all else. */
const BARE = `
  with ${INPUT})${insertAttempts('input')}`;

/** $1: the facts, JSON. A claim whose call is answered is not one of which nobody knows. */
const ANSWERED = `
  with ${INPUT})
  update smtp_relay_claims c set state = 'claimed', in_flight = null
    from input i where c.email_id = i.email_id and c.token = i.token and c.state = 'sending'`;

/** What transports have answered, whoever has the message by now. */
export interface Facts {
  readonly settlement: Settlement;
  /** Who made the calls. */
  readonly worker: string;
}

/** What a settlement has of answers of transports; the rest are decisions of a worker that must have the claim. */
function factsOf({ settlement, worker }: Facts) {
  const { claim, attempts, events } = settlement;
  const answers = attempts.filter(isAnswer);
  const refused = new Set(
    answers.filter(({ outcome }) => outcome === 'permanent').flatMap(({ recipients }) => recipients),
  );
  const told = events.filter(({ type, payload }) => {
    const { recipients = [], provider } = payload as {
      recipients?: readonly string[];
      provider?: { transport: string };
    };
    if (type === 'sent') return provider === undefined || !NO_CALLS.has(provider.transport);
    return type === 'failed' && recipients.length > 0 && recipients.every(recipient => refused.has(recipient));
  });
  return {
    email_id: claim.emailId,
    try: claim.try,
    token: claim.token,
    worker,
    attempts: answers.map(rowOf),
    events: told,
  };
}

/** Whether it is what a transport said of a call. */
function isAnswer({ transport, outcome }: Attempt): boolean {
  return !NO_CALLS.has(transport) && outcome !== 'suppressed';
}

/** Whether anything was called for: what is not written down of that would be done again. */
export function hasFacts({ attempts }: Settlement): boolean {
  return attempts.some(isAnswer);
}

/** An attempt as the statements read it. */
export function rowOf(attempt: Attempt) {
  return {
    transport: attempt.transport,
    recipients: attempt.recipients,
    outcome: attempt.outcome,
    code: attempt.code,
    message: attempt.message,
    provider_message_id: attempt.providerMessageId,
    started_at: attempt.startedAt,
  };
}

/**
 * Writes down what transports have answered, without a fence: it is true whoever has the message by now. Known twice, it is
 * written once. Where a message is held, or waits for a try, of which this takes away the reason, it goes on at once.
 *
 * @param db in a transaction that holds the rows of the messages
 * @returns how many webhook deliveries became due
 */
export async function recordFacts(db: Queryable, facts: readonly Facts[]): Promise<number> {
  if (facts.length === 0) return 0;
  const { rows } = await db.query<{ facts: number; deliveries: number }>(RECORD, [storableJson(facts.map(factsOf))]);
  const [written] = rows;
  if (!written || written.facts === 0) return written?.deliveries ?? 0;
  const ids = facts.map(({ settlement }) => settlement.claim.emailId);
  await raiseStatus(db, ids);
  await releaseHeld(db, ids);
  await retryNow(db, ids);
  return written.deliveries;
}

/**
 * Writes the bare attempts, for a database that refuses the rest of the settlement: so nothing is sent again, whoever takes
 * the message up next.
 *
 * @throws the database's error
 */
export async function writeBareFacts(pool: pg.Pool, facts: Facts): Promise<void> {
  const input = [storableJson([factsOf(facts)])];
  await pool.query(BARE, input);
  // Whoever takes it over reads the attempts anyway.
  await pool.query(ANSWERED, input).catch(() => {});
}

/** Has the database look at the statements, with nothing to write. @throws its error where it refuses one */
export async function tryFacts(db: Queryable): Promise<void> {
  for (const statement of [RECORD, BARE, ANSWERED]) await db.query(statement, ['[]']);
}
