import type { Queryable } from '../../src/postgres/pool.ts';

interface Base {
  /** Tells it from all others. */
  readonly key: string;
  /** Of the message; null for what is about none. */
  readonly emailId: string | null;
  readonly at: Date;
}

/** Something that happened to a message on its way. */
export type Happening = Base &
  (
    | { readonly kind: 'accepted'; readonly facts: AcceptedFacts }
    | { readonly kind: 'tried'; readonly facts: TriedFacts }
    | { readonly kind: 'event'; readonly facts: EventFacts }
    | { readonly kind: 'webhook'; readonly facts: WebhookFacts }
  );

export interface AcceptedFacts {
  readonly from: string;
  readonly recipients: readonly string[];
  readonly subject: string;
  /** Bytes as received; null where the pipeline keeps none. */
  readonly size: number | null;
}

export interface TriedFacts {
  /** Of those that no event tells. */
  readonly outcome: 'sent' | 'transient' | 'unknown';
  readonly transport: string;
  readonly code: string | null;
  readonly message: string | null;
  readonly providerMessageId: string | null;
}

export interface EventFacts {
  readonly type: string;
  readonly payload: Readonly<Record<string, unknown>>;
}

export interface WebhookFacts {
  /** Such as `email.opened`. */
  readonly event: string;
  readonly url: string;
  /** `success`, `failed` (it is tried again) or `dead_letter`. */
  readonly status: string;
  readonly statusCode: number | null;
  /** The beginning of the answer, or why there was none. */
  readonly answer: string | null;
}

/**
 * One statement, so that no effect is seen before its cause. Rows become visible in another order than they are dated, hence
 * a window; $2 has the keys of what was seen. The numbers order what has the same time.
 */
const FIND = `
  with window_start as (select greatest($1::timestamptz, now() - interval '1 minute') as since),
  happenings as (
    select 1 as number, 'accepted' as kind, 'accepted ' || e.id as key, e.id as "emailId", e.created_at as at,
           jsonb_build_object(
             'from', e."from", 'subject', e.subject, 'size', m.size_bytes,
             'recipients', coalesce(m.recipients, e."to" || coalesce(e.cc, '[]') || coalesce(e.bcc, '[]'))) as facts
      from window_start, emails e left join smtp_relay_messages m on m.email_id = e.id
     where e.created_at > since
    union all
    select 2, 'tried', 'tried ' || a.id, a.email_id, a.ended_at,
           jsonb_build_object(
             'outcome', a.outcome, 'transport', a.transport, 'code', a.code, 'message', a.message,
             'providerMessageId', a.provider_message_id)
      from window_start, smtp_relay_attempts a
     where a.ended_at > since and a.outcome in ('sent', 'transient', 'unknown')
    union all
    select 3, 'event', 'event ' || v.id, v.email_id, v.received_at,
           jsonb_build_object('type', v.type, 'payload', v.payload)
      from window_start, email_events v
     where v.received_at > since and v.type not in ('sent', 'delayed')
    union all
    select 4, 'webhook', 'webhook ' || d.id || ' ' || d.attempted_at, v.email_id, d.attempted_at,
           jsonb_build_object(
             'event', case when v.email_id is null then v.type else 'email.' || v.type end, 'url', w.url,
             'status', d.status, 'statusCode', d.status_code, 'answer', d.response_body)
      from window_start, webhook_deliveries d
           join webhooks w on w.id = d.webhook_id join email_events v on v.id = d.event_id
     where d.attempted_at > since
  )
  select kind, key, "emailId", at, facts from happenings
   where key <> all ($2::text[]) order by at, number, key limit 500`;

/** What happened since then, but at most a minute ago, in its order; without what was seen. */
export async function findHappenings(db: Queryable, since: Date, seen: readonly string[]): Promise<Happening[]> {
  return (await db.query<Happening>(FIND, [since, seen])).rows;
}
