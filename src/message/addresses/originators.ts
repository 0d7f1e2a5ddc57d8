import { fieldsNamed, type HeaderField } from '../header/fields.ts';
import { policyRefusal } from '../refusal.ts';
import { localPartOf, type Mailbox, parseAddress } from './address.ts';
import { decodeHeaderText, parseAddressList } from './address-list.ts';

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
  // `"a@evil.example"@good.example` is one address, but some readers take the quoted one, or trim it.
  if (/@|^"\\?\s|\s"$/.test(localPartOf(mailbox.address))) throw refuse('an address is quoted inside its address');
  return mailbox;
}

/** What Reply-To says. */
export interface ReplyTo {
  readonly mailboxes: readonly Mailbox[];
  /** It holds something that was meant as an address and cannot be read. */
  readonly isUnreadable: boolean;
}

/** Characters around an address or a name that do not belong to it. */
const BEFORE = new Set<string | undefined>(` '"\`<([{,;:`);
const BEHIND = new Set<string | undefined>(` '"\`>)]},;:`);
/** A name may end with a dot. */
const BEHIND_ADDRESS = new Set([...BEHIND, '.']);
const NOTHING = /^[\s<>,;"']*$/;

/**
 * Reads Reply-To as a person would. It says where answers go, not who sent the message. So a name without quotes or brackets does no
 * harm, while a lost address does.
 */
export function readReplyTo(fields: readonly HeaderField[]): ReplyTo {
  const read = fieldsNamed(fields, 'reply-to').map(({ value }) => readField(value));
  return {
    mailboxes: read.flatMap(({ mailboxes }) => mailboxes),
    isUnreadable: read.some(({ isUnreadable }) => isUnreadable),
  };
}

function readField(value: string): ReplyTo {
  const { mailboxes, ambiguity } = parseAddressList(value);
  if (ambiguity === null || NOTHING.test(value)) return { mailboxes, isUnreadable: false };
  // An encoded word is also a legal local part: nobody can tell which is meant.
  if (mailboxes.some(({ address }) => address.startsWith('=?'))) return { mailboxes, isUnreadable: false };
  const text = decodeHeaderText(value)
    .replaceAll(/\s+/g, ' ')
    .replaceAll(/mailto:/gi, '')
    .replaceAll(/ ?@ ?/g, '@');
  const found = readLeniently(text);
  return { mailboxes: found ?? mailboxes, isUnreadable: found === null };
}

function readLeniently(text: string): readonly Mailbox[] | null {
  const found: Mailbox[] = [];
  let name = '';
  for (const entry of entriesOf(text)) {
    const written = `${name}${entry}`;
    // `Acme, Inc. <help@acme.test>`: an entry without an address is the beginning of a name.
    name = entry.includes('@') ? '' : `${written}, `;
    if (name !== '') continue;
    const mailboxes = readEntry(written);
    if (mailboxes === null) return null;
    found.push(...mailboxes);
  }
  return found.length === 0 ? null : found;
}

/** What commas and semicolons separate, but not within quoted strings and brackets. */
function entriesOf(text: string): string[] {
  const tokens = text.match(/"[^"]*"|<[^<>]*>|[,;]|[^,;"<]+|["<]/g) ?? [];
  const entries = [''];
  for (const token of tokens) {
    if (token === ',' || token === ';') entries.push('');
    else entries.push(`${entries.pop()}${token}`);
  }
  return entries.map(entry => entry.trim()).filter(entry => entry !== '');
}

function readEntry(entry: string): Mailbox[] | null {
  const bracketed = entry.match(/<[^<>]*>/g)?.find(text => text.includes('@'));
  if (bracketed !== undefined) {
    const address = readAddress(bracketed);
    return address === null ? null : [{ name: nameOf(entry.replace(bracketed, () => ' ')), address }];
  }
  const words = entry.split(' ').filter(word => word.includes('@'));
  const addresses = words.map(readAddress).filter(address => address !== null);
  if (addresses.length < words.length) return null;
  const name = addresses.length === 1 ? nameOf(entry.replace(words[0] as string, () => ' ')) : null;
  return addresses.map(address => ({ name, address }));
}

/** Without the parameters of a `mailto:` link. */
function readAddress(text: string): string | null {
  const bare = stripped(text, BEHIND_ADDRESS);
  return parseAddress(bare) ?? parseAddress(bare.split('?', 1)[0] as string);
}

function nameOf(text: string): string | null {
  return stripped(text.replaceAll(/["<>\\]/g, '').replaceAll(/ +/g, ' ')) || null;
}

function stripped(text: string, behind: ReadonlySet<string | undefined> = BEHIND): string {
  let start = 0;
  let end = text.length;
  while (start < end && BEFORE.has(text[start])) start += 1;
  while (end > start && behind.has(text[end - 1])) end -= 1;
  return text.slice(start, end);
}
