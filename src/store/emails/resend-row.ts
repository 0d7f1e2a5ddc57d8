import { parseAddressList } from '../../message/addresses/address-list.ts';
import { mendedRow, type RowContent } from '../../message/header/mended-row.ts';
import { newTrace } from '../../observability/tracing.ts';
import { newOrderedId } from '../../platform/uuid.ts';
import { StoreError } from '../../postgres/errors.ts';
import type { Queryable } from '../../postgres/pool.ts';
import { among, type ResendOptions, type Resent, recipientsAgain, standingOf } from './standing.ts';

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
const COPY = `
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
  await db.query(COPY, [id, copyId, ...lists, ...job, JSON.stringify(content)]);
  return { id: copyId, resendOf: id, recipients };
}

/** Earlier versions stored names beside addresses; OpenSend compares bare ones. */
function addressOf(entry: string): string {
  return parseAddressList(entry).mailboxes[0]?.address ?? entry;
}
