import type { Tag } from '../../message/header/control-headers.ts';
import type { Queryable } from '../../postgres/pool.ts';

/** A message that a provider tells of: by our id, or where that is not known, by the provider's. */
export interface MailQuestion {
  readonly emailId: string | null;
  readonly providerMessageId: string;
}

/** What events say of a message. */
export interface MailFacts {
  readonly id: string;
  readonly userId: string | null;
  readonly from: string;
  readonly to: readonly string[];
  readonly subject: string;
  readonly tags: readonly Tag[] | null;
  readonly createdAt: Date;
  /** Without angle brackets. */
  readonly messageId: string | null;
  /** Its key was in sandbox: nothing has gone out. */
  readonly sandbox: boolean;
}

/** A message that was found, with what its events belong to. */
export interface FoundMail extends MailFacts {
  /** Of the span in which it was received; null where that is not known. */
  readonly traceparent: string | null;
}

export interface TrackedMail extends MailFacts {
  /** Of its envelope; those of the row where the message as received is no longer kept. */
  readonly recipients: readonly string[];
}

/** SQL: whether a row `e` was sent with a key in sandbox. Its events say so when the message itself is not kept any more. */
export const IN_SANDBOX = `
  coalesce((select m.sandbox from smtp_relay_messages m where m.email_id = e.id),
           exists (select from email_events v where v.email_id = e.id and v.payload ? 'sandbox' offset 0))`;

const FIND = `
  with asked as (
    select * from jsonb_to_recordset($1::jsonb) as a (position integer, email_id uuid, provider_message_id text)
  ), found as (
    select a.position, coalesce(
             (select e.id from emails e where e.id = a.email_id),
             (select t.email_id from smtp_relay_attempts t where t.provider_message_id = a.provider_message_id limit 1)) as id
      from asked a
  )
  select f.position, e.id, e.user_id as "userId", e."from", e."to", e.subject, e.tags, e.created_at as "createdAt",
         m.message_id as "messageId", ${IN_SANDBOX} as sandbox, m.traceparent
    from found f join emails e on e.id = f.id left join smtp_relay_messages m on m.email_id = e.id`;

const FIND_TRACKED = `
  select e.id, e.user_id as "userId", e."from", e."to", e.subject, e.tags, e.created_at as "createdAt",
         m.message_id as "messageId", ${IN_SANDBOX} as sandbox,
         coalesce(m.recipients, e."to" || coalesce(e.cc, '[]') || coalesce(e.bcc, '[]')) as recipients
    from emails e left join smtp_relay_messages m on m.email_id = e.id
   where e.id = any($1::uuid[])`;

/** Finds what messages a provider tells of. @returns answers in the order asked; null for a message that is not ours */
export async function findMail(db: Queryable, questions: readonly MailQuestion[]): Promise<(FoundMail | null)[]> {
  const asked = questions.map(({ emailId, providerMessageId }, position) => ({
    position,
    email_id: emailId,
    provider_message_id: providerMessageId,
  }));
  const { rows } = await db.query<FoundMail & { position: number }>(FIND, [JSON.stringify(asked)]);
  const byPosition = new Map(rows.map(({ position, ...facts }) => [position, facts]));
  return questions.map((_, position) => byPosition.get(position) ?? null);
}

/** What events say of messages whose links were followed. Those that were deleted meanwhile are not in the map. */
export async function findTracked(db: Queryable, emailIds: readonly string[]): Promise<Map<string, TrackedMail>> {
  const { rows } = await db.query<TrackedMail>(FIND_TRACKED, [[...new Set(emailIds)]]);
  return new Map(rows.map(mail => [mail.id, mail]));
}
