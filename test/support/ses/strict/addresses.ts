/** An address list as SES reads it: its mailboxes' addresses, or what SES says is wrong with the first bad one. */
export type AddressReading =
  | { readonly addresses: readonly string[]; readonly fault: null }
  | { readonly addresses: null; readonly fault: string };

/*
 * "The email address string must be 7-bit ASCII. […] Unicode characters in the domain part […] you must encode the domain
 * using Punycode. Punycode is not permitted in the local part […] If you want to use Unicode characters in the "friendly
 * from" name, you must encode the "friendly from" name using MIME encoded-word syntax" (SES API reference, "Destination";
 * SES API v2 reference, "Destination"). The form is that of RFC 822 section 6, with the dots in a name that RFC 5322 section 4.1
 * adds. The words of the refusals are those that people have seen from SES (public bug reports).
 */

interface Token {
  readonly kind: 'word' | 'quoted' | 'literal' | 'special';
  readonly text: string;
  /** White space or a comment stands before it. */
  readonly apart: boolean;
}

/** RFC 822 section 3.3, without `.`, which stands in a name as it does between words. */
const SPECIALS = new Set('<>@,;:.');
const WORD = /^[!#$%&'*+\-/0-9=?A-Z^_`a-z{|}~]+/;
const DOMAIN_LABEL = /^[A-Za-z0-9_](?:[A-Za-z0-9_-]*[A-Za-z0-9_])?$/;
/** RFC 5321 section 4.5.3.1: together, with the `@`, the 320 characters that SES takes. */
const MAX_LOCAL_PART = 64;
const MAX_DOMAIN = 255;

/** Reads a field body, unfolded, or an entry of an address list of the API. */
export function readAddresses(text: string): AddressReading {
  try {
    return { addresses: new Reader(tokensOf(text)).list(), fault: null };
  } catch (error) {
    if (error instanceof Illegal) return { addresses: null, fault: error.message };
    throw error;
  }
}

class Illegal extends Error {}

function tokensOf(text: string): Token[] {
  const tokens: Token[] = [];
  let position = 0;
  let apart = false;
  while (position < text.length) {
    const char = text[position] as string;
    if (char.charCodeAt(0) > 126) throw new Illegal('Local address contains illegal character');
    if (char === ' ' || char === '\t') {
      position += 1;
      apart = true;
    } else if (char === '(') {
      position = endOfComment(text, position);
      apart = true;
    } else {
      const token = tokenAt(text, position, apart);
      tokens.push(token);
      position += token.text.length;
      apart = false;
    }
  }
  return tokens;
}

function tokenAt(text: string, position: number, apart: boolean): Token {
  const char = text[position] as string;
  const rest = text.slice(position);
  if (SPECIALS.has(char)) return { kind: 'special', text: char, apart };
  if (char === '"') return { kind: 'quoted', text: matched(/^"(?:[^"\\]|\\.)*"/s, rest, `Missing '"'`), apart };
  if (char === '[') return { kind: 'literal', text: matched(/^\[(?:[^[\]\\]|\\.)*\]/s, rest, `Missing ']'`), apart };
  return { kind: 'word', text: matched(WORD, rest, 'Local address contains control or whitespace'), apart };
}

function matched(pattern: RegExp, text: string, fault: string): string {
  const [found] = pattern.exec(text) ?? [];
  if (found === undefined || /[^\t -~]/.test(found)) throw new Illegal(fault);
  return found;
}

function endOfComment(text: string, start: number): number {
  let depth = 0;
  for (let position = start; position < text.length; position += 1) {
    const char = text[position] as string;
    if (char === '\\') position += 1;
    else if (char === '(') depth += 1;
    else if (char === ')' && --depth === 0) return checkedComment(text.slice(start, position), position + 1);
  }
  throw new Illegal(`Missing ')'`);
}

function checkedComment(comment: string, end: number): number {
  if (/[^\t -~]/.test(comment)) throw new Illegal('Comment contains illegal character');
  return end;
}

class Reader {
  readonly #tokens: readonly Token[];
  #next = 0;

  constructor(tokens: readonly Token[]) {
    this.#tokens = tokens;
  }

  list(): string[] {
    const addresses: string[] = [];
    while (this.#next < this.#tokens.length) {
      if (this.#takes(',')) continue;
      addresses.push(...this.#address());
      if (this.#next < this.#tokens.length && !this.#takes(',')) throw this.#unexpected();
    }
    return addresses;
  }

  /** A mailbox, or a group of them. */
  #address(): string[] {
    const words = this.#words();
    if (this.#takes('<')) return [this.#routeAddress()];
    if (this.#takes(':')) return this.#group(words);
    return [this.#specification(words)];
  }

  #group(name: readonly Token[]): string[] {
    if (name.length === 0) throw new Illegal('Missing group name');
    const members: string[] = [];
    while (!this.#takes(';')) {
      if (this.#next >= this.#tokens.length) throw new Illegal(`Missing ';'`);
      if (this.#takes(',')) continue;
      const words = this.#words();
      members.push(this.#takes('<') ? this.#routeAddress() : this.#specification(words));
      if (this.#peek() !== ',' && this.#peek() !== ';') throw new Illegal('Nested group');
    }
    return members;
  }

  #routeAddress(): string {
    const address = this.#specification(this.#words());
    if (!this.#takes('>')) throw new Illegal(`Missing '>'`);
    return address;
  }

  /** `local@domain`, of whose local part these are the words. */
  #specification(local: readonly Token[]): string {
    if (local.slice(1).some(({ apart }) => apart)) throw new Illegal('Local address contains control or whitespace');
    if (!this.#takes('@')) throw new Illegal(`Missing final '@domain'`);
    const domain = this.#words();
    return `${localPart(local)}@${domainPart(domain)}`;
  }

  #words(): Token[] {
    const start = this.#next;
    while (this.#next < this.#tokens.length) {
      const { kind, text } = this.#tokens[this.#next] as Token;
      if (kind === 'special' && text !== '.') break;
      this.#next += 1;
    }
    return this.#tokens.slice(start, this.#next);
  }

  #peek(): string | undefined {
    return this.#tokens[this.#next]?.text;
  }

  #takes(special: string): boolean {
    const token = this.#tokens[this.#next];
    if (token?.kind !== 'special' || token.text !== special) return false;
    this.#next += 1;
    return true;
  }

  #unexpected(): Illegal {
    const text = this.#peek();
    if (text === '<') return new Illegal('Extra route-addr');
    if (text === ';') return new Illegal('Illegal semicolon, not in group');
    return new Illegal('Local address contains control or whitespace');
  }
}

function localPart(tokens: readonly Token[]): string {
  if (tokens.length === 0) throw new Illegal('Missing local name');
  if (tokens.some(({ kind }) => kind === 'literal')) throw new Illegal('Local address contains illegal character');
  // Words with dots between them: two of a kind side by side, or a dot at an end, are no dot-atom.
  const isDot = ({ kind }: Token) => kind === 'special';
  const alternates = tokens.every((token, index) => isDot(token) === (index % 2 === 1)) && tokens.length % 2 === 1;
  if (!alternates) throw new Illegal('Local address contains dot-dot');
  const text = tokens.map(token => token.text).join('');
  if (text.length > MAX_LOCAL_PART) throw new Illegal('Local address is too long');
  return text;
}

function domainPart(tokens: readonly Token[]): string {
  if (tokens.length === 0) throw new Illegal('Missing domain');
  if (tokens.slice(1).some(({ apart }) => apart)) throw new Illegal('Domain contains control or whitespace');
  const text = tokens.map(token => token.text).join('');
  if (text.length > MAX_DOMAIN) throw new Illegal('Domain is too long');
  if (tokens.length === 1 && tokens[0]?.kind === 'literal') return text;
  if (!text.split('.').every(label => DOMAIN_LABEL.test(label))) throw new Illegal('Domain contains illegal character');
  return text;
}
