import type { TransportKind } from '../config/transports/list.ts';
import { isAscii, type Mailbox } from '../message/addresses/address.ts';
import { readReplyTo, readSender } from '../message/addresses/originators.ts';
import { type RecipientSource, refuseTooMany, resolveRecipients } from '../message/addresses/recipients.ts';
import { readControlHeaders } from '../message/header/control-headers.ts';
import { type HeaderField, readHeaderFields } from '../message/header/fields.ts';
import {
  type LeftOutHeader,
  messageIdOf,
  replyToOf,
  rowHeaders,
  sendableHeaders,
  subjectOf,
} from '../message/header/row-headers.ts';
import { policyRefusal, Refusal, type RefusalDetail, sizeRefusal } from '../message/refusal.ts';
import { transportLimits } from '../routing/routes.ts';
import { decide, type Facts, type Subject, unsupportedLocalPart } from './decide.ts';
import type { ReadHeader } from './submission.ts';

/** What is asked of a header before anything else. */
export interface HeaderQuestion {
  readonly headerBytes: number;
  readonly recipientSource: RecipientSource;
  /** The RCPT TO addresses. */
  readonly envelope: readonly string[];
  readonly mostRecipients: number;
}

/** What a row has of the header, as the pipeline wants it. */
export interface HeaderContent {
  readonly replyTo: readonly Mailbox[];
  readonly messageId: string | null;
  readonly headers: Readonly<Record<string, string>>;
  /** Headers that the row cannot carry. */
  readonly leftOut: readonly LeftOutHeader[];
}

/** A header and the fields that it was read from. */
export interface Header {
  readonly header: ReadHeader;
  readonly fields: readonly HeaderField[];
}

/** Bytes that a line of a header counts for at least, as it does in parts: each is an object of its own. */
const LEAST_LINE = 64;
const LF = 0x0a;

/** @throws Refusal for what cannot be read, or names too many recipients */
export function readHeader(raw: Buffer, question: HeaderQuestion): Header {
  const { headerBytes, recipientSource, envelope, mostRecipients } = question;
  const fields = readHeaderFields(raw, headerBytes);
  refuseManyLines(fields, raw, headerBytes);
  const sender = readSender(fields);
  const recipients = resolveRecipients(recipientSource, envelope, fields);
  refuseTooMany(recipientSource, recipients, mostRecipients);
  return { fields, header: { sender, recipients, control: readControlHeaders(fields), subject: subjectOf(fields) } };
}

function refuseManyLines(fields: readonly HeaderField[], raw: Buffer, headerBytes: number): void {
  const most = Math.ceil(headerBytes / LEAST_LINE);
  // Folded ones have several.
  if (fields.length <= most && !hasMoreLines(raw, headerBytes, most)) return;
  throw sizeRefusal('header_size', `Message header has more than ${most} lines: shorten it`);
}

function hasMoreLines(raw: Buffer, headerBytes: number, most: number): boolean {
  if (raw.length < most) return false;
  const end = Math.min(headerBytes, endOfHeader(raw));
  let lines = 0;
  for (let at = raw.indexOf(LF); at !== -1 && at < end && lines <= most; at = raw.indexOf(LF, at + 1)) lines += 1;
  return lines > most;
}

const HEADER_END = Buffer.from('\r\n\r\n');

function endOfHeader(raw: Buffer): number {
  const end = raw.indexOf(HEADER_END);
  return end === -1 ? raw.length : end;
}

/** `decide`, with the fields of the header. */
export function decideWith(fields: readonly HeaderField[], subject: Omit<Subject, 'fields'>, facts: Facts) {
  return decide({ ...subject, fields }, facts);
}

/**
 * @param hasAttachments OpenSend's worker writes another message then
 * @throws Refusal for what no row can carry, or, beside OpenSend, what its worker could not send of one
 */
export function contentOf({ fields, header }: Header, hasAttachments: boolean, keepOriginal: boolean): HeaderContent {
  const replyTo = replyToOf(fields);
  const messageId = messageIdOf(fields);
  // The row only describes a message that is sent as it was received: what is in it is for people to read.
  if (keepOriginal) return { replyTo, messageId, headers: rowHeaders(fields), leftOut: [] };
  if (readReplyTo(fields).isUnreadable) throw unreadableReplyTo();
  refuseForeignAddresses(header, replyTo);
  return { replyTo, messageId, ...sendableHeaders(fields, hasAttachments) };
}

/** The row would not have it, and answers would go to the sender. */
function unreadableReplyTo(): Refusal {
  const text = 'The Reply-To header has an address that cannot be read: write it as "Name <address>"';
  return policyRefusal('reply_to_syntax', text);
}

/** SES decodes encoded words where they are no address, and refuses what comes out; those of recipients are ASCII by now. */
function refuseForeignAddresses({ recipients: { to, cc, bcc } }: ReadHeader, replyTo: readonly Mailbox[]): void {
  if (replyTo.some(({ address }) => !isAscii(address))) throw unsupportedLocalPart();
  const isEncoded = ({ address }: Mailbox): boolean => /^=\?.*\?=@/.test(address);
  if (![...to, ...cc, ...bcc, ...replyTo].some(isEncoded)) return;
  const text = 'An address has an encoded word before the @, which cannot be delivered: send it decoded';
  throw new Refusal({ code: 553, enhancedCode: '5.1.3', text, rule: 'encoded_address' });
}

/** What is known, in a form that reaches another thread. */
interface PlainFacts extends Omit<Facts, 'transport'> {
  readonly transport: TransportKind;
}

/** The header section as it was received, and what is to be done with it. It is read anew each time. */
export type HeaderTask = { readonly section: Uint8Array; readonly question: HeaderQuestion } & (
  | { readonly step: 'read' }
  | { readonly step: 'decide'; readonly subject: Omit<Subject, 'fields'>; readonly facts: PlainFacts }
  | { readonly step: 'content'; readonly hasAttachments: boolean; readonly keepOriginal: boolean }
);

export interface HeaderAnswer {
  readonly header?: ReadHeader;
  readonly content?: HeaderContent;
  readonly refusal?: RefusalDetail;
}

/** What runs in a worker thread (`HeaderReader`): this file is its entry. */
export default function work(task: HeaderTask): HeaderAnswer {
  try {
    return answer(task);
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    return { refusal: error.detail };
  }
}

function answer(task: HeaderTask): HeaderAnswer {
  const { buffer, byteOffset, byteLength } = task.section;
  const read = readHeader(Buffer.from(buffer, byteOffset, byteLength), task.question);
  switch (task.step) {
    case 'read':
      return { header: read.header };
    case 'content':
      return { content: contentOf(read, task.hasAttachments, task.keepOriginal) };
    case 'decide': {
      const facts = { ...task.facts, transport: transportLimits(task.facts.transport) };
      const refusal = decideWith(read.fields, task.subject, facts);
      return refusal ? { refusal: refusal.detail } : {};
    }
  }
}
