import { fieldsNamed, type HeaderField } from '../header/fields.ts';
import { policyRefusal, Refusal } from '../refusal.ts';
import { comparableAddress, type Mailbox } from './address.ts';
import { type AddressList, parseAddressList } from './address-list.ts';

/** The recipients of a message as its row stores them. */
export interface Recipients {
  readonly to: readonly Mailbox[];
  readonly cc: readonly Mailbox[];
  readonly bcc: readonly Mailbox[];
}

/**
 * `envelope`: exactly the RCPT TO addresses get the message. `headers`: the To, Cc and Bcc fields decide and RCPT TO is
 * ignored, as OpenSend documents it.
 */
export type RecipientSource = 'envelope' | 'headers';

/**
 * Sorts the recipients into To, Cc and Bcc. In `envelope` mode those that the To or Cc field names stand there, with
 * their display names; all others are Bcc (mail clients strip the Bcc field and name its recipients in RCPT TO only).
 *
 * @param envelope the RCPT TO addresses, as `parseAddress` gave them
 * @throws Refusal 550 in `headers` mode where the fields name no recipient or one that is no address.
 */
export function resolveRecipients(
  source: RecipientSource,
  envelope: readonly string[],
  fields: readonly HeaderField[],
): Recipients {
  return source === 'envelope' ? fromEnvelope(envelope, fields) : fromHeaders(fields);
}

function fromEnvelope(envelope: readonly string[], fields: readonly HeaderField[]): Recipients {
  const inTo = mailboxesByAddress(readLists(fields, 'to'));
  const inCc = mailboxesByAddress(readLists(fields, 'cc'));
  const recipients = { to: [] as Mailbox[], cc: [] as Mailbox[], bcc: [] as Mailbox[] };
  for (const [key, address] of uniqueAddresses(envelope)) {
    const named = inTo.get(key) ?? inCc.get(key);
    const list = inTo.has(key) ? recipients.to : inCc.has(key) ? recipients.cc : recipients.bcc;
    list.push({ name: named?.name ?? null, address });
  }
  return recipients;
}

function fromHeaders(fields: readonly HeaderField[]): Recipients {
  const seen = new Set<string>();
  const read = (name: string): Mailbox[] => {
    const lists = readLists(fields, name);
    const unreadable = lists.find(list => list.ambiguity !== null);
    if (unreadable) {
      throw policyRefusal('recipient_syntax', `The ${name} header cannot be read (${unreadable.ambiguity}): mend it`);
    }
    return lists.flatMap(list => list.mailboxes).filter(mailbox => !seen.has(key(mailbox)) && seen.add(key(mailbox)));
  };
  const recipients = { to: read('to'), cc: read('cc'), bcc: read('bcc') };
  if (seen.size === 0) {
    throw policyRefusal('no_recipient', 'The message names no recipient: add a To, Cc or Bcc header');
  }
  return recipients;
}

/** All addresses of the message once, comparable form; the order is To, Cc, Bcc. */
export function allAddresses(recipients: Recipients): readonly string[] {
  return [...recipients.to, ...recipients.cc, ...recipients.bcc].map(key);
}

/**
 * @throws Refusal where there are more than `limit`: those of the envelope can be split (RFC 5321 section 4.5.3.1.10), those of
 * the header stay as many however often the message is sent.
 */
export function refuseTooMany(source: RecipientSource, recipients: Recipients, limit: number): void {
  if (recipients.to.length + recipients.cc.length + recipients.bcc.length <= limit) return;
  if (source === 'envelope') throw tooManyRecipients(limit);
  const text = `The To, Cc and Bcc headers name too many recipients: name at most ${limit} in one message`;
  throw new Refusal({ code: 554, enhancedCode: '5.5.3', text, rule: 'recipient_limit' });
}

/** `452 4.5.3` to RCPT, at which clients send to the others in another message. */
export function tooManyRecipients(limit: number): Refusal {
  const text = `Too many recipients: send to at most ${limit} at a time`;
  return new Refusal({ code: 452, enhancedCode: '4.5.3', text, rule: 'recipient_limit' });
}

function readLists(fields: readonly HeaderField[], name: string): AddressList[] {
  return fieldsNamed(fields, name).map(field => parseAddressList(field.value));
}

function mailboxesByAddress(lists: readonly AddressList[]): Map<string, Mailbox> {
  return new Map(lists.flatMap(list => list.mailboxes).map(mailbox => [key(mailbox), mailbox]));
}

function uniqueAddresses(addresses: readonly string[]): Map<string, string> {
  const unique = new Map<string, string>();
  for (const address of addresses) {
    const comparable = comparableAddress(address);
    if (!unique.has(comparable)) unique.set(comparable, address);
  }
  return unique;
}

function key(mailbox: Mailbox): string {
  return comparableAddress(mailbox.address);
}
