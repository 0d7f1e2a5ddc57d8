import { Buffer } from 'node:buffer';
import { TextDecoder } from 'node:util';

/** A record of a CSV file. */
export interface CsvRecord {
  /** Of its end, counted from 1. */
  readonly line: number;
  readonly fields: readonly string[];
  /** What is odd about it, though it could be read. */
  readonly note?: string;
}

/** A line that is no record. */
interface CsvFault {
  readonly line: number;
  readonly problem: string;
}

interface Line {
  readonly number: number;
  /** null where it is too long to be one. */
  readonly text: string | null;
}

/** Characters. */
const MAX_LINE = 65_536;
/** How many lines a field in quotes may have; behind that, its quote is a stray one. */
const MAX_LINES = 100;

/**
 * Reads the records of a CSV file (RFC 4180), in UTF-8, or in UTF-16 as spreadsheets write it. Forgiving, since what follows one
 * bad line matters more than that line: a quote that is not closed spoils its own line only.
 *
 * @param delimiterOf told the first line that is not empty
 */
export async function* readRecords(
  input: AsyncIterable<unknown>,
  delimiterOf: (line: string) => string,
): AsyncGenerator<CsvRecord | CsvFault> {
  const lines = new LineReader(input);
  let delimiter: string | undefined;
  for (let line = await lines.next(); line !== null; line = await lines.next()) {
    const { number, text } = line;
    if (text === null) {
      yield { line: number, problem: `it has more than ${MAX_LINE} characters` };
    } else if (text.trim() !== '') {
      delimiter ??= delimiterOf(text);
      yield await readRecord({ number, text }, delimiter, lines);
    }
  }
}

async function readRecord(first: Line & { text: string }, delimiter: string, lines: LineReader): Promise<CsvRecord> {
  let { text } = first;
  let split = splitFields(text, delimiter);
  const taken: Line[] = [];
  while (split.isOpen) {
    const next = taken.length < MAX_LINES ? await lines.next() : null;
    if (next) taken.push(next);
    const goesOn = next !== null && next.text !== null && text.length < MAX_LINE && mayContinue(next.text, delimiter);
    if (!goesOn) {
      lines.unread(taken);
      const { fields } = splitFields(first.text, delimiter, false);
      return {
        line: first.number,
        fields: fields.map(field => field.replace(/^"/, '')),
        note: 'a quote is not closed',
      };
    }
    text += `\n${next.text}`;
    split = splitFields(text, delimiter);
  }
  return { line: taken.at(-1)?.number ?? first.number, fields: split.fields };
}

/** Whether a line can belong to a field in quotes that began before: the first quote in it has to be one that ends it. */
function mayContinue(text: string, delimiter: string): boolean {
  for (let at = text.indexOf('"'); at !== -1; at = text.indexOf('"', at + 2)) {
    if (text[at + 1] !== '"') return isEnd(text, at + 1, delimiter);
  }
  return true;
}

/** Whether nothing of a field follows. */
function isEnd(text: string, from: number, delimiter: string): boolean {
  let at = from;
  while (text[at] === ' ') at += 1;
  return at >= text.length || text[at] === delimiter;
}

/** A quote in the middle of a field is an ordinary character. @param quoting whether quotes mean anything */
function splitFields(text: string, delimiter: string, quoting = true): { fields: string[]; isOpen: boolean } {
  const fields: string[] = [];
  for (let at = 0; at <= text.length; at += 1) {
    while (text[at] === ' ') at += 1;
    if (quoting && text[at] === '"') {
      const { value, end } = readQuoted(text, at + 1, delimiter);
      fields.push(value);
      if (end === -1) return { fields, isOpen: true };
      at = text.indexOf(delimiter, end);
    } else {
      const end = text.indexOf(delimiter, at);
      fields.push(text.slice(at, end === -1 ? text.length : end).trim());
      at = end;
    }
    if (at === -1) break;
  }
  return { fields, isOpen: false };
}

/** @returns what is in quotes, and where its closing quote is; -1 where there is none */
function readQuoted(text: string, from: number, delimiter: string): { value: string; end: number } {
  let value = '';
  let at = from;
  for (;;) {
    const quote = text.indexOf('"', at);
    if (quote === -1) return { value: value + text.slice(at), end: -1 };
    const isDoubled = text[quote + 1] === '"';
    if (!isDoubled && isEnd(text, quote + 1, delimiter)) return { value: value + text.slice(at, quote), end: quote };
    value += text.slice(at, quote + 1);
    at = quote + (isDoubled ? 2 : 1);
  }
}

/** The lines of a file, one after the other; those that were taken may be given back. */
class LineReader {
  readonly #lines: AsyncGenerator<Line[]>;
  #ready: Line[] = [];
  #at = 0;

  constructor(input: AsyncIterable<unknown>) {
    this.#lines = readLines(input);
  }

  /** null at the end. */
  async next(): Promise<Line | null> {
    while (this.#at >= this.#ready.length) {
      const { value, done } = await this.#lines.next();
      if (done) return null;
      this.#ready = value;
      this.#at = 0;
    }
    const line = this.#ready[this.#at] as Line;
    this.#at += 1;
    return line;
  }

  unread(lines: readonly Line[]): void {
    this.#ready = [...lines, ...this.#ready.slice(this.#at)];
    this.#at = 0;
  }
}

/** Several lines at a time, as they arrive. */
async function* readLines(input: AsyncIterable<unknown>): AsyncGenerator<Line[]> {
  let number = 0;
  let rest = '';
  let isTooLong = false;
  const line = (text: string): Line => {
    number += 1;
    const tooLong = isTooLong || text.length > MAX_LINE;
    isTooLong = false;
    return { number, text: tooLong ? null : text };
  };
  for await (const chunk of decoded(input)) {
    const texts = (rest + chunk).split(/\r\n|\n|\r(?!$)/);
    rest = texts.pop() as string;
    yield texts.map(line);
    if (rest.length > MAX_LINE) {
      isTooLong = true;
      rest = rest.endsWith('\r') ? '\r' : '';
    }
  }
  if (rest !== '' || isTooLong) yield [line(rest.replace(/\r$/, ''))];
}

async function* decoded(input: AsyncIterable<unknown>): AsyncGenerator<string> {
  let decoder: TextDecoder | undefined;
  let begin = Buffer.alloc(0);
  for await (const chunk of input) {
    begin = Buffer.concat([begin, typeof chunk === 'string' ? Buffer.from(chunk) : (chunk as Buffer)]);
    if (!decoder && begin.length < 2) continue;
    decoder ??= new TextDecoder(encodingOf(begin));
    yield decoder.decode(begin, { stream: true });
    begin = Buffer.alloc(0);
  }
  yield (decoder ?? new TextDecoder()).decode(begin);
}

/** By the byte order mark, or by the zeros that text in ASCII has in UTF-16. The decoder takes the mark away. */
function encodingOf([first, second]: Buffer): string {
  if ((first === 0xff && second === 0xfe) || second === 0) return 'utf-16le';
  return (first === 0xfe && second === 0xff) || first === 0 ? 'utf-16be' : 'utf-8';
}
