import { EVENT_ID, type Event, getScalarValue, load, parseEvents, YAMLException } from 'js-yaml';

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

/**
 * Finds where in the text of a YAML document a value stands. Called for documents with a problem only: it reads the text again.
 *
 * @param path keys and positions; what of it is not there, is where it should be
 * @returns the line, counted from 0
 */
export function lineOf(text: string, path: readonly (string | number)[]): number {
  const events = parseEvents(text, {});
  // The first event begins the document.
  const offset = offsetOf({ text, events }, 1, path, 0);
  return text.slice(0, offset).split('\n').length - 1;
}

interface Parsed {
  readonly text: string;
  readonly events: readonly Event[];
}

/** @param found the offset of the nearest thing known so far */
function offsetOf(parsed: Parsed, index: number, path: readonly (string | number)[], found: number): number {
  const event = parsed.events[index];
  const [step, ...rest] = path;
  if (event === undefined) return found;
  if (step === undefined) return found || startOf(event) || 0;
  if (event.type !== EVENT_ID.MAPPING && event.type !== EVENT_ID.SEQUENCE) return found;
  for (const child of childrenOf(parsed, index)) {
    if (child.step === step) return offsetOf(parsed, child.index, rest, child.offset);
  }
  return found || event.start;
}

interface Child {
  readonly step: string | number;
  /** Of the event that begins its value. */
  readonly index: number;
  /** Of its key, or of the value where it has none. */
  readonly offset: number;
}

function* childrenOf({ text, events }: Parsed, index: number): Generator<Child> {
  const isMapping = events[index]?.type === EVENT_ID.MAPPING;
  let at = index + 1;
  for (let position = 0; ; position++) {
    const first = events[at];
    if (first === undefined || first.type === EVENT_ID.POP) return;
    const value = isMapping ? after(events, at) : at;
    const key = first.type === EVENT_ID.SCALAR ? getScalarValue(text, first) : '';
    yield { step: isMapping ? key : position, index: value, offset: startOf(first) };
    at = after(events, value);
  }
}

/** The index of the event after all those of the value that begins here. */
function after(events: readonly Event[], index: number): number {
  let depth = 0;
  for (let at = index; at < events.length; at++) {
    const type = events[at]?.type;
    if (type === EVENT_ID.MAPPING || type === EVENT_ID.SEQUENCE) depth += 1;
    if (type === EVENT_ID.POP) depth -= 1;
    if (depth <= 0) return at + 1;
  }
  return events.length;
}

function startOf(event: Event): number {
  if (event.type === EVENT_ID.SCALAR) return event.valueStart;
  if (event.type === EVENT_ID.MAPPING || event.type === EVENT_ID.SEQUENCE) return event.start;
  return event.type === EVENT_ID.ALIAS ? event.anchorStart : 0;
}
