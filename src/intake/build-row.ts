import { formatMailbox, type Mailbox } from '../message/addresses/address.ts';
import { type MessageBytes, sha256, wholeOf } from '../message/bytes.ts';
import { MAX_MAILBOX, rowMailbox } from '../message/header/encoded-words.ts';
import type { LeftOutHeader } from '../message/header/row-headers.ts';
import { refuseLongFields } from '../message/header/sendable-lines.ts';
import type { MessageParts } from '../message/mime/parts.ts';
import { contentRefusal, type Refusal } from '../message/refusal.ts';
import { bytesOf, hasNul } from '../message/text/body-text.ts';
import type { TraceContext } from '../observability/tracing.ts';
import type { UsageCount } from '../store/keys/usage.ts';
import type { Arrival, IdempotencyClaim, NewMessage, OriginalMessage } from '../store/messages/new-message.ts';
import type { HeaderContent } from './header-steps.ts';
import type { Envelope, ReadHeader } from './submission.ts';

/** Everything that is known of an accepted message. */
export interface AcceptedMessage {
  readonly id: string;
  readonly userId: string;
  readonly envelope: Envelope;
  readonly arrival: Arrival;
  /** Recipients that were refused at RCPT, since they are on the suppression list. */
  readonly refused: readonly string[];
  /** Some recipient is outside the allow list. */
  readonly captured: boolean;
  /** Its key is in sandbox. */
  readonly sandbox: boolean;
  readonly counted: UsageCount | undefined;
  /** All recipients. */
  readonly suppressible: readonly string[];
  readonly raw: MessageBytes;
  /** Of `raw`, where it is known already. */
  readonly sha256: Uint8Array | null;
  readonly header: ReadHeader;
  readonly content: HeaderContent;
  readonly parts: MessageParts;
  readonly claim: IdempotencyClaim | null;
  readonly trace: TraceContext;
}

export interface BuiltRow {
  readonly row: NewMessage;
  /** Headers that the row cannot carry. */
  readonly leftOut: readonly LeftOutHeader[];
}

/**
 * The message in the shape of its row.
 *
 * @param keepOriginal keep the message as received beside the row; else attachments go into the row
 * @throws Refusal for what no row can carry, or, beside OpenSend, what its worker could not send of one
 */
export async function buildRow(message: AcceptedMessage, keepOriginal: boolean): Promise<BuiltRow> {
  const { id, userId, header, content, parts, claim, trace, counted, suppressible } = message;
  const { recipients } = header;
  refuseUnstorableNames(header, content.replyTo);
  const row = {
    id,
    userId,
    to: recipients.to.map(addressOf),
    cc: recipients.cc.map(addressOf),
    bcc: recipients.bcc.map(addressOf),
    subject: header.subject,
    ...(keepOriginal ? asReceived(message) : forOpenSend(message)),
    headers: content.headers,
    attachments: parts.attachments,
    attachmentsJson: parts.attachmentsJson,
    ...(parts.contentApart && { contentApart: parts.contentApart }),
    tags: header.control.tags,
    trace,
    messageId: content.messageId,
    original: keepOriginal ? originalOf(message, await hashOf(message)) : null,
    idempotency: claim,
    ...(counted && { counted }),
    suppressible,
  };
  if (hasNulInFields(row) || (await hasNul(row.text)) || (await hasNul(row.html))) throw nulRefusal();
  if (!keepOriginal && row.attachments.length > 0) refuseLongFields(row);
  return { row, leftOut: content.leftOut };
}

/** What the pipelines' rows differ in, beside their headers. */
type Content = Pick<NewMessage, 'from' | 'replyTo' | 'text' | 'html'>;

function asReceived({ header, content, parts }: AcceptedMessage): Content {
  const { text, html } = parts;
  return { from: formatMailbox(header.sender.from), replyTo: content.replyTo.map(formatMailbox), text, html };
}

/** The row is all that OpenSend's worker has: what it makes of it, SES has to take. */
function forOpenSend({ header, content, parts }: AcceptedMessage): Content {
  const html = parts.html?.length ? parts.html : null;
  const text = parts.text?.length ? parts.text : html === null ? NO_TEXT : null;
  return { from: rowMailbox(header.sender.from), replyTo: content.replyTo.map(rowMailbox), text, html };
}

/** SES refuses a message without a body, and a multipart without one is malformed. */
const NO_TEXT = '\n';

function addressOf({ address }: Mailbox): string {
  return address;
}

function hashOf({ raw, sha256: known }: AcceptedMessage): Buffer | Promise<Buffer> {
  return known ? bytesOf(known) : sha256(wholeOf(raw));
}

function originalOf(message: AcceptedMessage, hash: Buffer): OriginalMessage {
  const { raw, envelope, header, arrival, captured, sandbox, refused } = message;
  const { to, cc, bcc } = header.recipients;
  const { idempotencyKey, tags, ...controls } = header.control;
  return {
    raw,
    sha256: hash,
    reversePath: envelope.reversePath,
    recipients: [...to, ...cc, ...bcc].map(addressOf),
    bodyType: envelope.bodyType,
    smtpUtf8: envelope.smtpUtf8,
    ...controls,
    arrival,
    // A worker of the version before knows no sandbox, and is not to send it either.
    captured: captured || sandbox,
    ...(sandbox && { sandbox }),
    ...(refused.length > 0 && { refused }),
  };
}

/** Names that the row does not hold, or only encoded, are no different from those that it holds. */
function refuseUnstorableNames({ sender, recipients }: ReadHeader, replyTo: readonly Mailbox[]): void {
  const named = [sender.from, ...replyTo, ...recipients.to, ...recipients.cc, ...recipients.bcc];
  if (named.some(({ name }) => name?.includes('\0'))) throw nulRefusal();
  if ([...formatMailbox(sender.from)].length > MAX_MAILBOX) {
    throw contentRefusal(
      'from_length',
      `The From header has more than ${MAX_MAILBOX} characters: shorten the display name`,
    );
  }
}

/**
 * Postgres stores no NUL in text or JSON, and the message would be tried again for ever. What it refuses for another reason is a
 * fault of the installation, and not the client's.
 */
function hasNulInFields(row: NewMessage): boolean {
  return textsOf(row).some(text => text?.includes('\0'));
}

function nulRefusal(): Refusal {
  return contentRefusal('nul', 'A header or text part decodes to a NUL character, which cannot be stored: remove it');
}

/** All that comes from the client, but for the bodies. */
function textsOf({ original, ...row }: NewMessage): (string | null | undefined)[] {
  return [
    row.from,
    row.subject,
    ...[row.to, row.cc, row.bcc, row.replyTo].flat(),
    ...Object.entries(row.headers).flat(),
    ...row.tags.flatMap(({ name, value }) => [name, value]),
    ...row.attachments.flatMap(({ filename, contentType, contentId }) => [filename, contentType, contentId]),
    row.idempotency?.key,
    original?.reversePath,
    row.messageId,
    ...(original?.recipients ?? []),
  ];
}
