import { randomBytes } from 'node:crypto';
import { type MessageBytes, piecesOf, wholeOf } from '../bytes.ts';

/** RFC 2045 section 6.8: lines of at most 76 characters, which are 57 bytes. */
const LINE_CHARS = 76;
const LINE_BYTES = 57;
/** A line break within a JSON string. */
const BREAK = Buffer.from('\\r\\n');
/** Bytes that are encoded at a time: whole lines. */
const BATCH = LINE_BYTES * 1_024;

/**
 * Encodes bytes as they come into Base64 with CRLF between the lines, as a JSON string has it. So no attachment of tens of
 * megabytes is in memory twice, raw and encoded, and no `JSON.stringify` goes over it.
 */
export class Base64Lines {
  readonly #pieces: Buffer[] = [];
  #waiting: Buffer[] = [];
  #waitingBytes = 0;

  push(chunk: Buffer): void {
    this.#waiting.push(chunk);
    this.#waitingBytes += chunk.length;
    if (this.#waitingBytes >= BATCH) this.#encode(this.#waitingBytes - (this.#waitingBytes % LINE_BYTES));
  }

  /** @returns all that was pushed, in pieces */
  end(): readonly Buffer[] {
    this.#encode(this.#waitingBytes);
    return this.#pieces;
  }

  /** @param count how many of the waiting bytes; whole lines, but at the end */
  #encode(count: number): void {
    const bytes = Buffer.concat(this.#waiting, this.#waitingBytes);
    for (let start = 0; start < count; start += BATCH) {
      this.#pieces.push(linesOf(bytes.subarray(start, Math.min(start + BATCH, count)), this.#pieces.length === 0));
    }
    this.#waiting = count < bytes.length ? [Buffer.from(bytes.subarray(count))] : [];
    this.#waitingBytes -= count;
  }
}

/** A break stands before each line but the first of all. */
function linesOf(bytes: Buffer, isFirst: boolean): Buffer {
  const chars = Buffer.from(bytes.toString('base64'), 'latin1');
  const breaks = Math.ceil(chars.length / LINE_CHARS) - (isFirst ? 1 : 0);
  const lines = Buffer.allocUnsafeSlow(chars.length + BREAK.length * breaks);
  let at = 0;
  for (let start = 0; start < chars.length; start += LINE_CHARS) {
    if (start > 0 || !isFirst) at += BREAK.copy(lines, at);
    at += chars.copy(lines, at, start, start + LINE_CHARS);
  }
  return lines;
}

/** Lines of Base64 that were taken out of a message. */
export interface Run {
  /** With the CRLF of each. */
  readonly lines: Buffer;
  /** Of Base64, padding not counted. */
  readonly characters: number;
}

export interface Elided {
  /** The message with a line of its own in place of each run. */
  readonly raw: Buffer;
  /** By the text of the line that stands for it. */
  readonly runs: ReadonlyMap<string, Run>;
}

/** A shorter run is not worth the trouble. */
const MIN_RUN = 32 * 1024;
/** A shorter line may be a word of a text, or a boundary's first half. */
const MIN_LINE = 40;
const CR = 0x0d;

/** 1 for the characters of Base64 (RFC 2045 section 6.8), padding not among them: it ends a run. */
const IN_ALPHABET = new Uint8Array(256);
for (const char of 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/') {
  IN_ALPHABET[char.charCodeAt(0)] = 1;
}
/** The same for two bytes at a time, in either order: all of a large message is looked up here. */
const BOTH_IN_ALPHABET = new Uint8Array(256 * 256);
for (const [pair] of BOTH_IN_ALPHABET.entries()) {
  BOTH_IN_ALPHABET[pair] = (IN_ALPHABET[pair & 0xff] as number) & (IN_ALPHABET[pair >> 8] as number);
}

/**
 * Takes long runs of Base64 lines out of a message. No such line is a header field, or a boundary: those begin with `--`.
 * So the message's structure stays what it is, and reading it costs next to nothing, however large its attachments are.
 *
 * The reader of the message finds out whether a run is really an attachment, when it meets the run's line.
 *
 * @param fullLines take only lines of 76 characters, for `FullLines`
 */
export function elideBase64(raw: MessageBytes, fullLines = false): Elided {
  const runs = new Map<string, Run>();
  const left: Buffer[] = [];
  const mark = randomBytes(MARK_BYTES).toString('base64');
  for (const [index, block] of piecesOf(raw).entries()) {
    // A line that is in two blocks belongs to no run.
    const from = index === 0 ? 0 : behindLine(block, 0);
    let kept = 0;
    for (const { start, end, characters } of findRuns(block, from, fullLines ? LINE_CHARS : null)) {
      const line = mark + numbered(runs.size);
      runs.set(line, { lines: block.subarray(start, end), characters });
      left.push(block.subarray(kept, start), Buffer.from(`${line}\r\n`));
      kept = end;
    }
    left.push(block.subarray(kept));
  }
  return { raw: runs.size === 0 ? wholeOf(raw) : Buffer.concat(left), runs };
}

/** What stands for a run is a full line of Base64, which nobody can guess and which decodes to `LINE_BYTES`. */
const NUMBER_BYTES = 9;
const MARK_BYTES = LINE_BYTES - NUMBER_BYTES;
const MARK_CHARS = (MARK_BYTES / 3) * 4;

function numbered(index: number): string {
  const bytes = Buffer.alloc(NUMBER_BYTES);
  bytes.writeUInt32BE(index);
  return bytes.toString('base64');
}

/**
 * Content that `Base64Lines` has encoded anew, with the runs put back that were taken out of it: what is written in full lines already
 * need not be decoded for that. A run behind lines that are not full is not found any more.
 */
export class FullLines {
  readonly #pieces: (Buffer | Run)[] = [];
  /** Of the runs, beyond those of the lines that stood for them. */
  hiddenBytes = 0;
  runs = 0;

