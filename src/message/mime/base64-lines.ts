/** RFC 2045 section 6.8: lines of at most 76 characters, which are 57 bytes. */
const LINE_CHARS = 76;
const LINE_BYTES = 57;
/** A line break within a JSON string. */
const BREAK = Buffer.from('\\r\\n');
/** Bytes that are encoded at a time: whole lines. */
const BATCH = LINE_BYTES * 1_024;

/**
 * Encodes bytes as they come into Base64 with CRLF between the lines, as a JSON string has it. So an attachment of tens of
 * megabytes is not in memory both as it was and encoded, and no `JSON.stringify` goes over it.
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
