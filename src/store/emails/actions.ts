import type pg from 'pg';
import { parseAddressList } from '../../message/addresses/address-list.ts';
import { mendedRow, type RowContent } from '../../message/header/mended-row.ts';
import { newTrace } from '../../observability/tracing.ts';
import { newOrderedId } from '../../platform/uuid.ts';
import { StoreError } from '../../postgres/errors.ts';
import { inTransaction, type Queryable } from '../../postgres/pool.ts';
import { LOST_FOR_GOOD } from '../delivery/claims.ts';
import { CARRIED, copiedOf, EMAIL, namesOf, valuesOf } from '../messages/columns.ts';
import { nameObjects } from '../messages/objects.ts';
import {
  among,
  CANCELED,
  NOT_KEPT,
  type ResendOptions,
  type Resent,
  recipientsAgain,
  type Standing,
  standingOf,
} from './standing.ts';

/** Behind all attempts: a `bigint` has no larger one. */
const LAST = '9223372036854775807';

/** Whoever would claim the message meanwhile waits for this, and whoever has claimed it is seen by the next statement. */
const HOLD_ROW = 'select id from emails where id = $1 for no key update';

/**
 * A claim goes with it, unless a call is under way: whoever has it finds that out right before the call. What is `processing`
 * without a claim is in the hands of OpenSend's worker.
 */
const CANCEL = `
  with mine as (
    select id, status, exists (select from smtp_relay_claims where email_id = $1) as claimed
      from emails where id = $1 and status in ('queued', 'processing')
  ), free as (
    delete from smtp_relay_claims c using mine where c.email_id = mine.id and c.state = 'claimed' returning c.email_id
  ), canceled as (
    update emails e set status = '${CANCELED}', provider_next_retry_at = null
      from mine where e.id = mine.id and (mine.status = 'queued' and not mine.claimed or exists (select from free))
    returning e.id
  ), removed as (
    delete from smtp_relay_outbox o using canceled where o.email_id = canceled.id
  )
  select id from canceled`;

/** How a message came in is said of the copy's original alone. */
const KEPT = copiedOf(CARRIED);

/** $1 the message, $2 the copy's id, $3 its recipients, $4 to $6 those of them in To, Cc and Bcc, $7 and $8 its trace. */
const COPY = `
  with source as materialized (
    select object_url from smtp_relay_messages where email_id = $1
  ), ${nameObjects('source')}, original as (
    insert into smtp_relay_messages (email_id, raw, object_url, sha256, size_bytes, message_id, resend_of, traceparent, ${namesOf(KEPT)})
    select $2::uuid, raw, object_url, sha256, size_bytes, message_id, $1::uuid, $8, ${valuesOf(KEPT, { recipients: '$3::jsonb' })}
      from smtp_relay_messages where email_id = $1 and (object_url is null or exists (select from named))
    returning email_id
  ), email as (
    insert into emails (${namesOf(EMAIL)}, status)
    select ${valuesOf(EMAIL, { id: 'o.email_id', to: '$4::jsonb', cc: '$5::jsonb', bcc: '$6::jsonb' })}, 'queued'
      from original o, emails where id = $1
    returning id, user_id
  ), job as (
    insert into smtp_relay_outbox (email_id, user_id, correlation_id, traceparent)
    select id, user_id, $7, $8 from email
  )
  select id from email`;

/**
 * $1 the message, $2 the outcome, $3 the code, $4 the text. Open are the recipients whose last attempt ended nobody knows
 * how; and where workers end with the message, all who are not done. The worker that takes the message up next looks at the
 * attempts.
 */
const RESOLVE = `
  with held as materialized (
    select email_id, try, takeovers from smtp_relay_claims where email_id = $1 and state = 'held' for update
  ), told as materialized (
    select a.id, a.transport, a.outcome, r.recipient
      from held join smtp_relay_attempts a using (email_id), jsonb_array_elements_text(a.recipients) r (recipient)
    union all
    select ${LAST}, 'none', 'unknown', r.recipient
      from held join smtp_relay_messages m using (email_id), jsonb_array_elements_text(m.recipients) r (recipient)
     where held.takeovers >= ${LOST_FOR_GOOD}
  ), open_ as materialized (
    select * from (select distinct on (recipient) recipient, transport, outcome from told order by recipient, id desc) last_
     where outcome = 'unknown'
       and recipient not in (select recipient from told where outcome in ('sent', 'permanent', 'suppressed'))
  ), resolved as (
    insert into smtp_relay_attempts (email_id, try, transport, recipients, outcome, code, message, started_at)
    select held.email_id, held.try, transport, jsonb_agg(recipient order by recipient), $2, $3, $4, now()
      from held, open_ group by 1, 2, 3
  ), released as (
    update smtp_relay_claims c set state = 'claimed', in_flight = null, takeovers = 0, until = now() from held
     where c.email_id = held.email_id
  )
  select array(select recipient from open_ order by recipient) as recipients from held`;

/**
 * Cancels a message that is queued, or waits in a worker's hands. What was sent of it by earlier tries stays sent.
 *
 * @throws StoreError `conflict` where it is done, held or just being sent, with the reason
 */
