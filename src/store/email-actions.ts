import { randomUUID } from 'node:crypto';
import { comparableAddress } from '../message/address.ts';
import { newTrace } from '../observability/trace.ts';
import { StoreError } from './errors.ts';
import type { Queryable } from './pool.ts';

const CANCEL = `
  with cancelled as (
    update emails set status = 'cancelled', provider_next_retry_at = null where id = $1 and status = 'queued' returning id
  ), removed as (
    delete from smtp_relay_outbox o using cancelled where o.email_id = cancelled.id
  )
  select id from cancelled`;

/**
 * Where a message stands, and who has had it. A recipient's last attempt counts, unless an earlier one settled it for good.
 * Attempts are numbered in the order in which they were made.
 */
const STANDING = `
  select e.status, e."to", e.cc, e.bcc, m.recipients, m.size_bytes as "sizeBytes", c.state as claim, c.worker,
         array(select distinct r from smtp_relay_attempts a, jsonb_array_elements_text(a.recipients) r
                where a.email_id = e.id and a.outcome = 'sent') as sent
    from emails e
    left join smtp_relay_messages m on m.email_id = e.id
    left join smtp_relay_claims c on c.email_id = e.id
   where e.id = $1`;

/** $1 the message, $2 the copy's id, $3 its recipients, $4 to $6 those of them in To, Cc and Bcc, $7 and $8 its trace. */
const COPY = `
  with original as (
    insert into smtp_relay_messages (email_id, raw, sha256, size_bytes, reverse_path, recipients, body_type, smtp_utf8,
                                     track_opens, track_clicks, message_id, captured, resend_of, traceparent)
    select $2::uuid, raw, sha256, size_bytes, reverse_path, $3::jsonb, body_type, smtp_utf8, track_opens, track_clicks,
           message_id, captured, $1::uuid, $8
      from smtp_relay_messages where email_id = $1
    returning email_id
  ), email as (
    insert into emails (id, user_id, "from", "to", cc, bcc, reply_to, subject, html, text, headers, attachments, tags, status)
    select o.email_id, user_id, "from", $4::jsonb, $5::jsonb, $6::jsonb, reply_to, subject, html, text, headers, attachments,
           tags, 'queued'
      from original o, emails where id = $1
    returning id, user_id
  ), job as (
    insert into smtp_relay_outbox (email_id, user_id, correlation_id, traceparent)
    select id, user_id, $7, $8 from email
  )
  select id from email`;

/**
 * $1 the message, $2 the outcome, $3 the code, $4 the text. Open are the recipients whose last attempt ended nobody knows
 * how. The worker that takes the message up next looks at the attempts.
 */
const RESOLVE = `
  with held as materialized (
    select email_id, try from smtp_relay_claims where email_id = $1 and state = 'held' for update
  ), told as materialized (
    select a.id, a.transport, a.outcome, r.recipient
      from held join smtp_relay_attempts a using (email_id), jsonb_array_elements_text(a.recipients) r (recipient)
  ), open_ as materialized (
    select * from (select distinct on (recipient) recipient, transport, outcome from told order by recipient, id desc) last_
     where outcome = 'unknown'
       and recipient not in (select recipient from told where outcome in ('sent', 'permanent', 'suppressed'))
  ), resolved as (
    insert into smtp_relay_attempts (email_id, try, transport, recipients, outcome, code, message, started_at)
    select held.email_id, held.try, transport, jsonb_agg(recipient order by recipient), $2, $3, $4, now()
      from held, open_ group by 1, 2, 3
  ), released as (
    update smtp_relay_claims c set state = 'claimed', in_flight = null, until = now() from held
     where c.email_id = held.email_id
  )
  select array(select recipient from open_ order by recipient) as recipients from held`;

interface Standing {
  readonly status: string;
  readonly to: readonly string[];
  readonly cc: readonly string[] | null;
  readonly bcc: readonly string[] | null;
  /** Of the envelope; null where the message is not kept as it was received. */
  readonly recipients: readonly string[] | null;
  readonly sizeBytes: number | null;
  readonly claim: string | null;
  readonly worker: string | null;
  readonly sent: readonly string[];
}

/** Statuses that say that the message went out to somebody. */
const WENT_OUT = new Set(['sent', 'delivered', 'bounced', 'complained']);
const OPEN = new Set(['queued', 'processing', 'scheduled']);

/**
 * Cancels a message that is queued. What was sent of it by earlier tries stays sent.
 *
 * @throws StoreError `conflict` where it is not queued any more, with the reason
 */
