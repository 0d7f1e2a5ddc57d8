import type pg from 'pg';
import type { Logger } from '../observability/log.ts';
import { Batcher } from './batcher.ts';
import type { AttemptOutcome, Claim } from './claims.ts';
import type { NewEvent } from './events.ts';
import { gravestOf, gravestStatus } from './gravest-status.ts';
import { releaseHeld } from './incoming-events.ts';
import { insertMessages } from './insert-messages.ts';
import type { NewMessage } from './new-message.ts';
import type { Queryable } from './pool.ts';
import { isTemporary, untilAnswered } from './until-answered.ts';
import { INSERT_DUE_DELIVERIES } from './webhook-deliveries.ts';

/** One outcome of one call to a transport, for the recipients that it is about. */
export interface Attempt {
  readonly transport: string;
  readonly recipients: readonly string[];
  readonly outcome: AttemptOutcome;
  readonly code: string | null;
  readonly message: string | null;
  readonly providerMessageId: string | null;
  readonly startedAt: Date;
}

/**
 * Where a message stands after a try. `sent`, `failed` and `suppressed` are final. `retry`: queued again, and due later.
 * `held`: nobody knows whether it was sent, and a person is to say. `underway`: part of it is done, the worker keeps it.
 */
export type Standing =
  | { readonly kind: 'sent' | 'suppressed' | 'held' | 'underway' }
  /** It was tried for as long as the policy allows. */
  | { readonly kind: 'failed'; readonly error: ProviderError; readonly exhausted: true }
  /** Without an error where this try brought none; the row then keeps the one that it has. */
  | { readonly kind: 'failed'; readonly error: ProviderError | null; readonly exhausted: false }
  | { readonly kind: 'retry'; readonly error: ProviderError; readonly afterMs: number };

export interface ProviderError {
  readonly code: string;
  readonly message: string;
}

/** Everything that a try of a message came to. It is written as a whole or not at all. */
export interface Settlement {
  readonly claim: Claim;
  readonly standing: Standing;
  readonly attempts: readonly Attempt[];
  readonly events: readonly NewEvent[];
  /** Ties the next try's job to this one. */
  readonly trace: { readonly correlationId: string; readonly traceparent: string };
  /** A message to the sender, stored and queued by the same commit. */
  readonly notice: NewMessage | null;
}

export interface SettlerDependencies {
  readonly pool: pg.Pool;
  readonly worker: string;
  readonly logger: Logger;
}

/**
 * Events come in at any time, and each looks whether the row is done. Holding the rows first, this statement's successor
 * sees the events of whoever came before, and whoever comes after sees the new status.
 */
const HOLD_ROWS = `
  select id from emails where id = any($1::uuid[]) order by id for no key update`;

/** $1: the settlements, JSON; $2: the worker. Writes nothing for a claim whose token is another by now. */
const SETTLE = `
  with input as materialized (
    select * from jsonb_to_recordset($1::jsonb) as s (
      email_id uuid, token uuid, try integer, user_id text, standing text, status text, code text, message text,
      exhausted boolean, went_out boolean, retry_seconds double precision, correlation_id text, traceparent text, attempts jsonb, events jsonb)
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
  ), tried as (
    insert into smtp_relay_attempts
           (email_id, try, transport, recipients, outcome, code, message, provider_message_id, worker, started_at)
    select o.email_id, o.try, a.transport, a.recipients, a.outcome, left(a.code, 255), left(a.message, 1000),
           left(a.provider_message_id, 255), $2, a.started_at
      from owned o, jsonb_to_recordset(o.attempts) as a (
           transport text, recipients jsonb, outcome text, code text, message text, provider_message_id text,
           started_at timestamptz)
  ), standing as (
    update emails e
       set status = case when o.standing in ('sent', 'failed', 'suppressed') then ${gravestStatus('o.email_id', 'o.status')}
                         when o.standing = 'retry' then 'queued' else e.status end,
           sent_at = case when o.went_out then coalesce(e.sent_at, now()) else e.sent_at end,
           provider_last_attempted_at = now(),
           provider_retry_count = case o.standing when 'retry' then o.try + 1 else e.provider_retry_count end,
           provider_next_retry_at = case o.standing when 'retry' then now() + make_interval(secs => o.retry_seconds) end,
           provider_last_error_code = coalesce(left(o.code, 255), e.provider_last_error_code),
           provider_last_error_message = coalesce(left(o.message, 1000), e.provider_last_error_message),
           provider_dead_lettered_at = case when o.exhausted then now() else e.provider_dead_lettered_at end
      from owned o where e.id = o.email_id
  ), again as (
    insert into smtp_relay_outbox (email_id, user_id, try, due_at, correlation_id, traceparent)
    select email_id, user_id, try + 1, now() + make_interval(secs => retry_seconds), correlation_id, traceparent
      from owned where standing = 'retry'
    on conflict (email_id, try) do update set due_at = excluded.due_at, leased_until = null
  ), new_events as (
    insert into email_events (id, email_id, source_id, type, payload, user_id, received_at)
    select e.id, e."emailId", e."sourceId", e.type, e.payload, e."userId", clock_timestamp()
      from owned o, jsonb_to_recordset(o.events) as e (
           id uuid, "emailId" uuid, "sourceId" text, type text, payload jsonb, "userId" text)
    on conflict do nothing
    returning id, type, user_id
  ), due as (${INSERT_DUE_DELIVERIES} returning webhook_id)
  select email_id as "emailId", (select count(*)::integer from due) as deliveries from owned`;

