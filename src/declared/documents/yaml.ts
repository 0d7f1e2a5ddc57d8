import { isMap, isNode, isScalar, isSeq, parseDocument } from 'yaml';
import { whyNotYaml } from '../../config/sources/files.ts';

/** One document of a file. */
export interface ParsedDocument {
  /** Its text, as far as the next `---`. */
  readonly text: string;
  /** The line of the file that the text begins on, counted from 1. */
  readonly line: number;
  /** Its value; undefined where it is not YAML. */
  readonly value: unknown;
  /** Why it is not YAML, and on which line of the text, counted from 0. */
  readonly syntaxError: { readonly why: string; readonly line: number } | null;
}

/** At the beginning of a line three dashes begin a document wherever they stand, even inside a quoted text (YAML 1.2, 9.1.2). */
const SEPARATOR = /^---(?=\s|$)/m;
const NOTHING = /^(?:\s*(?:#[^\n]*)?(?:\n|$))*$/;

/** Takes a file of YAML documents apart. JSON is YAML. */
export function* parseDocuments(file: string): Generator<ParsedDocument> {
  let line = 1;
  for (const text of file.replace(/^\ufeff/, '').split(SEPARATOR)) {
    if (!NOTHING.test(text)) yield { text, line, ...parse(text) };
    line += countLines(text);
  }
}

/** Pretty errors would quote the line, which may hold a secret. Tags and keys of other types mean nothing in a document. */
const OPTIONS = { prettyErrors: false, stringKeys: true, resolveKnownTags: false };

/** Where the parser has a code only, or repeats the text. */
const WHY: Readonly<Record<string, string>> = {
  BAD_SCALAR_START: 'a value begins with a character that YAML reserves; put it into quotes',
  DUPLICATE_KEY: 'duplicated mapping key',
  MULTIPLE_DOCS: 'a second document begins without ---',
  NON_STRING_KEY: 'a key is a list or a group',
  TAG_RESOLVE_FAILED: 'it has a tag (!…), which means nothing here',
};

/** More than a document has; a few of them inside each other would be millions of values. */
const MOST_ALIASES = 1000;

function parse(text: string): Pick<ParsedDocument, 'value' | 'syntaxError'> {
  const document = parseDocument(text, OPTIONS);
  const [error] = [...document.errors, ...document.warnings];
  if (error) return notYaml(WHY[error.code] ?? whyNotYaml(error), linesBefore(text, error.pos[0]));
  try {
    return { value: document.toJS({ maxAliasCount: MOST_ALIASES }), syntaxError: null };
  } catch {
    return notYaml('it has too many aliases (*…), or one for which there is no anchor (&…)', 0);
  }
}

function notYaml(why: string, line: number): Pick<ParsedDocument, 'value' | 'syntaxError'> {
  return { value: undefined, syntaxError: { why, line } };
}

function linesBefore(text: string, offset: number): number {
  return countLines(text.slice(0, offset));
}

function countLines(text: string): number {
  let lines = 0;
  for (let at = text.indexOf('\n'); at >= 0; at = text.indexOf('\n', at + 1)) lines += 1;
  return lines;
}

/**
 * Finds where in the text of a YAML document a value stands. Called for documents with a problem only: it reads the text again.
 *
 * @param path keys and positions; what of it is not there, is where it should be
 * @returns the line, counted from 0
 */
export function lineOf(text: string, path: readonly (string | number)[]): number {
  return linesBefore(text, offsetOf(parseDocument(text, OPTIONS).contents, path, 0));
}

/** @param found the offset of the nearest thing known so far */
function offsetOf(node: unknown, path: readonly (string | number)[], found: number): number {
  const [step, ...rest] = path;
  if (step !== undefined && isMap(node)) {
    const pair = node.items.find(({ key }) => isScalar(key) && String(key.value) === step);
    if (pair) return offsetOf(pair.value, rest, startOf(pair.key));
  }
  if (typeof step === 'number' && isSeq(node)) {
    const item = node.items[step];
    if (item !== undefined) return offsetOf(item, rest, startOf(item));
  }
  return found || startOf(node);
}

function startOf(node: unknown): number {
  return isNode(node) ? (node.range?.[0] ?? 0) : 0;
}