export async function cancelEmail(db: Queryable, id: string): Promise<{ id: string; sentTo: readonly string[] }> {
  const cancelled = (await db.query(CANCEL, [id])).rows.length > 0;
  const standing = await standingOf(db, id);
  if (!cancelled) throw new StoreError('conflict', `it cannot be cancelled: ${whyNot(standing)}`);
  return { id, sentTo: standing.sent };
}

export interface ResendOptions {
  /** Only to recipients that it was not sent to. */
  readonly failedOnly: boolean;
  /** Also to those that have had it. */
  readonly twice: boolean;
}

/**
 * Sends a message that is done once more, as a new message with the same bytes and a new id, so that the history of the
 * first one stays as it was.
 *
 * @throws StoreError `conflict` where it is not done, is not kept any more, or would reach somebody a second time unasked
 */
export async function resendEmail(
  db: Queryable,
  id: string,
  options: ResendOptions,
): Promise<{ id: string; resendOf: string; recipients: readonly string[] }> {
  const standing = await standingOf(db, id);
  const recipients = recipientsAgain(standing, options);
  const among = (list: readonly string[] | null): string[] =>
    (list ?? []).filter(entry => recipients.some(address => names(entry, address)));
  const { correlationId, traceparent } = newTrace();
  const others = [among(standing.cc), among(standing.bcc)].map(list => (list.length > 0 ? JSON.stringify(list) : null));
  const lists = [JSON.stringify(among(standing.to)), ...others];
  const values = [id, randomUUID(), JSON.stringify(recipients), ...lists, correlationId, traceparent];
  const copy = (await db.query<{ id: string }>(COPY, values)).rows[0];
  if (!copy) throw new StoreError('conflict', NOT_KEPT);
  return { id: copy.id, resendOf: id, recipients };
}

/**
 * Says what became of a message that is held because nobody knew: `sent` to those in doubt, or to be tried again (`retry`).
 * A worker goes on with it within seconds.
 *
 * @throws StoreError `conflict` where it is not held
 */
export async function resolveHeld(
  db: Queryable,
  id: string,
  verdict: 'sent' | 'retry',
): Promise<{ id: string; verdict: 'sent' | 'retry'; recipients: readonly string[] }> {
  const told =
    verdict === 'sent'
      ? ['sent', 'resolved', 'an operator says that it was sent']
      : ['transient', 'resolved-retry', 'an operator says that it is to be sent again'];
  const held = (await db.query<{ recipients: string[] }>(RESOLVE, [id, ...told])).rows[0];
  if (!held) {
    const { status } = await standingOf(db, id);
    throw new StoreError('conflict', `it is not held: its status is ${status}`);
  }
  return { id, verdict, recipients: held.recipients };
}

const NOT_KEPT = 'it is not kept as it was received any more (retention.raw), so it cannot be sent again';

function recipientsAgain(standing: Standing, { failedOnly, twice }: ResendOptions): readonly string[] {
  if (OPEN.has(standing.status)) {
    throw new StoreError('conflict', `it cannot be sent again before it is done: its status is ${standing.status}`);
  }
  const { recipients } = standing;
  if (!recipients) throw new StoreError('conflict', NOT_KEPT);
  // Without a record of attempts, the status speaks for all.
  const nothingTold = standing.sent.length === 0 && WENT_OUT.has(standing.status);
  const had = new Set(nothingTold ? recipients : standing.sent);
  const left = recipients.filter(address => !had.has(address));
  if (failedOnly) {
    if (left.length === 0) throw new StoreError('conflict', 'it was sent to every recipient');
    return left;
  }
  const again = recipients.filter(address => had.has(address));
  if (again.length > 0 && !twice) {
    throw new StoreError(
      'conflict',
      `these have had it, and would get it a second time: ${again.join(', ')}; add --failed-only to leave them out, or --yes`,
    );
  }
  return recipients;
}

/** Whether an entry of To, Cc or Bcc, maybe with a display name, is that address. */
function names(entry: string, address: string): boolean {
  const written = /<([^<>]*)>$/.exec(entry)?.[1] ?? entry;
  return comparableAddress(written) === comparableAddress(address);
}

async function standingOf(db: Queryable, id: string): Promise<Standing> {
  const standing = (await db.query<Standing>(STANDING, [id])).rows[0];
  if (!standing) throw new StoreError('not-found', `no message has the id "${id}"`);
  return standing;
}

function whyNot({ status, claim, worker }: Standing): string {
  if (claim === 'held') return 'nobody knows whether it was sent, so it is held; see: smtp-relay emails resolve --help';
  if (status === 'processing') return `worker ${worker ?? 'unknown'} is sending it just now`;
  return `its status is ${status}`;
}
