import type { Mailbox } from '../addresses/address.ts';
import { decodeHeaderText, parseAddressList } from '../addresses/address-list.ts';
import { readReplyTo } from '../addresses/originators.ts';
import { contentRefusal, type Refusal } from '../refusal.ts';
import { withoutControls, withoutHiddenControls } from '../text/charset.ts';
import { isControlHeader } from './control-headers.ts';
import { encodeForeignWords, isPrintable, rowMailbox } from './encoded-words.ts';
import { firstValue, type HeaderField } from './fields.ts';

/**
 * The row's `headers` of a message that is sent as it was received: every field that a row has no column for, with its
 * value as the client wrote it, less control characters; a repeated one's values are joined by `, `.
 */
export function rowHeaders(fields: readonly HeaderField[]): Record<string, string> {
  const headers = [...carriedHeaders(fields, field => withoutHiddenControls(field.value)).values()];
  return Object.fromEntries(headers.map(({ name, values }) => [name, [...values].join(', ')]));
}

/** The decoded subject; empty where there is none. */
export function subjectOf(fields: readonly HeaderField[]): string {
  return decodeHeaderText(firstValue(fields, 'subject') ?? '');
}

/** What stands between the angle brackets of Message-ID (RFC 5322 section 3.6.4), or all of it where none do; null without one. */
export function messageIdOf(fields: readonly HeaderField[]): string | null {
  const value = firstValue(fields, 'message-id')?.trim() ?? '';
  return (/<([^<>]*)>/.exec(value)?.[1]?.trim() ?? value) || null;
}

/** The mailboxes of Reply-To, as far as they can be read. */
export function replyToOf(fields: readonly HeaderField[]): readonly Mailbox[] {
  return readReplyTo(fields).mailboxes;
}

/** The headers that OpenSend's worker sends with a message, and those that it cannot. */
export interface SendableHeaders {
  readonly headers: Readonly<Record<string, string>>;
  readonly leftOut: readonly LeftOutHeader[];
}

export interface LeftOutHeader {
  /** As the client wrote it. */
  readonly name: string;
  readonly reason: LeftOutReason;
}

/**
 * `count`: more than fit; `length`: its value, `name`: its name is too long; `empty`: it has no value; `characters`: an
 * address in it is not ASCII; `replaced`: the worker sets it itself.
 */
export const LEFT_OUT_REASONS = ['count', 'length', 'name', 'empty', 'characters', 'replaced'] as const;
export type LeftOutReason = (typeof LEFT_OUT_REASONS)[number];

/** SES v2 takes 15 headers in `Simple` content; one is the worker's own. */
const MAX_HEADERS = 14;
/** SES developer guide, "header fields": names of 1 to 126 characters, values of 1 to 870. A line of both has 998 then. */
const MAX_NAME = 126;
const MAX_VALUE = 870;

/** The worker's own takes its place. */
const WORKERS_OWN = 'x-entity-id';
/** Message-ids one behind the other (RFC 5322 section 3.6.4): no comma stands between those of repeated fields. */
const ID_LISTS = new Set(['references', 'in-reply-to']);
/** RFC 2369 and RFC 8058: URLs in angle brackets. */
const LINKS = /^list-(?:archive|help|owner|post|subscribe|unsubscribe)$/;
/** Only the names in these are texts. */
const ADDRESSES = new Set([
  'sender',
  'resent-from',
  'resent-sender',
  'resent-to',
  'resent-cc',
  'errors-to',
  'disposition-notification-to',
  'return-receipt-to',
  'x-confirm-reading-to',
  'mail-followup-to',
  'mail-reply-to',
]);

/**
 * The row's `headers` for OpenSend's worker, as far as SES takes them. Values lose only white space and control characters; other
 * characters than ASCII are encoded. Message-ID is left out, since SES sets it.
 *
 * @param hasAttachments SES counts the headers only where there are none: else the worker writes the message itself
 * @throws Refusal 554 for a List-Unsubscribe that is too long: sending without it would be worse than not sending
 */
export function sendableHeaders(fields: readonly HeaderField[], hasAttachments: boolean): SendableHeaders {
  const kept: { key: string; name: string; value: string }[] = [];
  const leftOut: LeftOutHeader[] = [];
  for (const [key, { name, values }] of carriedHeaders(fields, field => field.refolded ?? field.value)) {
    if (key === 'message-id') continue;
    const { value, reason } = sendable(key, values);
    if (value !== undefined) kept.push({ key, name, value });
    else leftOut.push({ name, reason });
  }
  const chosen = hasAttachments || kept.length <= MAX_HEADERS ? kept : choose(kept, leftOut);
  return { headers: Object.fromEntries(chosen.map(({ name, value }) => [name, value])), leftOut };
}

/** The most important ones, in the order in which they stood. */
function choose<T extends { readonly key: string; readonly name: string }>(kept: T[], leftOut: LeftOutHeader[]): T[] {
  const chosen = new Set([...kept].sort((a, b) => byRank(a.key, b.key)).slice(0, MAX_HEADERS));
  for (const header of kept) {
    if (!chosen.has(header)) leftOut.push({ name: header.name, reason: 'count' });
  }
  return kept.filter(header => chosen.has(header));
}

type Sendable =
  | { readonly value: string; readonly reason?: undefined }
  | { readonly value?: undefined; readonly reason: LeftOutReason };

