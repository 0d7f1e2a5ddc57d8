import { comparableAddress } from '../../message/addresses/address.ts';
import { StoreError } from '../../postgres/errors.ts';
import type { Queryable } from '../../postgres/pool.ts';

/** As OpenSend writes it. */
export const CANCELED = 'canceled';
/** Read too: earlier versions wrote the second one. */
export const CANCELED_SPELLINGS = [CANCELED, 'cancelled'];

/** The ways in which a status may be written in the table. */
export function statusSpellings(status: string): readonly string[] {
  return CANCELED_SPELLINGS.includes(status) ? CANCELED_SPELLINGS : [status];
}

/**
 * SQL: the status as people are shown it. A message that a worker has is `processing`, which its claim tells: its row stays
 * `queued`. Rows of OpenSend's, and of earlier versions, say so themselves.
 *
 * @param emails the name of the row of `emails`
 */
export function shownStatus(emails: string): string {
  return `(case when ${emails}.status = 'queued' and exists (select from smtp_relay_claims where email_id = ${emails}.id)
       then 'processing' else ${emails}.status end)`;
}

/**
 * Where a message stands, and who has had it. A recipient's last attempt counts, unless an earlier one settled it for good.
 * Attempts are numbered in the order in which they were made.
 */
const STANDING = `
  select ${shownStatus('e')} as status, e."to", e.cc, e.bcc, m.recipients, m.size_bytes as "sizeBytes", c.state as claim, c.worker,
         array(select distinct r from smtp_relay_attempts a, jsonb_array_elements_text(a.recipients) r
                where a.email_id = e.id and a.outcome = 'sent') as sent
    from emails e
    left join smtp_relay_messages m on m.email_id = e.id
    left join smtp_relay_claims c on c.email_id = e.id
   where e.id = $1`;

export interface Standing {
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

export interface ResendOptions {
  /** Only to recipients that it was not sent to. */
  readonly failedOnly: boolean;
  /** Also to those that have had it. */
  readonly twice: boolean;
}

/** A copy of a message that is sent in its place. */
export interface Resent {
  readonly id: string;
  readonly resendOf: string;
  readonly recipients: readonly string[];
}

export const NOT_KEPT = 'it is not kept as it was received any more (retention.raw), so it cannot be sent again';

/**
 * Who gets a message once more.
 *
 * @throws StoreError `conflict` where it is not done, is not kept any more, or would reach somebody a second time unasked
 */
export function recipientsAgain(standing: Standing, { failedOnly, twice }: ResendOptions): readonly string[] {
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

/** @throws StoreError `not-found` */
export async function standingOf(db: Queryable, id: string): Promise<Standing> {
  const standing = (await db.query<Standing>(STANDING, [id])).rows[0];
  if (!standing) throw new StoreError('not-found', `no message has the id "${id}"`, 'emails');
  return standing;
}

/** Those entries of To, Cc or Bcc that are recipients. */
export function among(recipients: readonly string[], list: readonly string[] | null): string[] {
  return (list ?? []).filter(entry => recipients.some(address => names(entry, address)));
}

/** Whether an entry of To, Cc or Bcc, maybe with a display name, is that address. */
function names(entry: string, address: string): boolean {
  const written = /<([^<>]*)>$/.exec(entry)?.[1] ?? entry;
  return comparableAddress(written) === comparableAddress(address);
}
