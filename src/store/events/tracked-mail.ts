import type { Queryable } from '../../postgres/pool.ts';
import type { MailFacts } from './incoming.ts';

export interface TrackedMail extends MailFacts {
  /** Of its envelope; those of the row where the message as received is no longer kept. */
  readonly recipients: readonly string[];
}

const FIND = `
  select e.id, e.user_id as "userId", e."from", e."to", e.subject, e.tags, e.created_at as "createdAt",
         m.message_id as "messageId",
         coalesce(m.recipients, e."to" || coalesce(e.cc, '[]') || coalesce(e.bcc, '[]')) as recipients
    from emails e left join smtp_relay_messages m on m.email_id = e.id
   where e.id = any($1::uuid[])`;

/** What events say of messages whose links were followed. Those that were deleted meanwhile are not in the map. */
export async function findTracked(db: Queryable, emailIds: readonly string[]): Promise<Map<string, TrackedMail>> {
  const { rows } = await db.query<TrackedMail>(FIND, [[...new Set(emailIds)]]);
  return new Map(rows.map(mail => [mail.id, mail]));
}