function sendable(key: string, values: ReadonlySet<string>): Sendable {
  if (key === WORKERS_OWN) return { reason: 'replaced' };
  if (key.length > MAX_NAME) return { reason: 'name' };
  const text = [...values]
    .map(value => withoutControls(value.replaceAll('\t', ' ')).trim())
    .filter(Boolean)
    .join(ID_LISTS.has(key) ? ' ' : ', ');
  if (text === '') return { reason: 'empty' };
  // No encoding makes it shorter.
  const value = text.length > MAX_VALUE ? text : encode(key, withoutHidden(key, text));
  if (!isPrintable(value) && value.length <= MAX_VALUE) return { reason: 'characters' };
  if (value.length <= MAX_VALUE) return { value };
  if (key === 'list-unsubscribe') throw unsubscribeTooLong();
  const shortened = key === 'references' ? shortenReferences(text) : '';
  return shortened === '' ? { reason: 'length' } : { value: shortened };
}

/** A text whose encoded words hide control characters, decoded without them; other texts stay. */
function withoutHidden(key: string, text: string): string {
  const clean = withoutHiddenControls(text);
  return clean === text ? text : (anewAddresses(key, text) ?? clean.trim());
}

function encode(key: string, text: string): string {
  if (isPrintable(text)) return text;
  if (LINKS.test(key)) return encodeForeignWords(text.replaceAll(/<[^<>]*>/g, encodeLink));
  return anewAddresses(key, text) ?? encodeForeignWords(text);
}

/** The mailboxes of a field of addresses, written anew; null where it is another field, or says more than mailboxes. */
function anewAddresses(key: string, text: string): string | null {
  if (!ADDRESSES.has(key)) return null;
  const { mailboxes, ambiguity, hasGroup } = parseAddressList(text);
  return mailboxes.length > 0 && ambiguity === null && !hasGroup ? mailboxes.map(rowMailbox).join(', ') : null;
}

/** RFC 3987 section 3.1: an encoded word would be no link any more. */
function encodeLink(link: string): string {
  return link.replaceAll(/[^ -~]+/gu, encodeURIComponent);
}

/** The first id, with which a thread begins, and as many of the last as fit; empty where none does. */
function shortenReferences(text: string): string {
  const ids = (text.match(/<[^<>]*>/g) ?? text.split(' ')).filter(id => id !== '' && isPrintable(id));
  const [first = '', ...others] = ids;
  const kept: string[] = [];
  let room = MAX_VALUE - (first.length <= MAX_VALUE ? first.length + 1 : 0);
  for (const id of others.reverse()) {
    if (id.length > room) break;
    kept.unshift(id);
    room -= id.length + 1;
  }
  return [first.length <= MAX_VALUE ? first : '', ...kept].filter(Boolean).join(' ');
}

function unsubscribeTooLong(): Refusal {
  const text = `The List-Unsubscribe header has more than ${MAX_VALUE} characters: shorten its links`;
  return contentRefusal('list_unsubscribe_length', text);
}

/** Header fields that the row has columns for, or that belong to transport. */
const REBUILT = new Set([
  'from',
  'to',
  'cc',
  'bcc',
  'resent-bcc',
  'reply-to',
  'subject',
  'date',
  'mime-version',
  'received',
  'return-path',
  'dkim-signature',
]);

/** The fields of one name. */
interface CarriedHeader {
  /** As the client wrote it first. */
  readonly name: string;
  /** Each once, in their order. */
  readonly values: ReadonlySet<string>;
}

/**
 * Every field that the pipeline does not rebuild, by its name in lower case. Control headers are left out.
 *
 * @param read which reading of its value
 */
function carriedHeaders(
  fields: readonly HeaderField[],
  read: (field: HeaderField) => string,
): ReadonlyMap<string, CarriedHeader> {
  const headers = new Map<string, { name: string; values: Set<string> }>();
  for (const field of fields) {
    const key = field.name.toLowerCase();
    if (REBUILT.has(key) || key.startsWith('content-') || isControlHeader(key)) continue;
    const header = headers.get(key);
    if (header) header.values.add(read(field));
    else headers.set(key, { name: field.name, values: new Set([read(field)]) });
  }
  return headers;
}

/** What a message cannot do without comes first: how to leave the list, what it answers, what it is. `list-` stands for all others. */
const FIRST = [
  ['list-unsubscribe', 'list-unsubscribe-post'],
  ['list-'],
  ['in-reply-to'],
  ['references'],
  ['auto-submitted'],
  ['precedence'],
  ['importance', 'x-priority'],
  ['sender'],
  ['feedback-id'],
];
/** What servers and mail programs on an earlier way have added; it comes after everything that the client chose. */
const LAST = [
  'x-ms-',
  'x-microsoft-',
  'x-forefront-',
  'arc-',
  'authentication-results',
  'x-originating-',
  'thread-',
  'resent-',
];
const RANKS: ReadonlyMap<string, number> = new Map(FIRST.flatMap((names, rank) => names.map(name => [name, rank])));

/** Compares two names of header fields, in lower case, for sorting: what matters more to recipients first. */
function byRank(a: string, b: string): number {
  return rankOf(a) - rankOf(b);
}

function rankOf(name: string): number {
  const rank = RANKS.get(name) ?? (name.startsWith('list-') ? RANKS.get('list-') : undefined);
  return rank ?? (LAST.some(prefix => name.startsWith(prefix)) ? FIRST.length + 1 : FIRST.length);
}
