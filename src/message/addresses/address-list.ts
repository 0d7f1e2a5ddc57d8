import { trimWhiteSpace } from '../header/fields.ts';
import { decodeWords, withoutControls } from '../text/charset.ts';
import { type Mailbox, parseAddress, quoteOddDots } from './address.ts';

/** What an address header field says (RFC 5322 section 3.4). */
export interface AddressList {
  readonly mailboxes: readonly Mailbox[];
  /** The first thing in it that two readers of the field could take differently; null where there is none. */
  readonly ambiguity: string | null;
  /** Group syntax is used: `name: a@example.com, b@example.com;`. */
  readonly hasGroup: boolean;
}

/** One comma-separated entry while it is being read. */
interface Entry {
  /** Text outside angle brackets and comments, quoted strings included. */
  text: string;
  /** Whether there is more of it than white space, and its last character: `text` itself is for the end, when it is whole. */
  hasText: boolean;
  last: string;
  /** The same with quoted strings resolved, as a display name. */
  phrase: string;
  /** Text between angle brackets; null where there were none. */
  angle: string | null;
  comment: string;
  /** How much of `text` stood before the first comment behind any text; null where there is none. */
  commentAt: number | null;
  /** An encoded word has what separates entries where it is not taken whole. */
  separatorInWord: boolean;
  /** An `@` outside quotes and angle brackets: an address where a name should be. */
  bareAt: boolean;
  textAfterAngle: boolean;
}

