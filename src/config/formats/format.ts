import { isIP } from 'node:net';
import { NotANetwork, readNetwork } from '../../platform/networks.ts';

/**
 * How the values of a setting are written. Every source (file, secret, environment) gives text; only `parse` turns it
 * into a value, so that a wrong value is wrong in the same way wherever it stands.
 */
export interface Format<T> {
  /** What to write, as the object of "write …": `a port number from 0 to 65535, such as 2587`. */
  readonly expected: string;
  /** What a YAML file may have here, for the schema of the chart's values. `parse` knows better, and is asked at the start. */
  readonly schema: JsonSchema;
  /** Whether a file may write the value as a YAML list; its items reach `parse` joined by commas. */
  readonly list?: true;
  /** Whether a file writes the value as YAML lists and groups of keys; they reach `parse` as JSON, each scalar as a text. */
  readonly structure?: true;
  /** @throws FormatError where the text is not of this format; its message continues "the value …". */
  parse(text: string): T;
  /** The text that `parse` reads as this value. */
  print(value: T): string;
  /** The same for people, without the secrets in it; where there is none, a secret is not shown at all. */
  show?(value: T): string;
}

export type JsonSchema = { readonly [keyword: string]: unknown };

/** Says what is wrong with a value, as a phrase that follows it: `is not a whole number`. Never carries the value. */
export class FormatError extends Error {
  override readonly name = 'FormatError';
}

/** Decimal digits only. */
export const WHOLE_NUMBER = /^(0|[1-9]\d*)$/;

function parseWholeNumber(text: string, min: number, max: number): number {
  if (!WHOLE_NUMBER.test(text)) throw new FormatError('is not a whole number');
  return inRange(Number(text), min, max, String);
}

/** @throws FormatError where it is not in the range, whose ends are printed so */
export function inRange(value: number, min: number, max: number, print: (value: number) => string): number {
  if (value < min) throw new FormatError(`is less than ${print(min)}`);
  if (value > max) throw new FormatError(`is more than ${print(max)}`);
  return value;
}

/** A count, in decimal digits only: no sign, no fraction, no `0x`, no `1e3`. */
export function wholeNumber(min: number, max: number = Number.MAX_SAFE_INTEGER): Format<number> {
  const range = max === Number.MAX_SAFE_INTEGER ? `, ${min} or more` : ` from ${min} to ${max}`;
  return {
    expected: `a whole number${range}`,
    schema: { type: 'integer', minimum: min, ...(max < Number.MAX_SAFE_INTEGER && { maximum: max }) },
    parse: text => parseWholeNumber(text, min, max),
    print: String,
  };
}

/** A TCP port. 0 is allowed; each setting says what it means. */
export const port: Format<number> = {
  expected: 'a port number from 0 to 65535, such as 2587',
  schema: { type: 'integer', minimum: 0, maximum: 65_535 },
  parse: text => parseWholeNumber(text, 0, 65_535),
  print: String,
};

const BYTES = /^(0|[1-9]\d*)(KiB|MiB|GiB)?$/;
const BYTE_UNITS: Readonly<Record<string, number>> = { KiB: 1024, MiB: 1024 ** 2, GiB: 1024 ** 3 };

/** A size, stored in bytes. */
export function bytes(min: number): Format<number> {
  return {
    expected: 'a size in bytes, such as 26214400, or with a unit, such as 512KiB, 25MiB or 1GiB',
    schema: {
      anyOf: [
        { type: 'integer', minimum: 0 },
        { type: 'string', pattern: '^[0-9]+(KiB|MiB|GiB)?$' },
      ],
    },
    parse(text) {
      const [, digits, unit = ''] = BYTES.exec(text) ?? [];
      if (digits === undefined) throw new FormatError('is not a size');
      return inRange(Number(digits) * (BYTE_UNITS[unit] ?? 1), min, Number.MAX_SAFE_INTEGER, String);
    },
    print: String,
  };
}

/** Exactly `true` or `false`: `yes`, `no`, `on`, `1` and `True` are refused rather than guessed at. */
export const boolean: Format<boolean> = {
  expected: 'true or false',
  schema: { type: 'boolean' },
  parse(text) {
    if (text !== 'true' && text !== 'false') throw new FormatError('is neither true nor false');
    return text === 'true';
  },
  print: String,
};

/** One of a few words, written exactly so. */
export function oneOf<const T extends string>(...words: readonly T[]): Format<T> {
  return {
    expected: eitherOf(words),
    schema: { enum: words },
    parse(text) {
      const word = words.find(candidate => candidate === text);
      if (word === undefined) throw new FormatError('is not one of the words allowed here');
      return word;
    },
    print: value => value,
  };
}

/** `a, b or c`. */
export function eitherOf(words: readonly string[]): string {
  return `${words.slice(0, -1).join(', ')} or ${words.at(-1)}`;
}

/**
 * A text that a check accepts: a pattern, or a function that throws a `FormatError` for others.
 *
 * @param pattern of the schema; it lets the empty text through, since most settings of texts may be empty
 */
export function text(expected: string, check: RegExp | ((value: string) => void), pattern?: string): Format<string> {
  return {
    expected,
    schema: { type: 'string', ...(pattern !== undefined && { pattern }) },
    parse(value) {
      if (typeof check === 'function') check(value);
      else if (!check.test(value)) throw new FormatError(`is not ${expected}`);
      return value;
    },
    print: value => value,
  };
}

/**
 * Texts of one pattern, separated by commas; none is allowed. White space around the commas is left out.
 *
 * @param written the pattern of the schema
 */
