import { fieldsNamed, type HeaderField } from '../header/fields.ts';
import { type Mailbox, parseAddress } from './address.ts';
import { decodeHeaderText, parseAddressList } from './address-list.ts';

/** What Reply-To says. */
export interface ReplyTo {
  readonly mailboxes: readonly Mailbox[];
  /** Something in it was meant as an address, or all of it, and nobody knows which. */
  readonly isUnreadable: boolean;
}

/** What is around an address or a name, but not of it. */
const BEFORE = new Set<string | undefined>(` '"\`<([{,;:`);
const BEHIND = new Set<string | undefined>(` '"\`>)]},;:`);
/** A name may end with a dot. */
const BEHIND_ADDRESS = new Set([...BEHIND, '.']);
const NOTHING = /^[\s<>,;"']*$/;

/**
 * Reads Reply-To as a person would. It is about nobody's identity: what is in it is where answers go, and not who sent the message;
 * so that a name without quotes or brackets does no harm, and a lost address does.
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
  // An encoded word is a legal local part, and which of the two it is meant to be nobody knows.
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
    // `Acme, Inc. <help@acme.test>`: what has no address is the beginning of a name.
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

/** With what a `mailto:` link may have behind its address left out. */
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