  constructor(encoded: readonly Buffer[], runs: ReadonlyMap<string, Run>) {
    const [first] = runs.keys();
    for (const piece of encoded) {
      if (first === undefined) this.#pieces.push(piece);
      else this.#putBack(piece, first.slice(0, MARK_CHARS), runs);
    }
  }

  #putBack(piece: Buffer, mark: string, runs: ReadonlyMap<string, Run>): void {
    let kept = 0;
    for (let at = piece.indexOf(mark); at !== -1; at = piece.indexOf(mark, at + 1)) {
      const run = runs.get(piece.toString('latin1', at, at + LINE_CHARS));
      if (run === undefined) continue;
      this.#pieces.push(piece.subarray(kept, at), run);
      kept = at + LINE_CHARS;
      this.hiddenBytes += (run.characters / 4) * 3 - LINE_BYTES;
      this.runs += 1;
    }
    this.#pieces.push(piece.subarray(kept));
  }

  /** As it is without JSON: what was in full lines, as it came and where it is. */
  plain(): readonly Buffer[] {
    return this.#pieces.map(piece => (Buffer.isBuffer(piece) ? unescaped(piece) : withoutLastBreak(piece)));
  }

  /** Bytes within a JSON string. */
  get length(): number {
    return this.#pieces.reduce((sum, piece) => sum + (Buffer.isBuffer(piece) ? piece.length : lengthOf(piece)), 0);
  }