export function list(expected: string, pattern: RegExp, written: string): Format<readonly string[]> {
  return {
    expected: `${expected}, separated by commas`,
    schema: listSchema(written),
    list: true,
    parse(value) {
      const entries = splitList(value);
      if (entries.every(entry => pattern.test(entry))) return entries;
      throw new FormatError(`holds an entry that is not one of ${expected}`);
    },
    print: value => value.join(','),
  };
}

/** Secrets separated by commas, for a rotation with an overlap; none is allowed. Nothing here repeats one of them. */
export function secrets(kind: string, isGood: (secret: string) => boolean): Format<readonly string[]> {
  return {
    expected: `secrets ${kind}, separated by commas`,
    schema: { type: ['array', 'string'], items: { type: 'string' } },
    list: true,
    parse(value) {
      const entries = splitList(value);
      if (entries.every(isGood)) return entries;
      throw new FormatError(`holds a secret that is not ${kind}`);
    },
    print: value => value.join(','),
  };
}

/** As a list, or as a text with commas. */
export function listSchema(pattern: string): JsonSchema {
  return { anyOf: [{ type: 'array', items: { type: 'string', pattern } }, { type: 'string' }] };
}

function splitList(value: string): string[] {
  return value === '' ? [] : value.split(',').map(entry => entry.trim());
}

/** The same format, with the empty text allowed: it switches the thing off, or leaves it to the relay to choose. */
export function optional(format: Format<string>): Format<string> {
  const { enum: allowed } = format.schema;
  const schema = Array.isArray(allowed) ? { enum: ['', ...allowed] } : format.schema;
  return { ...format, schema, parse: value => (value === '' ? '' : format.parse(value)) };
}

const DNS_NAME = /^(?=.{1,253}$)[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?)*$/i;

/** A name or an address without a port, brackets or a scheme. */
export const HOST_PATTERN = '^(/\\S+|[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_])?\\.?|[0-9a-fA-F:]*:[0-9a-fA-F:.]*)?$';

function checkHostName(value: string): void {
  if (!DNS_NAME.test(value) || isIP(value) !== 0) throw new FormatError('is not a host name');
}

/** A host name in ASCII (A-labels), without a final dot. */
export const hostName = text('a host name, such as smtp.example.com', checkHostName, HOST_PATTERN);

/** What a listener is bound to. */
export const listenAddress = text(
  'an IP address or a host name without a port, such as 0.0.0.0 or ::',
  value => {
    if (isIP(value) !== 0) return;
    if (!DNS_NAME.test(value) || /^[\d.]+$/.test(value))
      throw new FormatError('is neither an IP address nor a host name');
  },
  HOST_PATTERN,
);

/** The shape that the AWS SDK accepts in a region: it becomes part of a host name. */
export const awsRegion = text(
  'the name of an AWS region, such as us-east-1',
  value => {
    if (!/^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/.test(value)) throw new FormatError('is not the name of an AWS region');
  },
  '^([a-z]{2}(-[a-z]+)+-[0-9]+)?$',
);

/** The path of a file; whether it can be read is checked where it is read. */
export const path = text('the path of a file', value => {
  if (value === '' || value.includes('\0')) throw new FormatError('is not a path');
});

function parseUrl(value: string, kind: string): URL {
  // WHATWG URLs drop these silently; the drivers that get the text do not.
  if (/\s/.test(value)) throw new FormatError(`is not ${kind}: it contains white space`);
  const url = URL.parse(value);
  if (url === null) throw new FormatError(`is not ${kind}: it cannot be read as a URL`);
  return url;
}

/** An `http:` or `https:` URL. */
export const httpUrl = text(
  'an http or https URL, such as https://sqs.us-east-1.amazonaws.com/123456789012/background-jobs',
  value => {
    const { protocol } = parseUrl(value, 'an http or https URL');
    if (protocol !== 'http:' && protocol !== 'https:') throw new FormatError('is not an http or https URL');
  },
  '^(https?://[^\\s/]+\\S*)?$',
);

/**
 * A connection string for Postgres, as node-postgres reads it. A host may be left out where `?host=` names one or a
 * socket folder: `postgres://relay@/opensend?host=/run/postgresql`.
 */
export const postgresUrl = text(
  'a URL such as postgres://user:password@host:5432/database, with %XX in place of special characters in the password ' +
    '(%40 for @, %2F for /, %23 for #)',
  value => {
    if (!/^postgres(ql)?:\/\//.test(value)) throw new FormatError('does not begin with postgres:// or postgresql://');
    const url = parseUrl(value.replace('@/', '@socket/'), 'a Postgres URL');
    try {
      decodeURIComponent(url.username + url.password + url.pathname);
    } catch {
      throw new FormatError('is not a Postgres URL: a % in it is not followed by two hexadecimal digits');
    }
  },
);

function checkNetwork(network: string): void {
  try {
    readNetwork(network);
  } catch (error) {
    if (!(error instanceof NotANetwork)) throw error;
    throw new FormatError(`holds ${error.what}`);
  }
  if (!network.includes('/') || network.includes('%')) {
    throw new FormatError('holds an entry that is not a network in CIDR notation');
  }
}

/** Networks in CIDR notation, separated by commas; none is allowed. White space around the commas is left out. */
export const networks: Format<readonly string[]> = {
  expected:
    'networks in CIDR notation separated by commas, such as 10.0.0.0/8,2001:db8::/32 (one address: 192.0.2.7/32)',
  schema: listSchema('^([0-9.]+|[0-9a-fA-F:.]+:[0-9a-fA-F:.]*)(/[0-9]{1,3})?$'),
  list: true,
  parse(value) {
    const entries = splitList(value);
    for (const entry of entries) checkNetwork(entry);
    return entries;
  },
  print: value => value.join(','),
};
