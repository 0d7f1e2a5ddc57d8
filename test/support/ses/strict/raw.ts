import { readAddresses } from './addresses.ts';
import { type Field, readSection, valuesOf } from './header-section.ts';
import { mimeFault } from './mime.ts';
import { firstFault } from './refused.ts';

/** SES developer guide, "header fields": what "can't appear more than once in the header section of a message". */
const ONCE_ONLY = `
  Accept-Language acceptLanguage Archived-At Auto-Submitted Bounces-to Comments Content-Alternative Content-Base
  Content-Class Content-Description Content-Disposition Content-Duration Content-ID Content-Language Content-Length
  Content-Location Content-MD5 Content-Transfer-Encoding Content-Type Date Delivered-To Disposition-Notification-Options
  Disposition-Notification-To DKIM-Signature DomainKey-Signature Errors-To From Importance In-Reply-To Keywords
  List-Archive List-Help List-Id List-Owner List-Post List-Subscribe List-Unsubscribe List-Unsubscribe-Post
  Message-Context Message-ID MIME-Version Organization Original-From Original-Message-ID Original-Recipient
  Original-Subject Precedence Priority References Reply-To Return-Path Return-Receipt-To Sender Solicitation Sensitivity
  Subject Thread-Index Thread-Topic User-Agent VBR-Info`;
/** RFC 5322 section 3.6: at most one of each, which SES's list leaves out, and receivers refuse. */
const ONCE_BY_RFC_5322 = ['To', 'Cc', 'Bcc'];
const ONCE = new Set([...ONCE_ONLY.trim().split(/\s+/), ...ONCE_BY_RFC_5322].map(name => name.toLowerCase()));
/** "The length of any single line […] can't exceed 1,000 characters" ("RawMessage"), and v1 adds: its CRLF included. */
const MAX_LINE = 998;
/** SES quotas: "40 MB per message (after base64 encoding)", as attachments have it in the message. */
const MAX_MESSAGE = 41_943_040;
const ONE_ADDRESS = ['from', 'sender'];
const ADDRESS_LISTS = ['reply-to', 'to', 'cc', 'bcc', 'return-path'];

/** What SES says is wrong with `Content.Raw`, but for identities (`identityFault`); null where it takes it. */
export function rawFault(raw: Buffer): string | null {
  const { fields, fault, bodyAt } = readSection(raw);
  return firstFault([
    () => (raw.length > MAX_MESSAGE ? `Message length is more than ${MAX_MESSAGE} bytes long: '${raw.length}'.` : null),
    () => fault,
    // "The message has to contain a header and a body, separated by one blank line" ("RawMessage").
    () => (bodyAt === null ? 'Missing blank line between header and body.' : null),
    () => lineFault(raw),
    () => duplicateFault(fields),
    // "All of the required header fields must be present in the message" ("RawMessage").
    () => (valuesOf(fields, 'from').length === 0 ? `Missing required header 'From'.` : null),
    () => addressFault(fields),
    () => mimeFault({ raw, fields, start: bodyAt ?? raw.length, end: raw.length, depth: 0 }),
  ]);
}

function lineFault(raw: Buffer): string | null {
  let start = 0;
  while (start < raw.length) {
    const lineFeed = raw.indexOf(0x0a, start);
    const end = lineFeed === -1 ? raw.length : lineFeed;
    const length = end - start - (raw[end - 1] === 0x0d ? 1 : 0);
    if (length > MAX_LINE) return `A line has ${length} characters, more than ${MAX_LINE}.`;
    start = end + 1;
  }
  return null;
}

function duplicateFault(fields: readonly Field[]): string | null {
  const seen = new Set<string>();
  for (const { name } of fields) {
    const key = name.toLowerCase();
    if (ONCE.has(key) && seen.has(key)) return `Duplicate header '${name}'.`;
    seen.add(key);
  }
  return null;
}

/**
 * RFC 822 section 4.1: these fields have addresses. Other fields are text, and that text is to be ASCII is not said: OpenSend's
 * worker writes subjects in UTF-8, which arrive. Nor is it said of an empty list, which it writes where all are in Bcc.
 */
function addressFault(fields: readonly Field[]): string | null {
  for (const { name, value } of fields) {
    const key = name.toLowerCase();
    const isOne = ONE_ADDRESS.includes(key);
    if (!isOne && !ADDRESS_LISTS.includes(key)) continue;
    if (key === 'return-path' && /^<\s*>$/.test(value)) continue;
    const { addresses, fault } = readAddresses(value);
    if (fault !== null) return fault;
    if (isOne && addresses.length !== 1) return `Header '${name}' must have exactly one address.`;
  }
  return null;
}

/** The domain that the message must be verified for besides that of From, or null. */
export function returnPathDomain(raw: Buffer): string | null {
  const { fields } = readSection(raw);
  const domains = (name: string) => valuesOf(fields, name).flatMap(value => readAddresses(value).addresses ?? []);
  const [from] = domains('from');
  const [path] = domains('return-path');
  const domainOf = (address: string) => address.slice(address.lastIndexOf('@') + 1).toLowerCase();
  return path === undefined || (from !== undefined && domainOf(from) === domainOf(path)) ? null : domainOf(path);
}
