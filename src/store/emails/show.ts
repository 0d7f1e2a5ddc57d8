import { isUuid } from '../../platform/uuid.ts';
import type { Queryable } from '../../postgres/pool.ts';
import { resolveEmailId } from './find.ts';
import { type EmailSummary, SUMMARY } from './list.ts';

/** A stored message with where it stands. Attachments without their content. */
export interface EmailDetails extends EmailSummary {
  readonly cc: readonly string[] | null;
  readonly bcc: readonly string[] | null;
  readonly replyTo: readonly string[] | null;
  readonly text: string | null;
  readonly html: string | null;
  readonly headers: Readonly<Record<string, string>> | null;
  readonly tags: readonly { readonly name: string; readonly value: string }[] | null;
  readonly attachments: readonly AttachmentSummary[] | null;
  readonly sentAt: Date | null;
  readonly lastError: string | null;
  /** Send jobs not yet published; empty when all are, or where there is no queue. */
  readonly outbox: readonly OutboxState[];
  /** The message as received; null in the `opensend` pipeline, which does not keep it. */
  readonly raw: RawSummary | null;
}

export interface AttachmentSummary {
  readonly filename: string | null;
  readonly contentType: string | null;
  readonly contentId: string | null;
  /** Characters of Base64, line breaks not counted. */
  readonly encodedSize: number;
}

export interface OutboxState {
  /** As in `StoryAttempt`; how often the message was put back without a try counts, too. */
  readonly try: number;
  readonly dueAt: string;
  readonly publishAttempts: number;
  readonly lastError: string | null;
}

export interface RawSummary {
  readonly sizeBytes: number;
  /** Where it is in object storage; null where it is in the database. */
  readonly objectUrl: string | null;
  readonly sha256: string;
  readonly reversePath: string;
  readonly recipients: unknown;
  readonly bodyType: string | null;
  readonly smtpUtf8: boolean;
  /** Null where it did not come by SMTP; so for the next three. */
  readonly clientAddress: string | null;
  readonly sessionId: string | null;
  readonly helo: string | null;
  readonly protocol: string | null;
  /** It went to the transport `capture`. */
  readonly captured: boolean;
}

const SHOW = `
  select ${SUMMARY}, e.cc, e.bcc, e.reply_to as "replyTo", e.text, e.html, e.headers, e.tags,
         e.sent_at as "sentAt", e.provider_last_error_message as "lastError",
         case when jsonb_typeof(e.attachments) = 'array' then
           (select jsonb_agg(jsonb_build_object(
                     'filename', a -> 'filename', 'contentType', a -> 'content_type',
                     'contentId', a -> 'content_id', 'encodedSize', length(replace(a ->> 'content', E'\r\n', ''))))
              from jsonb_array_elements(e.attachments) a)
         end as attachments
    from emails e
   where e.id = $1`;

const SHOW_OUTBOX = `
  select coalesce(jsonb_agg(jsonb_build_object(
           'try', try + 1, 'dueAt', due_at, 'publishAttempts', publish_attempts, 'lastError', last_error) order by try),
         '[]') as outbox
    from smtp_relay_outbox where email_id = $1`;

const SHOW_RAW = `
  select size_bytes as "sizeBytes", object_url as "objectUrl", encode(sha256, 'hex') as sha256, reverse_path as "reversePath", recipients,
         body_type as "bodyType", smtp_utf8 as "smtpUtf8", client_address as "clientAddress", session_id as "sessionId", helo,
         protocol, captured
    from smtp_relay_messages where email_id = $1`;

/** One stored message, or null. The id is the one that the 250 named. */
export async function findEmail(db: Queryable, id: string): Promise<EmailDetails | null> {
  if (!isUuid(id.trim())) return null;
  const email = (await db.query<Omit<EmailDetails, 'outbox' | 'raw'>>(SHOW, [id.trim()])).rows[0];
  if (!email) return null;
  const outbox = await db.query<Pick<EmailDetails, 'outbox'>>(SHOW_OUTBOX, [email.id]);
  const raw = await db.query<RawSummary>(SHOW_RAW, [email.id]);
  return { ...email, outbox: outbox.rows[0]?.outbox ?? [], raw: raw.rows[0] ?? null };
}

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
  /** As in `StoryAttempt`. */
  readonly try: number;
  readonly inFlight: readonly string[] | null;
  readonly claimedAt: Date;
  /** When another worker may take it; null where a person is to say what becomes of it. */
  readonly until: Date | null;
}

export interface StoryAttempt {
  /** 1 for the first, as people count, and as events have it; the tables begin with 0. */
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
  select worker, state, try + 1 as try, in_flight as "inFlight", claimed_at as "claimedAt",
         case when isfinite(until) then until end as until
    from smtp_relay_claims where email_id = $1`;

const ATTEMPTS = `
  select try + 1 as try, transport, recipients, outcome, code, message, provider_message_id as "providerMessageId", worker,
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
