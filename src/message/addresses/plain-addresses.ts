import { encodeWords, isPrintable } from '../header/encoded-words.ts';
import { formatMailbox, isAscii, localPartOf, type Mailbox, parseAddress } from './address.ts';
import { parseAddressList } from './address-list.ts';

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
  // A group of nobody.
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

/** Whether the list has nothing in it but mailboxes and groups of them, in the form of RFC 5322 section 3.4 and in ASCII. */
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

/** An encoded word is a legal local part, and decoded by those who should not. */
function isSoundAddress(address: string): boolean {
  return !address.startsWith('=?') && parseAddress(address) !== null;
}