/** A settlement that is written. */
export interface Settled {
  /** False where the claim was another worker's by then, and nothing was written. */
  readonly owned: boolean;
  /** Webhook deliveries became due, for this settlement or one written with it. */
  readonly deliveriesDue: boolean;
}

const MAX_BATCH = 64;
/** Tries of what the database refuses: a webhook that is deleted at the same moment, for instance, is not there the next time. */
const MAX_REFUSALS = 3;

/**
 * Writes what became of messages: attempts, row, next try, events, due webhook deliveries and the end of the claim, by one
 * commit. Concurrent settlements share it.
 */
export class Settler {
  readonly #dependencies: SettlerDependencies;
  readonly #batcher: Batcher<Settlement, Settled>;

  constructor(dependencies: SettlerDependencies) {
    this.#dependencies = dependencies;
    this.#batcher = new Batcher({
      run: settlements => this.#write(settlements),
      maxItems: MAX_BATCH,
      concurrency: 2,
      interval: 5,
      isolates: error => !isTemporary(error),
    });
  }

  /**
   * Writes a settlement. What was sent must not be forgotten, or it would be sent again: while the database cannot be reached
   * it is tried again, until the signal; and where it refuses what events and notice say, it is written without them.
   *
   * @throws the database's last error at the signal, and where it refuses even that
   */
  async settle(settlement: Settlement, signal: AbortSignal): Promise<Settled> {
    const { emailId } = settlement.claim;
    const { logger } = this.#dependencies;
    const onFault = (error: unknown) => logger.warn({ err: error, emailId }, 'outcome not written yet');
    const write = (what: Settlement) => untilAnswered(() => this.#batcher.add(what), { signal, onFault });
    for (let refusals = 0; refusals < MAX_REFUSALS; refusals += 1) {
      try {
        return await write(settlement);
      } catch (error) {
        if (isTemporary(error)) throw error;
        logger.error({ err: error, emailId }, 'the database refuses an outcome');
      }
    }
    return write({ ...settlement, events: [], notice: null });
  }

  async #write(settlements: readonly Settlement[]): Promise<Settled[]> {
    const client = await this.#dependencies.pool.connect();
    try {
      await client.query('begin');
      const settled = await this.#writeOn(client, settlements);
      await client.query('commit');
      client.release();
      return settled;
    } catch (error) {
      // Closing the connection rolls back, whatever state it is in.
      client.release(true);
      throw error;
    }
  }

  async #writeOn(client: Queryable, settlements: readonly Settlement[]): Promise<Settled[]> {
    const { worker } = this.#dependencies;
    await client.query(HOLD_ROWS, [settlements.map(({ claim }) => claim.emailId)]);
    const input = storableJson(settlements.map(inputOf));
    const { rows } = await client.query<{ emailId: string; deliveries: number }>(SETTLE, [input, worker]);
    const owned = new Set(rows.map(({ emailId }) => emailId));
    const notices = settlements.flatMap(({ claim, notice }) => (notice && owned.has(claim.emailId) ? [notice] : []));
    if (notices.length > 0) await insertMessages(client, notices, { outboxLease: 0 });
    // What would end the hold may have been told while the call was under way.
    const held = settlements.filter(({ standing }) => standing.kind === 'held').map(({ claim }) => claim.emailId);
    if (held.length > 0) await releaseHeld(client, held);
    const deliveriesDue = (rows[0]?.deliveries ?? 0) > 0;
    return settlements.map(({ claim }) => ({ owned: owned.has(claim.emailId), deliveriesDue }));
  }
}

const STATUS = { sent: 'sent', failed: 'failed', suppressed: 'suppressed', held: null, underway: null, retry: null };

function inputOf({ claim, standing, attempts, events, trace }: Settlement) {
  const error = 'error' in standing ? standing.error : null;
  const status = STATUS[standing.kind];
  return {
    email_id: claim.emailId,
    token: claim.token,
    try: claim.try,
    user_id: claim.message.userId,
    standing: standing.kind,
    // The statement that writes the events does not see them yet.
    status:
      status &&
      gravestOf(
        status,
        events.map(({ type }) => type),
      ),
    code: error?.code ?? null,
    message: error?.message ?? null,
    exhausted: standing.kind === 'failed' && standing.exhausted,
    went_out: standing.kind === 'sent' || attempts.some(({ outcome }) => outcome === 'sent'),
    retry_seconds: standing.kind === 'retry' ? standing.afterMs / 1000 : null,
    correlation_id: trace.correlationId,
    traceparent: trace.traceparent,
    attempts: attempts.map(attempt => ({
      transport: attempt.transport,
      recipients: attempt.recipients,
      outcome: attempt.outcome,
      code: attempt.code,
      message: attempt.message,
      provider_message_id: attempt.providerMessageId,
      started_at: attempt.startedAt,
    })),
    events,
  };
}

/**
 * JSON that Postgres takes. Servers answer what they like, and what they said may have been cut in the middle of a character:
 * it stores neither NUL nor half a surrogate pair, which alone are escaped by these.
 */
function storableJson(value: unknown): string {
  const json = JSON.stringify(value);
  if (!/\\u(?:0000|d[89a-f])/.test(json)) return json;
  return JSON.stringify(value, (_, part) =>
    typeof part === 'string' ? part.replaceAll('\0', '').toWellFormed() : part,
  );
}
