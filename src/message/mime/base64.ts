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

/** Lines of Base64, taken out of a message. */
export interface Elided {
  /** The message with a line of its own in place of each run. */
  readonly raw: Buffer;
  /** Base64 characters of each run, padding not counted, by the text of the line that stands for it. */
  readonly runs: ReadonlyMap<string, number>;
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

/**
 * Takes long runs of Base64 lines out of a message. No such line is a header field, or a boundary: those begin with `--`.
 * So the message's structure stays what it is, and reading it costs next to nothing, however large its attachments are.
 *
 * The reader of the message finds out whether a run is really an attachment, when it meets the run's line.
 *
 * @param mark begins each line that stands for a run; must not occur in the message
 */
export function elideBase64(raw: Buffer, mark: string): Elided {
  const runs = new Map<string, number>();
  const pieces: Buffer[] = [];
  let kept = 0;
  for (const run of findRuns(raw)) {
    const line = `${mark}-${runs.size}`;
    runs.set(line, run.characters);
    pieces.push(raw.subarray(kept, run.start), Buffer.from(`${line}\r\n`));
    kept = run.end;
  }
  return { raw: runs.size === 0 ? raw : Buffer.concat([...pieces, raw.subarray(kept)]), runs };
}

interface Run {
  readonly start: number;
  /** The offset behind the last line's CRLF. */
  readonly end: number;
  readonly characters: number;
}

function* findRuns(raw: Buffer): Generator<Run> {
  let start = 0;
  while (start < raw.length) {
    const run = runAt(raw, start);
    if (run.end - run.start >= MIN_RUN) yield run;
    const next = raw.indexOf('\n', run.end);
    if (next === -1) return;
    start = next + 1;
  }
}

/** The Base64 lines that begin at `start`, which is the start of a line; none where the first is another. */
function runAt(raw: Buffer, start: number): Run {
  let end = start;
  let characters = 0;
  for (;;) {
    let position = end;
    while (IN_ALPHABET[raw[position] as number] === 1) position += 1;
    if (position - end < MIN_LINE || raw[position] !== CR) return { start, end, characters };
    characters += position - end;
    end = position + 2;
  }
}
