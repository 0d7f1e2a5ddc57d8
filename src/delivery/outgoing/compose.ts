import { isAscii } from 'node:buffer';
import { isIPv6 } from 'node:net';
import { bodyOffset, fieldText, unfold } from '../../message/header/fields.ts';
import { ADDRESS_FIELDS, goesOut, plainAddresses } from '../../message/header/sent-fields.ts';
import { SEALING_FIELDS } from '../../message/mime/part-header.ts';
import type { Arrival } from '../../store/messages/new-message.ts';

export interface ComposeOptions {
  readonly emailId: string;
  /** When the message was accepted: its Date, where the client gave none. */
  readonly acceptedAt: Date;
  /** The domain of From, as an A-label. */
  readonly fromDomain: string;
  /** A field to stand above all others, with its CRLF; empty for none (`receivedField`). */
  readonly received?: string;
  /** Whether address fields go out in the form that every server reads (`plainAddresses`); else as they were written. */
  readonly plainAddresses?: boolean;
  /** Whether the client's DKIM signatures are left out. */
  readonly unsigned?: boolean;
  /** Whether those with a Unicode domain do, unless the client has signed them. */
  readonly plainDomains?: boolean;
}

const CRLF = '\r\n';

/**
 * What goes out of a message: the bytes received, less what does not go out (`goesOut`), plus `Date` and `Message-ID`
 * where the client left them out (RFC 6409 sections 8.1 and 8.2), `Received:` on top, and an empty line behind the header
 * section where there was none. All other bytes stay, so that signatures of the client's own hold.
 *
 * Only the header section is looked at. Where something changes, the message is copied once, slices of the old bytes
 * being joined; where nothing does, `raw` itself is returned.
 *
 * @param raw as stored: lines end with CRLF, the header section was found to be one when the message was accepted
 */
export function compose(raw: Buffer, options: ComposeOptions): Buffer {
  const { received = '' } = options;
  const end = bodyOffset(raw);
  const header = raw.toString('latin1', 0, end);
  const rewrite = createRewrite(raw.subarray(0, end), options);
  const kept: Buffer[] = received === '' ? [] : [Buffer.from(received, 'latin1')];
  const names = new Set<string>();
  let keptFrom = 0;
  let position = 0;
  while (position < header.length && !header.startsWith(CRLF, position)) {
    const next = endOfField(header, position);
    const name = nameOf(header, position, next);
    const isSent = goesOut(name, options.unsigned);
    if (isSent) names.add(name);
    const instead = isSent ? (rewrite?.(name, position, next) ?? null) : Buffer.alloc(0);
    if (instead !== null) {
      kept.push(raw.subarray(keptFrom, position), instead);
      keptFrom = next;
    }
    position = next;
  }
  const hasBody = header.startsWith(CRLF, position);
  const added = missingFields(names, options) + (hasBody ? '' : CRLF);
  if (keptFrom === 0 && kept.length === 0 && added === '') return raw;
  kept.push(raw.subarray(keptFrom, position));
  // A message of header fields only may end without a line break.
  const isCutOff = position > keptFrom && !header.endsWith(CRLF, position);
  if (added !== '') kept.push(Buffer.from((isCutOff ? CRLF : '') + added, 'latin1'));
  kept.push(raw.subarray(position));
  return Buffer.concat(kept);
}

type Rewrite = (name: string, start: number, end: number) => Buffer | null;

/** How an address field of the section is written anew; null for a field that goes out as it is. */
function createRewrite(section: Buffer, { plainAddresses: all, plainDomains }: ComposeOptions): Rewrite | null {
  if (!all && (!plainDomains || isAscii(section) || isSigned(section))) return null;
  return (name, start, end) => {
    if (!ADDRESS_FIELDS.has(name)) return null;
    // As `readHeaderFields` reads it, so that what was found to be sendable is what is sent.
    const line = fieldText(section.subarray(start, end));
    const colon = line.indexOf(':');
    const value = unfold(line.slice(colon + 1));
    const plain = all || FOREIGN_DOMAIN.test(value) ? plainAddresses(value) : null;
    return plain === null || plain === value ? null : Buffer.from(`${line.slice(0, colon).trimEnd()}: ${plain}${CRLF}`);
  };
}

const FOREIGN_DOMAIN = /@[^\s<>,;:"()@]*[^\0-\x7f]/;
const SIGNATURES = new RegExp(`^(?:${SEALING_FIELDS.join('|')})[ \\t]*:`, 'im');

function isSigned(section: Buffer): boolean {
  return SIGNATURES.test(section.toString('latin1'));
}

/** The offset behind a field's last line. Told as `readHeaderFields` tells it, so that both see the same fields. */
function endOfField(header: string, start: number): number {
  let position = start;
  for (;;) {
    const lineEnd = header.indexOf(CRLF, position);
    if (lineEnd === -1) return header.length;
    position = lineEnd + CRLF.length;
    const next = header[position];
    if (next !== ' ' && next !== '\t') return position;
  }
}

function nameOf(header: string, start: number, end: number): string {
  const colon = header.indexOf(':', start);
  return colon === -1 || colon >= end ? '' : header.slice(start, colon).trimEnd().toLowerCase();
}

function missingFields(names: ReadonlySet<string>, { emailId, acceptedAt, fromDomain }: ComposeOptions): string {
  const date = names.has('date') ? '' : `Date: ${acceptedAt.toUTCString().replace(/GMT$/, '+0000')}${CRLF}`;
  const messageId = names.has('message-id') ? '' : `Message-ID: <${emailId}@${fromDomain}>${CRLF}`;
  return date + messageId;
}

export type ReceivedMode = 'full' | 'private' | 'off';

export interface ReceivedFacts {
  readonly emailId: string;
  readonly acceptedAt: Date;
  readonly recipients: readonly string[];
  /** null for a message that did not come by SMTP. */
  readonly arrival: Arrival | null;
}

/** What a client calls itself is its own affair; only a domain or an address literal may stand in the field. */
const DOMAIN = /^(?=.{1,253}$)[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*$/i;
/** Stands for a client that is not told of. */
const HIDDEN = 'smtp-client';
/** A line should have no more than 78 characters (RFC 5322 section 2.1.1), so each clause has its own. */
const FOLD = '\r\n\t';
const NOT_ASCII = /[^\x21-\x7e]/;

/**
 * The `Received:` field that says how the relay got the message (RFC 5321 section 4.4).
 *
 * @returns the field with its CRLF; empty where there is none
 */
export function receivedField(mode: ReceivedMode, facts: ReceivedFacts): string {
  const { emailId, acceptedAt, recipients, arrival } = facts;
  if (mode === 'off' || arrival === null) return '';
  const from = mode === 'full' ? clientOf(arrival) : HIDDEN;
  const [only, ...others] = recipients;
  // Several would learn of each other; and this field is ASCII.
  const names = only !== undefined && others.length === 0 && !NOT_ASCII.test(only);
  const date = acceptedAt.toUTCString().replace(/GMT$/, '+0000');
  const clauses = [
    `from ${from}`,
    `by ${arrival.receivedBy} with ${arrival.protocol} id ${emailId}`,
    ...(names ? [`for <${only}>`] : []),
  ];
  return `Received: ${clauses.join(FOLD)};${FOLD}${date}\r\n`;
}

/** The name that the client gave, and its address as we saw it; what is no name is replaced by the address. */
function clientOf({ helo, clientAddress }: Arrival): string {
  const literal = isIPv6(clientAddress) ? `[IPv6:${clientAddress}]` : `[${clientAddress}]`;
  return `${DOMAIN.test(helo) ? helo : literal} (${literal})`;
}
