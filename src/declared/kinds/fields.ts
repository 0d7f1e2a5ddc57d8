import Type, { type TObject, type TProperties, type TSchema, type TUnsafe } from 'typebox';
import { normaliseDomain } from '../../store/owners/domains.ts';
import { FieldError } from '../problem.ts';

/*
 * What the fields of the kinds are made of. Each definition serves three ends: the type in TypeScript, the check of a
 * document, and the published JSON Schema. Hence only what Kubernetes takes in a structural schema may be used.
 */

/** Beside the keywords of JSON Schema: what to write, as the object of "write …". It is not published. */
interface Expected {
  readonly expected: string;
}

/** A text that a pattern describes. */
export function text(expected: string, options: { pattern: string; description: string; maxLength?: number }) {
  return Type.String({ maxLength: 1024, ...options, expected } satisfies Expected & typeof options);
}

/** Any characters that can be printed, not only blanks. */
export const PRINTABLE = '^[^\\x00-\\x1f\\x7f]*[^\\x00-\\x20\\x7f][^\\x00-\\x1f\\x7f]*$';

export function words(expected: string, maxLength: number, description: string) {
  return text(expected, { pattern: PRINTABLE, maxLength, description });
}

export function oneOf<const T extends string>(allowed: readonly T[], description: string): TUnsafe<T> {
  const expected = allowed.length === 1 ? String(allowed[0]) : `one of ${allowed.join(', ')}`;
  return Type.Unsafe<T>({ type: 'string', enum: allowed, description, expected });
}

export function flag(description: string) {
  return Type.Boolean({ description, expected: 'true or false' });
}

export function count(minimum: number, maximum: number, description: string) {
  const expected = `a whole number from ${minimum} to ${maximum}`;
  return Type.Integer({ minimum, maximum, description, expected, format: 'int64' });
}

export function list<T extends TSchema>(item: T, limits: { minItems?: number; maxItems: number }, description: string) {
  return Type.Array(item, { ...limits, description, expected: 'a list' });
}

/** Fields below one. @param rules further keywords that know no types, such as `oneOf` with `required` */
export function group<P extends TProperties>(fields: P, description: string, rules: object = {}): TObject<P> {
  return Type.Object(fields, { description, expected: 'a group of fields', ...rules });
}

/** Exactly one of these fields has to be there. */
export function exactlyOneOf(...names: readonly string[]) {
  return { oneOf: names.map(name => ({ required: [name] })) };
}

const LABEL = '[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?';

/** Names in Unicode are good too: they are checked, and turned into A-labels, when the document is read. */
export function domainName(description: string) {
  return text('a domain name, such as acme.com', { pattern: '^[^\\s@\\[\\]/:*]+$', maxLength: 253, description });
}

/** A domain as it is stored. @throws FieldError */
export function readDomain(path: readonly string[], name: string): string {
  try {
    return normaliseDomain(name);
  } catch {
    throw new FieldError(path, 'is not a domain name', 'write a domain name such as acme.com');
  }
}

const CHAR = '[^/\\x00-\\x1f\\x7f]';
const CHAR_BUT_DOT = '[^/.\\x00-\\x1f\\x7f]';
/** Not `.` and not `..`. Kubernetes reads patterns as RE2 has them, without look-ahead. */
const SEGMENT = `(${CHAR_BUT_DOT}|\\.${CHAR_BUT_DOT}|\\.\\.${CHAR})${CHAR}*`;

/** A file below a folder, without a way out of it. */
export function filePath(folder: string, description: string) {
  const expected = `the path of a file below ${folder}, such as billing/key, without a / in front and without ..`;
  return text(expected, {
    pattern: `^${SEGMENT}(/${SEGMENT})*$`,
    maxLength: 512,
    description: `${description} A path below ${folder}.`,
  });
}

export function hostLabel(description: string) {
  return text('a label such as links, or a host name', {
    pattern: `^${LABEL}(\\.${LABEL})*$`,
    maxLength: 253,
    description,
  });
}

export const SECRETS_FOLDER = 'the folder of secrets (resources.secretsDirectory)';
export const DOCUMENTS_FOLDER = 'the folder of the documents (resources.directory)';

export const owner = words(
  'the id of an owner',
  255,
  'The owner (tenant), as in the `user_id` columns of the database.',
);
