import type { Queryable } from '../../postgres/pool.ts';
import { type EmailDetails, findEmail } from './emails.ts';
import { resolveEmailId } from './find.ts';

/** Everything that is known of one message. */
export interface EmailStory extends EmailDetails {
  /** The client's Message-ID without angle brackets; null where it gave none. */
  readonly messageId: string | null;
  /** The message that this one was made from by `emails resend`. */
  readonly resendOf: string | null;
  readonly resentAs: readonly string[];
  /** How often a lost job was published again. */
  readonly republished: number;
  readonly retry: RetryState;
  readonly claim: StoryClaim | null;
  readonly attempts: readonly StoryAttempt[];
  readonly events: readonly StoryEvent[];
  readonly deliveries: readonly StoryDelivery[];
}

export interface RetryState {
  /** Tries that failed and were to be repeated. */
  readonly count: number;
  readonly lastAttemptedAt: Date | null;
  readonly nextRetryAt: Date | null;
  readonly lastErrorCode: string | null;
  /** When the last try was given up. */
  readonly deadLetteredAt: Date | null;
}

/** The worker that has the message, or had it last. */
export interface StoryClaim {
  readonly worker: string;
  /** `claimed`, `sending` or `held`. */
  readonly state: string;
  readonly try: number;
  readonly inFlight: readonly string[] | null;
  readonly claimedAt: Date;
  /** When another worker may take it; null where a person is to say what becomes of it. */
  readonly until: Date | null;
}

export interface StoryAttempt {
  readonly try: number;
  readonly transport: string;
  readonly recipients: readonly string[];
  /** `sent`, `transient`, `permanent`, `unknown` or `suppressed`. */
  readonly outcome: string;
  readonly code: string | null;
  readonly message: string | null;
  readonly providerMessageId: string | null;
  readonly worker: string | null;
  readonly startedAt: Date;
  readonly endedAt: Date;
}

export interface StoryEvent {
  readonly id: string;
  readonly type: string;
  readonly receivedAt: Date;
  readonly payload: Readonly<Record<string, unknown>>;
}

export interface StoryDelivery {
  readonly id: string;
  readonly eventId: string;
  readonly eventType: string;
  readonly webhookId: string | null;
  /** Null where the endpoint does not exist any more. */
  readonly url: string | null;
  /** `pending`, `success`, `failed` (to be repeated), `dead_letter` or `parked`. */
  readonly status: string | null;
  readonly attempts: number;
  readonly statusCode: number | null;
  readonly createdAt: Date;
  readonly attemptedAt: Date | null;
  readonly nextRetryAt: Date | null;
}

const ROW = `
  select e.provider_retry_count as count, greatest(e.provider_last_attempted_at, c.claimed_at) as "lastAttemptedAt",
         e.provider_next_retry_at as "nextRetryAt", e.provider_last_error_code as "lastErrorCode",
         e.provider_dead_lettered_at as "deadLetteredAt", coalesce(m.message_id, i.message_id) as "messageId", m.resend_of as "resendOf",
         coalesce(m.republished, 0) as republished,
         array(select email_id from smtp_relay_messages where resend_of = e.id order by created_at) as "resentAs"
    from emails e left join smtp_relay_messages m on m.email_id = e.id
         left join smtp_relay_message_ids i on i.email_id = e.id
         left join smtp_relay_claims c on c.email_id = e.id
   where e.id = $1`;

const CLAIM = `
  select worker, state, try, in_flight as "inFlight", claimed_at as "claimedAt",
         case when isfinite(until) then until end as until
    from smtp_relay_claims where email_id = $1`;

const ATTEMPTS = `
  select try, transport, recipients, outcome, code, message, provider_message_id as "providerMessageId", worker,
         started_at as "startedAt", ended_at as "endedAt"
    from smtp_relay_attempts where email_id = $1 order by id`;

const EVENTS = `
  select id, type, received_at as "receivedAt", payload from email_events where email_id = $1 order by received_at, id`;

const DELIVERIES = `
  select d.id, d.event_id as "eventId", e.type as "eventType", d.webhook_id as "webhookId", w.url, d.status,
         coalesce(d.attempt, 0) as attempts, d.status_code as "statusCode", d.created_at as "createdAt",
         d.attempted_at as "attemptedAt", d.next_retry_at as "nextRetryAt"
    from email_events e join webhook_deliveries d on d.event_id = e.id left join webhooks w on w.id = d.webhook_id
   where e.email_id = $1 order by coalesce(d.attempted_at, d.created_at), d.id`;

interface Row extends Omit<RetryState, 'count'> {
  readonly count: number | null;
  readonly messageId: string | null;
  readonly resendOf: string | null;
  readonly resentAs: readonly string[];
  readonly republished: number;
}

/**
 * The whole story of one message, found as `resolveEmailId` finds it.
 *
 * @throws StoreError as `resolveEmailId`
 */
export async function readEmailStory(db: Queryable, text: string): Promise<EmailStory> {
  const id = await resolveEmailId(db, text);
  const email = (await findEmail(db, id)) as EmailDetails;
  const row = (await db.query<Row>(ROW, [id])).rows[0] as Row;
  const { messageId, resendOf, resentAs, republished, count, ...retry } = row;
  return {
    ...email,
    messageId: messageId ?? messageIdIn(email.headers),
    resendOf,
    resentAs,
    republished,
    retry: { ...retry, count: count ?? 0 },
    claim: (await db.query<StoryClaim>(CLAIM, [id])).rows[0] ?? null,
    attempts: (await db.query<StoryAttempt>(ATTEMPTS, [id])).rows,
    events: (await db.query<StoryEvent>(EVENTS, [id])).rows,
    deliveries: (await db.query<StoryDelivery>(DELIVERIES, [id])).rows,
  };
}

/** For a message that is not kept as it was received any more. */
function messageIdIn(headers: EmailDetails['headers']): string | null {
  const [, value = ''] = Object.entries(headers ?? {}).find(([name]) => name.toLowerCase() === 'message-id') ?? [];
  return value.trim().replace(/^<(.*)>$/, '$1') || null;
}
