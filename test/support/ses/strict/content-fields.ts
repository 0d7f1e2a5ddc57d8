/** What a Content-Type or Content-Disposition field says, or what SES says is wrong with it. */
export interface ContentField {
  /** In lower case. */
  readonly value: string;
  /** By name in lower case; values decoded as far as names of files need it. */
  readonly parameters: ReadonlyMap<string, string>;
  readonly fault: string | null;
}

const SPACE = /^(?:[ \t]|\((?:[^()\\]|\\.|\((?:[^()\\]|\\.)*\))*\))+/;
const TOKEN = /^[!#$%&'*+\-.0-9A-Z^_`a-z{|}~]+/;
const QUOTED = /^"((?:[^"\\]|\\.)*)"/s;
const TYPE = /^[!#$%&'*+\-.0-9A-Z^_`a-z{|}~]+\s*\/\s*[!#$%&'*+\-.0-9A-Z^_`a-z{|}~]+/;

/**
 * RFC 2045 section 5.1, RFC 2183 section 2. "Each part of a multipart MIME message must be formatted properly" (SES API v2
 * reference, "RawMessage"); the words of the refusals are those that people have seen from SES.
 *
 * @param isType a type has a slash in it, a disposition has none
 */
export function readContentField(text: string, isType: boolean): ContentField {
  let rest = skip(text);
  const [value] = (isType ? TYPE : TOKEN).exec(rest) ?? [];
  const parameters = new Map<string, string>();
  const failed = (fault: string): ContentField => ({ value: value?.toLowerCase() ?? '', parameters, fault });
  if (value === undefined) return failed(isType ? `Expected '/', got ${first(rest)}` : 'Expected disposition');
  rest = skip(rest.slice(value.length));
  while (rest !== '') {
    if (!rest.startsWith(';')) return failed(`Expected ';', got "${rest.split(/[\s;]/, 1)[0]}"`);
    rest = skip(rest.slice(1));
    if (rest === '') break;
    const [name] = TOKEN.exec(rest) ?? [];
    if (name === undefined) return failed(`Expected parameter name, got ${first(rest)}`);
    rest = skip(rest.slice(name.length));
    if (!rest.startsWith('=')) return failed(`Expected '=', got ${first(rest)}`);
    rest = skip(rest.slice(1));
    const [whole, quoted] = QUOTED.exec(rest) ?? TOKEN.exec(rest) ?? [];
    if (whole === undefined) return failed(`Expected parameter value, got ${first(rest)}`);
    parameters.set(name.toLowerCase(), quoted === undefined ? whole : quoted.replaceAll(/\\(.)/gs, '$1'));
    rest = skip(rest.slice(whole.length));
  }
  return { value: value.replaceAll(/\s/g, '').toLowerCase(), parameters, fault: null };
}

function skip(text: string): string {
  return text.replace(SPACE, '');
}

function first(text: string): string {
  return text === '' ? `'null'` : `'${text[0]}'`;
}

/** The file that the parameters name, in all the forms of RFC 2231 and of encoded words (RFC 2047); null for none. */
export function fileNameOf(parameters: ReadonlyMap<string, string>, name: 'filename' | 'name'): string | null {
  const plain = parameters.get(name);
  if (plain !== undefined) return decodeWords(plain);
  const pieces = [...parameters]
    .filter(([key]) => key === `${name}*` || /^\*\d+\*?$/.test(key.slice(name.length)))
    .filter(([key]) => key.startsWith(name))
    .sort(([a], [b]) => ordinal(a) - ordinal(b))
    .map(([key, value]) => (key.endsWith('*') ? decodePercent(value) : value));
  return pieces.length === 0 ? null : pieces.join('').replace(/^[A-Za-z0-9_-]*'[^']*'/, '');
}

function ordinal(key: string): number {
  return Number(/\*(\d+)\*?$/.exec(key)?.[1] ?? 0);
}

function decodePercent(text: string): string {
  return text.replaceAll(/%([0-9a-f]{2})/gi, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
}

/** Only what an extension needs: ASCII. */
function decodeWords(text: string): string {
  return text.replaceAll(/=\?[^?]+\?([bq])\?([^?]*)\?=\s*/gi, (_, encoding: string, word: string) =>
    encoding.toLowerCase() === 'b'
      ? Buffer.from(word, 'base64').toString('latin1')
      : decodePercent(word.replaceAll('_', ' ').replaceAll('=', '%')),
  );
}