export async function cancelEmail(pool: pg.Pool, id: string): Promise<{ id: string; sentTo: readonly string[] }> {
  const cancelled = await inTransaction(pool, async db => {
    await db.query(HOLD_ROW, [id]);
    return (await db.query(CANCEL, [id])).rows.length > 0;
  });
  const standing = await standingOf(pool, id);
  if (!cancelled) throw new StoreError('conflict', `it cannot be cancelled: ${whyNot(standing)}`);
  return { id, sentTo: standing.sent };
}

/**
 * Sends a message that is done once more, as a new message with the same bytes and a new id, so that the history of the
 * first one stays as it was.
 *
 * @throws StoreError `conflict` where it is not done, is not kept any more, or would reach somebody a second time unasked
 */
export async function resendEmail(db: Queryable, id: string, options: ResendOptions): Promise<Resent> {
  const standing = await standingOf(db, id);
  const recipients = recipientsAgain(standing, options);
  const { correlationId, traceparent } = newTrace();
  const others = [among(recipients, standing.cc), among(recipients, standing.bcc)].map(list =>
    list.length > 0 ? JSON.stringify(list) : null,
  );
  const lists = [JSON.stringify(among(recipients, standing.to)), ...others];
  const values = [id, newOrderedId(), JSON.stringify(recipients), ...lists, correlationId, traceparent];
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

function whyNot({ status, claim, worker }: Standing): string {
  if (claim === 'held') return 'nobody knows whether it was sent, so it is held; see: smtp-relay emails resolve --help';
  if (status === 'processing') return `worker ${worker ?? 'unknown'} is sending it just now`;
  return `its status is ${status}`;
}

export interface ResendRowOptions extends ResendOptions {
  /** Whether OpenSend's worker takes jobs from a queue; else it finds the row by itself. */
  readonly publish: boolean;
}

/**
 * Of the standalone pipeline, whose rows only describe attachments; or of OpenSend's REST API with a `path`, whose content OpenSend's
 * worker writes into one line that SES does not take.
 */
const LACKS_CONTENT = `
  select exists (
    select from emails e, jsonb_array_elements(e.attachments) a
     where e.id = $1 and jsonb_typeof(e.attachments) = 'array' and a ->> 'content' is null) as lacks`;

const CONTENT = `
  select "from", reply_to, html, text, headers, attachments from emails where id = $1`;

/**
 * $1 the message, $2 the copy's id, $3 to $5 its recipients in To, Cc and Bcc, $6 and $7 its trace, $8 whether it has a job, $9
 * its content, JSON. What the worker and the app keep in a row stays behind: retries, threads, the app's own idempotency key.
 */
const COPY_ROW = `
  with email as (
    insert into emails (id, user_id, "from", "to", cc, bcc, reply_to, subject, html, text, headers, attachments, tags, status)
    select $2::uuid, user_id, c."from", $3::jsonb, $4::jsonb, $5::jsonb, c.reply_to, subject, c.html, c.text, c.headers,
           c.attachments, tags, 'queued'
      from emails, json_to_record($9::json) as c (
           "from" text, reply_to jsonb, html text, text text, headers jsonb, attachments jsonb)
     where id = $1
    returning id, user_id
  ), named as (
    insert into smtp_relay_message_ids (email_id, message_id)
    select id, message_id from email, smtp_relay_message_ids where email_id = $1
  ), job as (
    insert into smtp_relay_outbox (email_id, user_id, correlation_id, traceparent)
    select id, user_id, $6, $7 from email where $8
  )
  select id from email`;

/**
 * Sends a message of the pipeline `opensend` once more: as a new row of the same content, which OpenSend's worker sends. What it
 * could not send of the first one, as an earlier version stored it, is mended.
 *
 * @throws StoreError `conflict` where it is not done, is not whole, or would reach somebody a second time unasked
 */
export async function resendRow(db: Queryable, id: string, options: ResendRowOptions): Promise<Resent> {
  const standing = await standingOf(db, id);
  const { to, cc, bcc } = standing;
  const everyone = [...new Set([to, cc ?? [], bcc ?? []].flat().map(addressOf))];
  const recipients = recipientsAgain({ ...standing, recipients: everyone }, options);
  if ((await db.query<{ lacks: boolean }>(LACKS_CONTENT, [id])).rows[0]?.lacks) {
    const why =
      'its row does not hold the content of its attachments, but describes them, as those of the standalone pipeline do, or names where they are';
    throw new StoreError('conflict', `it cannot be sent again: ${why}`);
  }
  const copyId = newOrderedId();
  const { correlationId, traceparent } = newTrace();
  const lists = [to, cc, bcc].map(list => JSON.stringify(among(recipients, list).map(addressOf)));
  const content = mendedRow((await db.query<RowContent>(CONTENT, [id])).rows[0] as RowContent);
  const job = [correlationId, traceparent, options.publish];
  await db.query(COPY_ROW, [id, copyId, ...lists, ...job, JSON.stringify(content)]);
  return { id: copyId, resendOf: id, recipients };
}

/** Earlier versions stored names beside addresses; OpenSend compares bare ones. */
function addressOf(entry: string): string {
  return parseAddressList(entry).mailboxes[0]?.address ?? entry;
}
