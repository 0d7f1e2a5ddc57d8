import libmime from 'libmime';
import { domainOf, formatMailbox, localPartOf, type Mailbox } from '../addresses/address.ts';

/** RFC 2047 section 2: an encoded word has at most 75 characters. */
const MAX_WORD = 75;

/**
 * A text as RFC 2047 encoded words in UTF-8, several where one is too short for it; in whichever encoding takes less room.
 * They may stand in a phrase (RFC 2047 section 5, rule 3) as well as in a text.
 */
export function encodeWords(text: string): string {
  const quoted = libmime.encodeWord(text, 'Q', MAX_WORD);
  const base64 = libmime.encodeWord(text, 'B', MAX_WORD);
  return quoted.length <= base64.length ? quoted : base64;
}

const PRINTABLE = /^[ -~]*$/;

/** Whether the text has nothing but what a header field may carry as it is: space to `~`. */
export function isPrintable(text: string): boolean {
  return PRINTABLE.test(text);
}

/** Encodes those words of a text that have other characters; neighbours among them together, with the spaces between. */
export function encodeForeignWords(text: string): string {
  const done: string[] = [];
  let run: string[] = [];
  for (const word of text.split(' ')) {
    if (!isPrintable(word)) run.push(word);
    else {
      if (run.length > 0) done.push(encodeWords(run.join(' ')));
      run = [];
      done.push(word);
    }
  }
  if (run.length > 0) done.push(encodeWords(run.join(' ')));
  return done.join(' ');
}

/** `emails.from` is varchar(512). Entries of `reply_to` keep to it too. */
export const MAX_MAILBOX = 512;

/**
 * A mailbox as `from` and `reply_to` carry it, which OpenSend's worker hands to SES as it is: ASCII, the domain in lower
 * case. A name with other characters is written as encoded words, and so is a name with `@` or `=?`, which readers could take for
 * an address or an encoded word. A name that is too long only when encoded is shortened.
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