const ENCODED_WORD = /=\?[\w*-]{1,40}\?[bq]\?[^\s()<>@"\\?]*\?=/iy;
const PLAIN = /[\w .!#$%&'*+/?^`{|}~-]+/y;
/** Its charset may be odd. */
const WORD_START = /=\?[^?]{0,60}\?=?[bq]\?/gi;
const WORD_END = '?=';
/** Characters that begin something else for readers that do not know comments or encoded words. */
const SLY = /[<>@()"\\]/;
const SLY_COMMENT = /[<>@"\\]/;
/** All but TAB, which folding leaves behind. */
const CONTROL = /(?!\t)\p{Cc}/u;

/**
 * Reads an address list strictly where it matters. `mailboxes` are those that every conforming reader sees, and `ambiguity` names
 * anything that lenient readers disagree about (two addresses in one entry, open quotes, nested brackets). Groups are flattened,
 * comments are dropped, encoded words in names are decoded (RFC 2047).
 *
 * @param value the unfolded field body
 */
export function parseAddressList(value: string): AddressList {
  return new AddressListReader(value).read();
}

class AddressListReader {
  readonly #value: string;
  readonly #mailboxes: Mailbox[] = [];
  #position = 0;
  #ambiguity: string | null = null;
  #entry: Entry = newEntry();
  #inGroup = false;
  #hasGroup = false;

  constructor(value: string) {
    this.#value = value;
  }

  read(): AddressList {
    if (CONTROL.test(this.#value)) this.#ambiguous('a control character');
    if (hasSlyWord(this.#value)) this.#ambiguous('an encoded word has a bracket, quote, backslash or "@"');
    while (this.#position < this.#value.length) this.#plainText() || this.#step(this.#value[this.#position] as string);
    this.#finishEntry();
    if (this.#inGroup) this.#ambiguous('a group is not closed by ";"');
    return { mailboxes: this.#mailboxes, ambiguity: this.#ambiguity, hasGroup: this.#hasGroup };
  }

  /** Takes a run of characters that mean nothing by themselves at once. @returns whether there is one */
  #plainText(): boolean {
    PLAIN.lastIndex = this.#position;
    const [run] = PLAIN.exec(this.#value) ?? [];
    if (run === undefined) return false;
    this.#append(run);
    this.#position += run.length;
    return true;
  }

  #append(text: string, phrase = text): void {
    const hasText = text.trim() !== '';
    if (this.#entry.angle !== null && hasText) this.#entry.textAfterAngle = true;
    this.#entry.hasText ||= hasText;
    this.#entry.text += text;
    this.#entry.phrase += phrase;
    this.#entry.last = text.at(-1) ?? this.#entry.last;
  }

  /** Takes what begins at the current position; each branch moves the position behind what it took. */
  #step(char: string): void {
    if (char === '"') this.#quotedString();
    else if (char === '(') this.#comment();
    else if (char === '<') this.#angleAddress();
    else if (char === '[') this.#domainLiteral();
    else if (char === '=' && this.#encodedWord()) return;
    else {
      if (char === ',') this.#finishEntry();
      else if (char === ':') this.#beginGroup();
      else if (char === ';') this.#endGroup();
      else this.#character(char);
      this.#position += 1;
    }
  }

  #character(char: string): void {
    if (char === '>') this.#ambiguous('">" without "<"');
    if (char === ')') this.#ambiguous('")" without "("');
    if (char === ']') this.#ambiguous('"]" without "["');
    if (char === '\\') this.#ambiguous('a backslash outside quotes');
    if (char === '@') this.#entry.bareAt = true;
    this.#append(char);
  }

  /**
   * Takes an encoded word whole (RFC 2047 section 2), since clients leave `:`, `;`, `,` and the like in them. A word with characters
   * that others take for an address, a comment or a quoted string is left to the other branches.
   *
   * @returns whether one stands here
   */
  #encodedWord(): boolean {
    ENCODED_WORD.lastIndex = this.#position;
    const [word] = ENCODED_WORD.exec(this.#value) ?? [];
    if (word === undefined) return false;
    if (/[,:;[\]]/.test(word)) this.#entry.separatorInWord = true;
    this.#append(word);
    this.#position += word.length;
    return true;
  }

  #quotedString(): void {
    const start = this.#position;
    let content = '';
    let position = start + 1;
    for (; position < this.#value.length && this.#value[position] !== '"'; position += 1) {
      if (this.#value[position] === '\\') position += 1;
      content += this.#value[position] ?? '';
    }
    if (position >= this.#value.length) this.#ambiguous('a quoted string is not closed');
    this.#append(this.#value.slice(start, position + 1), content);
    this.#position = position + 1;
  }

  #comment(): void {
    let depth = 0;
    const start = this.#position;
    do {
      const char = this.#value[this.#position];
      if (char === '\\') this.#position += 1;
      else if (char === '(') depth += 1;
      else if (char === ')') depth -= 1;
      this.#position += 1;
    } while (depth > 0 && this.#position < this.#value.length);
    if (depth > 0) this.#ambiguous('a comment is not closed');
    const comment = this.#value.slice(start + 1, this.#position - 1);
    if (SLY_COMMENT.test(comment)) this.#ambiguous('a comment has a bracket, quote, backslash or "@"');
    this.#entry.comment ||= comment;
    if (this.#entry.hasText) this.#entry.commentAt ??= this.#entry.text.length;
  }

  #angleAddress(): void {
    if (this.#entry.angle !== null) this.#ambiguous('two addresses in angle brackets stand side by side');
    const end = this.#endOfAngle();
    const inside = this.#value.slice(this.#position + 1, end === -1 ? undefined : end);
    if (end === -1) this.#ambiguous('"<" without ">"');
    const path = trimWhiteSpace(inside);
    const address = withoutRoute(path);
    if (address !== path) this.#ambiguous('a source route stands before the address');
    this.#entry.angle ??= address;
    this.#position = end === -1 ? this.#value.length : end + 1;
  }

  /** The closing bracket, quotes respected: `<"a>b"@example.com>` is one address. */
  #endOfAngle(): number {
    let quoted = false;
    for (let position = this.#position + 1; position < this.#value.length; position += 1) {
      const char = this.#value[position];
      if (quoted && char === '\\') position += 1;
      else if (char === '"') quoted = !quoted;
      else if (!quoted && char === '<') this.#ambiguous('"<" inside angle brackets');
      else if (!quoted && char === '>') return position;
    }
    return -1;
  }

  /** `[` is a special character (RFC 5322 section 3.2.3): it begins the domain of an address, and nothing else. */
  #domainLiteral(): void {
    if (this.#entry.last !== '@' || this.#entry.angle !== null) this.#ambiguous('"[" stands outside a domain');
    const end = this.#value.indexOf(']', this.#position);
    if (end === -1) this.#ambiguous('"[" without "]"');
    const stop = end === -1 ? this.#value.length : end + 1;
    const literal = this.#value.slice(this.#position, stop);
    this.#append(literal);
    this.#position = stop;
  }

  #beginGroup(): void {
    if (this.#inGroup || this.#entry.angle !== null || this.#entry.bareAt) this.#ambiguous('":" inside an address');
    this.#inGroup = true;
    this.#hasGroup = true;
    this.#entry = newEntry();
  }

  #endGroup(): void {
    // Some clients separate addresses by ";" outside a group.
    if (!this.#inGroup) this.#ambiguous('";" outside a group');
    this.#finishEntry();
    this.#inGroup = false;
  }

  #finishEntry(): void {
    const entry = this.#entry;
    this.#entry = newEntry();
    const text = trimWhiteSpace(entry.text);
    if (text === '' && entry.angle === null) return;
    const written = entry.angle ?? text;
    const address = parseAddress(written) ?? parseAddress(quoteOddDots(written));
    if (entry.angle === null && entry.commentAt !== null && entry.text.slice(entry.commentAt).trim() !== '') {
      this.#ambiguous('a comment stands inside an address');
    }
    if (address?.includes('=?')) this.#ambiguous('an encoded word stands inside an address');
    if (entry.textAfterAngle) this.#ambiguous('text follows the address in angle brackets');
    if (address === null) {
      this.#ambiguous('an entry is not an address');
      return;
    }
    const name = displayName(entry.angle === null ? entry.comment : entry.phrase);
    if (entry.separatorInWord && name?.includes('@')) this.#ambiguous('a separator stands in an encoded word');
    // An unquoted address as display name is common, and harmless where it is the address itself.
    const isItself = entry.commentAt === null && text.toLowerCase() === entry.angle?.toLowerCase();
    if (entry.angle !== null && entry.bareAt && !isItself) this.#ambiguous('an entry has two addresses');
    this.#mailboxes.push({ name, address });
  }

  #ambiguous(why: string): void {
    this.#ambiguity ??= why;
  }
}

/** Whether an encoded word, closed or not, holds what readers may take for the beginning of something else. */
function hasSlyWord(value: string): boolean {
  if (!value.includes('=?')) return false;
  WORD_START.lastIndex = 0;
  for (let word = WORD_START.exec(value); word !== null; word = WORD_START.exec(value)) {
    const found = value.indexOf(WORD_END, WORD_START.lastIndex);
    const end = found === -1 ? value.length : found;
    if (SLY.test(value.slice(word.index, end))) return true;
    WORD_START.lastIndex = end;
  }
  return false;
}

function newEntry(): Entry {
  return {
    text: '',
    hasText: false,
    last: '',
    phrase: '',
    angle: null,
    comment: '',
    commentAt: null,
    separatorInWord: false,
    bareAt: false,
    textAfterAngle: false,
  };
}

/** Drops an RFC 5321 source route (`<@a,@b:user@c>`), which must be accepted and ignored (appendix C). */
export function withoutRoute(path: string): string {
  return path.replace(/^@[^\s,:@]+(?:,@[^\s,:@]+)*:/, '');
}

function displayName(phrase: string): string | null {
  return decodeHeaderText(phrase.trim()) || null;
}

/**
 * Decodes the encoded words of a header text (RFC 2047). Control characters that an encoded word hides become a space,
 * since the text is written into header fields again; half a surrogate pair becomes U+FFFD, since Postgres stores none.
 */
export function decodeHeaderText(text: string): string {
  return withoutControls(decodeWords(text)).trim().toWellFormed();
}
