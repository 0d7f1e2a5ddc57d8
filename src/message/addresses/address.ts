import { isIPv4, isIPv6 } from 'node:net';
import { domainToASCII, domainToUnicode } from 'node:url';

/** A mailbox as in RFC 5322 section 3.4, its domain as A-labels. */
export interface Mailbox {
  /** Decoded display name, or null. */
  readonly name: string | null;
  /** `local-part@domain`; the domain in A-labels, the case as the client wrote it. */
  readonly address: string;
}

/** The largest address that fits an RFC 5321 path of 256 octets (section 4.5.3.1.3). */
const MAX_ADDRESS = 254;
const MAX_LOCAL_PART = 64;
const MAX_DOMAIN = 253;

const DOT_ATOM = /^[\w!#$%&'*+/=?^`{|}~\u0080-\u{10ffff}-]+(?:\.[\w!#$%&'*+/=?^`{|}~\u0080-\u{10ffff}-]+)*$/u;
/** Dots where RFC 5321 has none: at an end, or two in a row. Mobile carriers gave out such addresses. */
const ODD_DOTS = /^[\w!#$%&'*+/=?^`{|}~\u0080-\u{10ffff}.-]+$/u;
const QUOTED_LOCAL_PART = /^"(?:[^"\\\p{Cc}]|\\[^\p{Cc}])*"$/u;
/** Characters that no reader shows, or shows as a space. The joiners of Persian and Indian scripts (U+200C, U+200D) may stay. */
const INVISIBLE = /[\p{Cc}\u0085\u00a0\u1680\u2000-\u200b\u2028-\u202f\u205f\u3000]|(?![\u200c\u200d])\p{Cf}/u;
const LABEL = /^[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?$/i;
// biome-ignore lint/suspicious/noControlCharactersInRegex: the class is "all of ASCII"
const ASCII = /^[\x00-\x7f]*$/;

/** Whether the text has only ASCII characters, so that no SMTPUTF8 is needed to carry it (RFC 6531). */
export function isAscii(text: string): boolean {
  return ASCII.test(text);
}

/**
 * Reads `local-part@domain` (RFC 5321 section 4.1.2: dot-string or quoted-string; domain or address literal).
 * The domain comes back as A-labels (RFC 5891); an ASCII one keeps its case.
 *
 * @returns the address, or null where it is not one.
 */
export function parseAddress(text: string): string | null {
  const at = text.lastIndexOf('@');
  if (at < 1 || text.length > MAX_ADDRESS || INVISIBLE.test(text)) return null;
  const localPart = text.slice(0, at);
  if (Buffer.byteLength(localPart) > MAX_LOCAL_PART) return null;
  if (!DOT_ATOM.test(localPart) && !QUOTED_LOCAL_PART.test(localPart)) return null;
  const domain = parseDomain(text.slice(at + 1));
  return domain === null ? null : `${localPart}@${domain}`;
}

function parseDomain(text: string): string | null {
  if (text.startsWith('[')) return isAddressLiteral(text) ? text : null;
  const domain = toALabels(text);
  if (domain === null || domain.length > MAX_DOMAIN) return null;
  return domain.split('.').every(label => LABEL.test(label)) ? domain : null;
}

/**
 * The domain as A-labels; null where the mapping of UTS 46 would make another name of it (a soft hyphen vanishes, fullwidth letters
 * and `。` become ASCII), or where an A-label stands for what needs none: readers differ about whose domain that is. Case and
 * nothing else may change.
 */
function toALabels(text: string): string | null {
  if (isAscii(text) && !/xn--/i.test(text)) return text;
  const ascii = domainToASCII(text);
  const unicode = domainToUnicode(ascii);
  const same = isAscii(text) ? ascii === text.toLowerCase() : unicode === text.toLowerCase();
  if (ascii === '' || !same || text.normalize('NFC') !== text || domainToASCII(unicode) !== ascii) return null;
  return isAscii(text) ? text : ascii;
}

/** RFC 5321 section 4.1.3. */
function isAddressLiteral(text: string): boolean {
  if (!text.endsWith(']')) return false;
  const inner = text.slice(1, -1);
  return /^ipv6:/i.test(inner) ? isIPv6(inner.slice(5)) : isIPv4(inner);
}

/** The domain of an address that `parseAddress` has read, lower case, A-labels. */
export function domainOf(address: string): string {
  return address.slice(address.lastIndexOf('@') + 1).toLowerCase();
}

/** The local part of an address that `parseAddress` has read. */
export function localPartOf(address: string): string {
  return address.slice(0, address.lastIndexOf('@'));
}

/**
 * A domain name in the form that is compared: lower case, A-labels, no white space around it. An invalid internationalised name
 * is only put in lower case, so that it equals nothing but itself.
 */
export function comparableDomain(domain: string): string {
  const trimmed = domain.trim().toLowerCase();
  return domainToASCII(trimmed) || trimmed;
}

/**
 * An address whose local part has odd dots (`user..name.@docomo.test`) with quotes around it, as RFC 5321 asks for; all else as
 * it is.
 */
export function quoteOddDots(text: string): string {
  const at = text.lastIndexOf('@');
  const localPart = text.slice(0, Math.max(0, at));
  return ODD_DOTS.test(localPart) && !DOT_ATOM.test(localPart) ? `"${localPart}"${text.slice(at)}` : text;
}

/**
 * The one way to write an address among several that are the same mailbox (RFC 5321 section 4.1.2): quotes and backslashes in
 * the local part only where they are needed.
 */
export function canonicalAddress(address: string): string {
  const at = address.lastIndexOf('@');
  if (at < 1) return address;
  const localPart = address.slice(0, at);
  const content = QUOTED_LOCAL_PART.test(localPart) ? localPart.slice(1, -1).replaceAll(/\\(.)/gu, '$1') : localPart;
  const needsNone = DOT_ATOM.test(content);
  return `${needsNone ? content : `"${content.replaceAll(/["\\]/g, '\\$&')}"`}${address.slice(at)}`;
}

/** An address in the form in which suppressions and recipients are compared: lower case, domain in A-labels, no needless quotes. */
export function comparableAddress(address: string): string {
  return canonicalAddress(address).toLowerCase();
}

/**
 * The forms under which an address may stand on a suppression list: ours (A-labels) and those that another program sharing the
 * table may have written: a local part with the quotes that ours lacks, or without those that it has, and the Unicode form of an
 * internationalised domain.
 */
export function suppressionForms(address: string): readonly string[] {
  const comparable = comparableAddress(address);
  const [localPart, domain] = [localPartOf(comparable), domainOf(comparable)];
  const content = localPart.startsWith('"') ? localPart.slice(1, -1) : localPart;
  const localParts = ODD_DOTS.test(content)
    ? [localPart, localPart === content ? `"${content}"` : content]
    : [localPart];
  const domains = domain.includes('xn--') ? [domain, domainToUnicode(domain)] : [domain];
  return domains.flatMap(name => localParts.map(part => `${part}@${name}`));
}

const NEEDS_QUOTES = /[()<>[\]:;@\\,."]|^\s|\s$/;

/** `Name <address>` as header fields and the `emails` table carry it; the name is quoted where RFC 5322 asks for it. */
export function formatMailbox(mailbox: Mailbox): string {
  if (!mailbox.name) return mailbox.address;
  const name = NEEDS_QUOTES.test(mailbox.name) ? `"${mailbox.name.replaceAll(/["\\]/g, '\\$&')}"` : mailbox.name;
  return `${name} <${mailbox.address}>`;
}
