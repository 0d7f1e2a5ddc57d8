import { formatMailbox } from './address.ts';
import { decodeHeaderText, parseAddressList } from './address-list.ts';
import { isControlHeader } from './control-headers.ts';
import { fieldsNamed, firstValue, type HeaderField } from './header-fields.ts';

/** Header fields that OpenSend's worker builds itself from the row's columns, or that belong to transport. */
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

/**
 * The row's `headers`: every field that the pipeline does not rebuild, with its value as the client wrote it; a repeated
 * one's values are joined by `, `. Control headers are left out.
 */
export function rowHeaders(fields: readonly HeaderField[]): Record<string, string> {
  const headers = new Map<string, { name: string; value: string }>();
  for (const { name, value } of fields) {
    const key = name.toLowerCase();
    if (REBUILT.has(key) || key.startsWith('content-') || isControlHeader(key)) continue;
    const earlier = headers.get(key);
    headers.set(key, earlier ? { name: earlier.name, value: `${earlier.value}, ${value}` } : { name, value });
  }
  return Object.fromEntries([...headers.values()].map(({ name, value }) => [name, value]));
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

/** The addresses of Reply-To with their display names; what is no address in it is left out. */
export function replyToAddresses(fields: readonly HeaderField[]): string[] {
  return fieldsNamed(fields, 'reply-to').flatMap(field => parseAddressList(field.value).mailboxes.map(formatMailbox));
}
