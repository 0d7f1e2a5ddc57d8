import { isUuid } from '../../platform/uuid.ts';
import type { Queryable } from '../../postgres/pool.ts';
import { findByMessageId } from './find.ts';
import { type EmailQuestion, type Searched, searchEmails } from './search.ts';
import { shownStatus } from './standing.ts';

/** A stored message, as a list shows it. */
export interface EmailSummary {
  readonly id: string;
  readonly status: string;
  readonly from: string;
  readonly to: readonly string[];
  readonly subject: string;
  readonly owner: string | null;
  readonly createdAt: Date;
}

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
  readonly try: number;
  readonly dueAt: string;
  readonly publishAttempts: number;
  readonly lastError: string | null;
}

export interface RawSummary {
  readonly sizeBytes: number;
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

export interface EmailFilter extends Omit<EmailQuestion, 'ids'> {
  /** Only those with this Message-ID, as `findByMessageId` finds them. */
  readonly messageId?: string | undefined;
}

const SUMMARY = `
  e.id, ${shownStatus('e')} as status, e."from", e."to", e.subject, e.user_id as owner, e.created_at as "createdAt"`;

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
           'try', try, 'dueAt', due_at, 'publishAttempts', publish_attempts, 'lastError', last_error) order by try),
         '[]') as outbox
    from smtp_relay_outbox where email_id = $1`;

const SHOW_RAW = `
  select size_bytes as "sizeBytes", encode(sha256, 'hex') as sha256, reverse_path as "reversePath", recipients,
         body_type as "bodyType", smtp_utf8 as "smtpUtf8", client_address as "clientAddress", session_id as "sessionId", helo,
         protocol, captured
    from smtp_relay_messages where email_id = $1`;

/** A client that gives one Message-ID to all its messages is not listed in full. */
const MAX_SAME_ID = 1_000;

/** Stored messages, newest first: all that there are, or those that a bounded search comes to. */
export async function listEmails(db: Queryable, filter: EmailFilter): Promise<readonly EmailSummary[]> {
  return (await lookForEmails(db, filter)).rows;
}

/** Stored messages, newest first, and how far back the search came. */
export async function lookForEmails(db: Queryable, filter: EmailFilter): Promise<Searched<EmailSummary>> {
  const { messageId, ...question } = filter;
  const ids = messageId === undefined ? undefined : await findByMessageId(db, messageId, MAX_SAME_ID);
  return searchEmails<EmailSummary>(db, SUMMARY, { ...question, ids });
}

/** One stored message, or null. The id is the one that the 250 named. */
export async function findEmail(db: Queryable, id: string): Promise<EmailDetails | null> {
  if (!isUuid(id.trim())) return null;
  const email = (await db.query<Omit<EmailDetails, 'outbox' | 'raw'>>(SHOW, [id.trim()])).rows[0];
  if (!email) return null;
  const outbox = await db.query<Pick<EmailDetails, 'outbox'>>(SHOW_OUTBOX, [email.id]);
  const raw = await db.query<RawSummary>(SHOW_RAW, [email.id]);
  return { ...email, outbox: outbox.rows[0]?.outbox ?? [], raw: raw.rows[0] ?? null };
}