  /** @returns the offset behind them */
  copy(target: Buffer, offset: number): number {
    let at = offset;
    for (const piece of this.#pieces)
      at += Buffer.isBuffer(piece) ? piece.copy(target, at) : copyRun(piece, target, at);
    return at;
  }
}

/** What one attachment has in place of an empty content. JSON would have it escaped, and parsed again by the database. */
export interface ContentApart {
  /** Of the attachment. */
  readonly index: number;
  /** Base64, CRLF after each 76 characters; in pieces, most of which are still where the message came in. */
  readonly content: readonly Uint8Array[];
}

export interface EncodedAttachments {
  readonly attachmentsJson: Uint8Array | null;
  readonly contentApart?: ContentApart;
}

/** Bytes that need no decoding of a content that goes apart. */
const WORTH_GOING_APART = 64 * 1024;

/** @param descriptions what each has beside its content */
export function encodeAttachments(descriptions: readonly object[], contents: readonly FullLines[]): EncodedAttachments {
  const apart = largestOf(contents);
  const heads = descriptions.map((description, index) => {
    return Buffer.from(`${index === 0 ? '[' : '"},'}${JSON.stringify(description).slice(0, -1)},"content":"`);
  });
  const inJson = contents.map((content, index) => (index === apart ? null : content));
  const end = Buffer.from('"}]');
  const length = [...heads, ...inJson, end].reduce((sum, piece) => sum + (piece?.length ?? 0), 0);
  const json = Buffer.allocUnsafeSlow(length);
  let at = 0;
  for (const [index, head] of heads.entries()) {
    at += head.copy(json, at);
    at = inJson[index]?.copy(json, at) ?? at;
  }
  end.copy(json, at);
  const content = contents[apart]?.plain();
  return { attachmentsJson: json, ...(content && { contentApart: { index: apart, content } }) };
}

/** The place of the one that is to go apart; -1 where there is none. */
function largestOf(contents: readonly FullLines[]): number {
  const sizes = contents.map(({ hiddenBytes }) => hiddenBytes);
  const largest = Math.max(...sizes);
  return largest < WORTH_GOING_APART ? -1 : sizes.indexOf(largest);
}

function unescaped(encoded: Buffer): Buffer {
  return Buffer.from(encoded.toString('latin1').replaceAll(BREAK.toString(), '\r\n'), 'latin1');
}

function withoutLastBreak({ lines }: Run): Buffer {
  return lines.subarray(0, -2);
}

/** No break stands before the first line of a run, nor behind its last one. */
function lengthOf({ characters }: Run): number {
  return characters + (characters / LINE_CHARS - 1) * BREAK.length;
}

function copyRun(run: Run, target: Buffer, offset: number): number {
  const { lines, characters } = run;
  let at = offset;
  for (let start = 0, left = characters; left > 0; start += LINE_CHARS + 2, left -= LINE_CHARS) {
    if (start > 0) at += BREAK.copy(target, at);
    at += lines.copy(target, at, start, start + LINE_CHARS);
  }
  return at - offset;
}

interface Found {
  readonly start: number;
  /** The offset behind the last line's CRLF. */
  readonly end: number;
  readonly characters: number;
}

/** @param from the start of a line. @param lineChars of each line; null for any length that is not too short */
function* findRuns(raw: Buffer, from: number, lineChars: number | null): Generator<Found> {
  const pairs = pairsOf(raw);
  let start = from;
  while (start < raw.length) {
    const run = runAt(raw, pairs, start, lineChars);
    if (run.end - run.start >= MIN_RUN) yield run;
    start = behindLine(raw, run.end);
  }
}

/** The offset behind the end of the line that `start` is in. */
function behindLine(raw: Buffer, start: number): number {
  const end = raw.indexOf('\n', start);
  return end === -1 ? raw.length : end + 1;
}

/** The same bytes two at a time; none where they do not lie so in memory. */
function pairsOf({ buffer, byteOffset, length }: Buffer): Uint16Array {
  return byteOffset % 2 === 0 ? new Uint16Array(buffer, byteOffset, length >> 1) : new Uint16Array();
}

/** The Base64 lines that begin at `start`, which is the start of a line; none where the first is another. */
function runAt(raw: Buffer, pairs: Uint16Array, start: number, lineChars: number | null): Found {
  const { length } = raw;
  let end = start;
  let characters = 0;
  for (;;) {
    const position = alphabetEnd(raw, pairs, end);
    const chars = position - end;
    const isOther = lineChars === null ? chars < MIN_LINE : chars !== lineChars;
    // At a block's end the LF may be in the next one.
    if (isOther || position >= length - 1 || raw[position] !== CR) return { start, end, characters };
    characters += chars;
    end = position + 2;
  }
}

/** The first place from `start` on whose byte is no character of Base64. */
function alphabetEnd(raw: Buffer, pairs: Uint16Array, start: number): number {
  let position = start;
  if (position % 2 === 1 && IN_ALPHABET[raw[position] as number] === 1) position += 1;
  if (position % 2 === 0) {
    let pair = position >> 1;
    while (pair < pairs.length && BOTH_IN_ALPHABET[pairs[pair] as number] === 1) pair += 1;
    position = Math.max(position, pair << 1);
  }
  while (position < raw.length && IN_ALPHABET[raw[position] as number] === 1) position += 1;
  return position;
}
