import { load, YAMLException } from 'js-yaml';

/** One document of a file. */
export interface ParsedDocument {
  /** Its text, as far as the next `---`. */
  readonly text: string;
  /** The line of the file that the text begins on, counted from 1. */
  readonly line: number;
  /** What YAML makes of it; undefined where it is not YAML. */
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

function parse(text: string): Pick<ParsedDocument, 'value' | 'syntaxError'> {
  try {
    return { value: load(text), syntaxError: null };
  } catch (error) {
    const isSyntax = error instanceof YAMLException;
    const why = isSyntax ? (error.reason ?? 'it cannot be read') : 'it cannot be read';
    return { value: undefined, syntaxError: { why, line: isSyntax ? (error.mark?.line ?? 0) : 0 } };
  }
}

function countLines(text: string): number {
  let lines = 0;
  for (let at = text.indexOf('\n'); at >= 0; at = text.indexOf('\n', at + 1)) lines += 1;
  return lines;
}
