import { fieldsNamed, type HeaderField } from '../header/fields.ts';
import { policyRefusal } from '../refusal.ts';
import { localPartOf, type Mailbox } from './address.ts';
import { parseAddressList } from './address-list.ts';

/** Who a message says it is from. */
export interface Sender {
  readonly from: Mailbox;
  /** The Sender field's mailbox (RFC 5322 section 3.6.2), where there is one. */
  readonly sender: Mailbox | null;
}

/**
 * Reads From and Sender so strictly that no reader further on can see another address in them: one From field with one
 * mailbox, at most one Sender field with one mailbox.
 *
 * @throws Refusal 550 5.7.1 that says what is ambiguous or missing.
 */
export function readSender(fields: readonly HeaderField[]): Sender {
  const from = singleMailbox(fields, 'From');
  if (from === null) {
    throw policyRefusal('from_missing', 'The message has no From header: add one with the address of the sender');
  }
  return { from, sender: singleMailbox(fields, 'Sender') };
}

function singleMailbox(fields: readonly HeaderField[], name: 'From' | 'Sender'): Mailbox | null {
  const [field, another] = fieldsNamed(fields, name.toLowerCase());
  if (field === undefined) return null;
  const refuse = (why: string) =>
    policyRefusal('from_ambiguous', `${name} header is ambiguous (${why}): send one ${name} header with one address`);
  if (another !== undefined) throw refuse('it stands there twice');
  if (field.spaceBeforeColon) throw refuse('white space before the colon');
  const { mailboxes, ambiguity, hasGroup } = parseAddressList(field.value);
  if (ambiguity !== null) throw refuse(ambiguity);
  if (hasGroup) throw refuse('it names a group');
  const [mailbox, second] = mailboxes;
  if (mailbox === undefined) throw refuse('it has no address');
  if (second !== undefined) throw refuse('it has more than one address');
  if (!field.value.includes(localPartOf(mailbox.address))) throw refuse('an address has dots where none may be');
  // `"a@evil.example"@good.example` is one address, but readers exist that take the quoted one, or trim it.
  if (/@|^"\\?\s|\s"$/.test(localPartOf(mailbox.address))) throw refuse('an address is quoted inside its address');
  return mailbox;
}
