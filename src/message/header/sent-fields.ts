import { formatMailbox, isAscii, localPartOf, type Mailbox, parseAddress } from '../addresses/address.ts';
import { parseAddressList } from '../addresses/address-list.ts';
import { isControlHeader } from './control-headers.ts';
import { encodeWords, isPrintable } from './encoded-words.ts';
import { firstValue, type HeaderField } from './fields.ts';

/** Recipients must not see these: each would learn of the others (RFC 5322 sections 3.6.3 and 3.6.6). */
const BLIND = new Set(['bcc', 'resent-bcc']);

/**
 * Fields that servers wrote on an earlier journey of the message, and that the next hop would act on. SES takes Return-Path for an
 * identity, and refuses the message. Servers take Delivered-To for a sign that a message goes in circles. Errors-To and Bounces-To
 * ask for notices past the reverse-path. The others name recipients of the envelope, maybe blind ones; only the last server writes
 * them (RFC 5321 section 4.4). `Received` stays, since loops are found by it.
 */
const OF_JOURNEY = new Set([
  'return-path',
  'delivered-to',
  'x-delivered-to',
  'x-original-to',
  'envelope-to',
  'x-envelope-to',
  'x-envelope-from',
  'x-rcpt-to',
  'apparently-to',
  'errors-to',
  'bounces-to',
]);

/** The client's own signatures, which do not hold where SES writes Date and Message-ID anew. */
const SIGNATURES = new Set(['dkim-signature', 'domainkey-signature']);

/**
 * Whether a client's header field goes out. Fields for the relay, fields that name blind recipients and those of an earlier journey
 * do not.
 *
 * @param name in lower case
 * @param unsigned whether the client's signatures are left out too
 */
export function goesOut(name: string, unsigned = false): boolean {
  return !BLIND.has(name) && !OF_JOURNEY.has(name) && !isControlHeader(name) && !(unsigned && SIGNATURES.has(name));
}

/** `Date` and `Message-ID`, where the client left them out, at their longest. */
const MAX_DATE = 64;
const MAX_MESSAGE_ID = 400;

/**
 * The most bytes by which a message may grow when it goes out.
 *
 * @param plain address fields go out in the form that every server reads (`plainAddresses`)
 */
export function mostBytesAdded(fields: readonly HeaderField[], plain: boolean): number {
  const date = firstValue(fields, 'date') === undefined ? MAX_DATE : 0;
  const messageId = firstValue(fields, 'message-id') === undefined ? MAX_MESSAGE_ID : 0;
  const rewritten = plain ? fields.filter(({ name }) => ADDRESS_FIELDS.has(name.toLowerCase())) : [];
  const addresses = rewritten.map(({ name, value }) => {
    const anew = plainAddresses(value);
    return anew === null || anew === value ? 0 : Buffer.byteLength(`${name}: ${anew}`);
  });
  return addresses.reduce((sum, bytes) => sum + bytes, date + messageId);
}

/** Fields of addresses that a next hop reads (RFC 5322 sections 3.6.2 and 3.6.3), in lower case. */
export const ADDRESS_FIELDS: ReadonlySet<string> = new Set(['from', 'sender', 'reply-to', 'to', 'cc']);

const ATOM = String.raw`[\w!#$%&'*+/=?^\x60{|}~-]+`;
const DOT_ATOM = String.raw`${ATOM}(?:\.${ATOM})*`;
const COMMENT = String.raw`\((?:[^()\\]|\\.|\((?:[^()\\]|\\.)*\))*\)`;
const QUOTED = String.raw`"[^"\\]*(?:\\.[^"\\]*)*"`;
/** With what stands in brackets, which is common (`Jo [Sales] <jo@example.com>`) and read by all. */
const PHRASE = String.raw`(?:[\w!#$%&'*+/=?^\x60{|}~. \t-]|\[[\w .-]*\]|${QUOTED}|${COMMENT})*`;
const MAILBOX = new RegExp(`${PHRASE}<(${DOT_ATOM}@${DOT_ATOM})>|(${DOT_ATOM}@${DOT_ATOM})`, 'y');
const GROUP_NAME = new RegExp(`${PHRASE}:`, 'y');
const SPACE = new RegExp(String.raw`(?:[ \t]|${COMMENT})*`, 'y');
/** A name of more characters is folded, so that no line is too long. */
const MAX_NAME = 100;

/**
 * An address field in the form that every server reads: ASCII (no SMTPUTF8, RFC 6531), domains as A-labels, names of other
 * characters as encoded words (RFC 2047), without comments and obsolete syntax.
 *
 * @param value the unfolded field body
 * @returns `value` itself where it is so already; else the field body anew, folded; null where it cannot be read, or an
 *   address has other characters than ASCII before its `@`
 */
export function plainAddresses(value: string): string | null {
  if (isPlain(value)) return value;
  const { mailboxes, ambiguity } = parseAddressList(value);
  if (ambiguity !== null || !mailboxes.every(({ address }) => isAscii(localPartOf(address)))) return null;
  // An empty group.
  return mailboxes.length === 0 ? 'undisclosed-recipients:;' : mailboxes.map(plainMailbox).join(',\r\n ');
}

/**
 * Why a field that goes out cannot be read by every server; null where it can, and where it has no addresses.
 *
 * @param name in lower case
 */
export function unreadableAddresses(name: string, value: string): string | null {
  if (!ADDRESS_FIELDS.has(name) || plainAddresses(value) !== null) return null;
  return parseAddressList(value).ambiguity ?? 'an address has other characters than ASCII before the @';
}

function plainMailbox({ name, address }: Mailbox): string {
  if (!name || (isPrintable(name) && name.length <= MAX_NAME)) return formatMailbox({ name, address });
  return `${encodeWords(name).replaceAll(' ', '\r\n ')}\r\n <${address}>`;
}

/** Whether the list has only mailboxes and groups of them, in the form of RFC 5322 section 3.4 and in ASCII. */
function isPlain(value: string): boolean {
  if (!/^[\t -~]*$/.test(value)) return false;
  let position = 0;
  let inGroup = false;
  let isComplete = false;
  const take = (pattern: RegExp): RegExpExecArray | null => {
    pattern.lastIndex = position;
    const found = pattern.exec(value);
    if (found) position = pattern.lastIndex;
    return found;
  };
  for (;;) {
    take(SPACE);
    const char = value[position];
    if (char === undefined) return !inGroup;
    if (char === ',') isComplete = false;
    else if (char === ';' && inGroup) {
      inGroup = false;
      isComplete = true;
    } else if (isComplete) return false;
    else {
      const [, inBrackets, bare] = take(MAILBOX) ?? [];
      const address = inBrackets ?? bare;
      if (address !== undefined && !isSoundAddress(address)) return false;
      if (address === undefined && (inGroup || !take(GROUP_NAME))) return false;
      isComplete = address !== undefined;
      inGroup ||= !isComplete;
      continue;
    }
    position += 1;
  }
}

/** An encoded word is a legal local part, but some readers decode it. */
function isSoundAddress(address: string): boolean {
  return !address.startsWith('=?') && parseAddress(address) !== null;
}
