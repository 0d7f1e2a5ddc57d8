import { domainOf, formatMailbox, localPartOf, type Mailbox } from '../addresses/address.ts';
import { encodeWords, isPrintable } from './encoded-words.ts';

/** `emails.from` is varchar(512). Entries of `reply_to` keep to it too. */
export const MAX_MAILBOX = 512;

/**
 * A mailbox as `from` and `reply_to` carry it, which OpenSend's worker hands to SES as it is: ASCII, the domain in lower
 * case. A name with other characters is written as encoded words, and so is one that could be read for something else (an
 * `@` for another address, `=?` for an encoded word). A name that is too long only because of that is shortened.
 */
export function rowMailbox({ name, address }: Mailbox): string {
  const mailbox = { name, address: `${localPartOf(address)}@${domainOf(address)}` };
  if (!name) return mailbox.address;
  const format = needsEncoding(name) ? formatEncoded : formatMailbox;
  let text = format(mailbox);
  for (let chars = [...name]; text.length > MAX_MAILBOX && chars.length > 0; ) {
    chars = chars.slice(0, Math.floor(chars.length * 0.9));
    text = format({ ...mailbox, name: chars.join('').trimEnd() });
  }
  return text;
}

function needsEncoding(name: string): boolean {
  return !isPrintable(name) || name.includes('@') || name.includes('=?');
}

function formatEncoded({ name, address }: Mailbox): string {
  return name ? `${encodeWords(name)} <${address}>` : address;
}
