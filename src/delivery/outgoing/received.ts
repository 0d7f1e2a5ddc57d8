import { isIPv6 } from 'node:net';
import type { Arrival } from '../../store/messages/new-message.ts';

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
