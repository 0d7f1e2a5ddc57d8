import type { Mailbox } from '../addresses/address.ts';
import { decodeHeaderText } from '../addresses/address-list.ts';
import { readReplyTo } from '../addresses/reply-to.ts';
import { withoutHiddenControls } from '../text/controls.ts';
import { isControlHeader } from './control-headers.ts';
import { firstValue, type HeaderField } from './fields.ts';

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
export interface CarriedHeader {
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
export function carriedHeaders(
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
