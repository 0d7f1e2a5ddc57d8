import { formatMailbox } from '../message/address.ts';
import { sha256 } from '../message/digest.ts';
import type { MessageParts } from '../message/parts.ts';
import { contentRefusal } from '../message/refusal.ts';
import { messageIdOf, replyToAddresses, rowHeaders, subjectOf } from '../message/row-fields.ts';
import type { TraceContext } from '../observability/trace.ts';
import type { IdempotencyClaim } from '../store/idempotency.ts';
import type { UsageCount } from '../store/key-usage.ts';
import type { Arrival, NewMessage, OriginalMessage } from '../store/new-message.ts';
import type { AcceptSettings, Envelope, ReadHeader, Submission } from './submission.ts';

/** Everything that is known of an accepted message. */
export interface AcceptedMessage {
  readonly id: string;
  readonly owner: Submission['owner'];
  readonly envelope: Envelope;
  readonly arrival: Arrival;
  /** Recipients that were refused at RCPT, since they are on the suppression list. */
  readonly refused: readonly string[];
  /** Some recipient is outside the allow list. */
  readonly captured: boolean;
  readonly counted: UsageCount | undefined;
  readonly raw: Buffer;
  readonly header: ReadHeader;
  readonly parts: MessageParts;
  readonly claim: IdempotencyClaim | null;
  readonly trace: TraceContext;
}

/** `emails.from` is varchar(512), which counts characters and not UTF-16 units. */
const MAX_FROM = 512;

/** The message in the shape of its row. */
export async function buildRow(message: AcceptedMessage, settings: AcceptSettings): Promise<NewMessage> {
  const { id, owner, header, parts, claim, trace, counted } = message;
  return {
    id,
    userId: owner.userId,
    from: formatMailbox(header.sender.from),
    to: header.recipients.to.map(formatMailbox),
    cc: header.recipients.cc.map(formatMailbox),
    bcc: header.recipients.bcc.map(formatMailbox),
    replyTo: replyToAddresses(header.fields),
    subject: subjectOf(header.fields),
    text: parts.text,
    html: parts.html,
    headers: rowHeaders(header.fields),
    attachments: parts.attachments,
    attachmentsJson: parts.attachmentsJson,
    tags: header.control.tags,
    trace,
    original: settings.keepOriginal ? await originalOf(message) : null,
    idempotency: claim,
    ...(counted && { counted }),
  };
}

async function originalOf(message: AcceptedMessage): Promise<OriginalMessage> {
  const { raw, envelope, header, arrival, captured, refused } = message;
  const { to, cc, bcc } = header.recipients;
  return {
    raw,
    sha256: await sha256(raw),
    reversePath: envelope.reversePath,
    recipients: [...to, ...cc, ...bcc].map(mailbox => mailbox.address),
    bodyType: envelope.bodyType,
    smtpUtf8: envelope.smtpUtf8,
    messageId: messageIdOf(header.fields),
    trackOpens: header.control.trackOpens,
    trackClicks: header.control.trackClicks,
    arrival,
    captured,
    ...(refused.length > 0 && { refused }),
  };
}

/**
 * Refuses what Postgres would: it stores no NUL in text or JSON, and the message would be tried again for ever. What it refuses
 * for another reason is a fault of the installation, and not the client's.
 *
 * @throws Refusal 554
 */
export function refuseUnstorable(row: NewMessage): void {
  if (textsOf(row).some(text => text?.includes('\0'))) {
    throw contentRefusal('nul', 'A header or text part decodes to a NUL character, which cannot be stored: remove it');
  }
  if ([...row.from].length > MAX_FROM) {
    throw contentRefusal(
      'from_length',
      `The From header has more than ${MAX_FROM} characters: shorten the display name`,
    );
  }
}

/** All that comes from the client. */
function textsOf({ original, ...row }: NewMessage): (string | null | undefined)[] {
  return [
    row.from,
    row.subject,
    row.text,
    row.html,
    ...[row.to, row.cc, row.bcc, row.replyTo].flat(),
    ...Object.entries(row.headers).flat(),
    ...row.tags.flatMap(({ name, value }) => [name, value]),
    ...row.attachments.flatMap(({ filename, contentType, contentId }) => [filename, contentType, contentId]),
    row.idempotency?.key,
    original?.reversePath,
    original?.messageId,
    ...(original?.recipients ?? []),
  ];
}
