import { type AddressList, parseAddressList } from '../addresses/address-list.ts';
import { contentRefusal, type Refusal } from '../refusal.ts';
import { withoutControls, withoutHiddenControls } from '../text/controls.ts';
import { encodeForeignWords, isPrintable } from './encoded-words.ts';
import type { HeaderField } from './fields.ts';
import { byRank } from './rank.ts';
import { carriedHeaders } from './row-fields.ts';
import { rowMailbox } from './row-mailbox.ts';

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
 * The row's `headers` for OpenSend's worker: what SES takes of them. Values lose nothing but white space and control
 * characters; what is not ASCII is encoded. Message-ID, which SES sets, is not among them.
 *
 * @param hasAttachments SES counts the headers only where there are none: else the worker writes the message itself
 * @throws Refusal 554 for a List-Unsubscribe that is too long: to leave it out would be worse than not to send
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
  if (clean === text) return text;
  const addresses = ADDRESSES.has(key) ? parseAddressList(text) : null;
  return addresses && isPlainList(addresses) ? addresses.mailboxes.map(rowMailbox).join(', ') : clean.trim();
}

function encode(key: string, text: string): string {
  if (isPrintable(text)) return text;
  if (LINKS.test(key)) return encodeForeignWords(text.replaceAll(/<[^<>]*>/g, encodeLink));
  const addresses = ADDRESSES.has(key) ? parseAddressList(text) : null;
  return addresses && isPlainList(addresses)
    ? addresses.mailboxes.map(rowMailbox).join(', ')
    : encodeForeignWords(text);
}

/** RFC 3987 section 3.1: an encoded word would be no link any more. */
function encodeLink(link: string): string {
  return link.replaceAll(/[^ -~]+/gu, encodeURIComponent);
}

function isPlainList({ mailboxes, ambiguity, hasGroup }: AddressList): boolean {
  return mailboxes.length > 0 && ambiguity === null && !hasGroup;
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
