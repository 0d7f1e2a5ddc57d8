import { ADDRESS_FIELDS, plainAddresses } from '../addresses/plain-addresses.ts';
import { isControlHeader } from './control-headers.ts';
import { firstValue, type HeaderField } from './fields.ts';

/** What recipients must not see: each of them would learn of the others (RFC 5322 sections 3.6.3 and 3.6.6). */
const BLIND = new Set(['bcc', 'resent-bcc']);

/**
 * What servers write about an earlier journey of a message, or for its last one, and what the next hop would act on. SES takes
 * Return-Path for an identity, and refuses the message; by Delivered-To servers find that a message goes in circles; Errors-To and
 * Bounces-To ask for notices past the reverse-path; the others name recipients of the envelope, maybe blind ones. Only the last
 * server of all writes these (RFC 5321 section 4.4). `Received` stays: nobody may take it out, and loops are found by it.
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

/** What a client has signed a message by, which does not hold where SES writes Date and Message-ID anew. */
const SIGNATURES = new Set(['dkim-signature', 'domainkey-signature']);

/**
 * Whether a client's header field is in what goes out. Left out are those for the relay, those that name blind recipients, and
 * those of the message's journey.
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
