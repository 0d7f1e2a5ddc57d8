import { isControlHeader } from './control-headers.ts';
import { firstValue, type HeaderField } from './header-fields.ts';
import { ADDRESS_FIELDS, plainAddresses } from './plain-addresses.ts';

/** What recipients must not see: each of them would learn of the others (RFC 5322 sections 3.6.3 and 3.6.6). */
const BLIND = new Set(['bcc', 'resent-bcc']);

/**
 * Whether a client's header field is in what goes out. Left out are those for the relay, those that name blind recipients, and
 * Return-Path, which only the last server of all writes (RFC 5321 section 4.4): SES takes it for an identity, and refuses the
 * message.
 *
 * @param name in lower case
 */
export function goesOut(name: string): boolean {
  return !BLIND.has(name) && name !== 'return-path' && !isControlHeader(name);
}

/** `Date` and `Message-ID`, where the client left them out, at their longest. */
const MAX_DATE = 64;
const MAX_MESSAGE_ID = 400;

/**
 * The most bytes by which a message grows when it goes out as it has to.
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
