/** What was noticed about the lines of a message while it arrived. */
export interface LineFacts {
  /** A CR or LF that is not part of a CRLF. */
  readonly bareLineEnding: boolean;
  /** Bytes of the longest line, its end not counted. */
  readonly longestLine: number;
}

const CR = 0x0d;
const LF = 0x0a;
const DOT = 0x2e;
const CRLF = Buffer.from('\r\n');
/** Bytes of a chunk from which on a view of it by words pays. */
const WORTH_WORDS = 256;
const NO_WORDS: Int32Array = new Int32Array();

/**
 * Where the decoder is in the text. `dot` and `dotCr`: a line began with a dot, which is the end of the data only where
 * CRLF follows. `bare` and `bareDot`: the same after a bare line end, where nothing ends the data. `crCr`: only where
 * bare line ends are turned into CRLF.
 */
type State = 'lineStart' | 'text' | 'cr' | 'crCr' | 'dot' | 'dotCr' | 'bare' | 'bareDot' | 'end';

/**
 * Takes the text of DATA apart (RFC 5321 section 4.5.2): removes the dots that clients put before dots, and finds the
 * end. Only `CRLF . CRLF` is the end, whatever the packets are cut into; bare CR and LF are noticed and, where asked,
 * turned into CRLF, but never end a message (section 4.1.1.4), so that nothing can be smuggled behind a false end.
 */
export class DataDecoder {
  readonly #emit: (bytes: Buffer) => void;
  readonly #normalise: boolean;
  #state: State = 'lineStart';
  #bareLineEnding = false;
  #longestLine = 0;
  #lineLength = 0;
  #chunk: Buffer = CRLF;
  /** The same four bytes at a time, where it is long. */
  #words = NO_WORDS;
  /** Where the bytes begin that are content and not yet emitted. */
  #from = 0;

  /**
   * @param emit takes decoded bytes, in order; slices of the chunks that were pushed
   * @param normalise turn bare line ends into CRLF
   */
  constructor(emit: (bytes: Buffer) => void, normalise: boolean) {
    this.#emit = emit;
    this.#normalise = normalise;
  }

  /** @returns the offset behind the end of data in this chunk, or -1 where it is not in it. */
  push(chunk: Buffer): number {
    this.#chunk = chunk;
    this.#words = chunk.length >= WORTH_WORDS ? wordsOf(chunk) : NO_WORDS;
    this.#from = 0;
    let position = 0;
    while (position < chunk.length) {
      position = this.#state === 'text' ? this.#skipText(position) : this.#step(chunk[position] as number, position);
      if (this.#state === 'end') return position;
    }
    this.#emitUntil(chunk.length);
    // A CR, and a dot at the start of a line, are held back until it is known what follows them.
    return -1;
  }

  facts(): LineFacts {
    return { bareLineEnding: this.#bareLineEnding, longestLine: this.#longestLine };
  }

  /** Runs over whole lines while nothing in them is to be taken out: nearly all bytes pass through here. */
  #skipText(start: number): number {
    const chunk = this.#chunk;
    let position = start;
    for (;;) {
      const from = position;
      position = this.#lineEndFrom(position);
      this.#lineLength += position - from;
      if (position === chunk.length) return position;
      if (chunk[position] !== CR || chunk[position + 1] !== LF) {
        this.#lineEndByte(chunk[position] as number, position);
        return position + 1;
      }
      this.#measureLine();
      position += 2;
      if (position === chunk.length || chunk[position] === DOT) {
        this.#state = 'lineStart';
        return position;
      }
    }
  }

  /** The next CR or LF; the chunk's length where there is none. No word is looked into that has no control character. */
  #lineEndFrom(start: number): number {
    const chunk = this.#chunk;
    const words = this.#words;
    let position = start;
    while (position < chunk.length) {
      if ((position & 3) === 0) {
        let word = position >> 2;
        while (word < words.length && !hasControl(words[word] as number)) word += 1;
        position = Math.max(position, word << 2);
        if (position >= chunk.length) return chunk.length;
      }
      const byte = chunk[position];
      if (byte === CR || byte === LF) return position;
      position += 1;
    }
    return position;
  }

  #lineEndByte(byte: number, position: number): void {
    this.#emitUntil(position);
    this.#from = position + 1;
    if (byte === CR) this.#state = 'cr';
    else this.#bareEnd(LF);
  }

  /** One byte outside running text. @returns the position to go on from. */
  #step(byte: number, position: number): number {
    switch (this.#state) {
      case 'lineStart':
      case 'bare':
        return this.#atLineStart(byte, position);
      case 'cr':
        return this.#afterCr(byte, position);
      case 'crCr':
        return this.#afterCrCr(byte, position);
      case 'dot':
        return this.#afterDot(byte, position);
      case 'dotCr':
        return this.#afterDotCr(byte, position);
      default:
        return this.#afterBareDot(byte, position);
    }
  }

  #atLineStart(byte: number, position: number): number {
    if (byte !== DOT) {
      this.#state = 'text';
      return position;
    }
    this.#state = this.#state === 'bare' ? 'bareDot' : 'dot';
    this.#emitUntil(position);
    this.#from = position + 1;
    return position + 1;
  }

  #afterCr(byte: number, position: number): number {
    if (byte === LF) {
      this.#endLine(CRLF);
      this.#state = 'lineStart';
      this.#from = position + 1;
      return position + 1;
    }
    // CR CR LF, as some programs write it, is one line end; so this CR waits for what follows the next.
    if (byte === CR && this.#normalise) {
      this.#state = 'crCr';
      this.#from = position + 1;
      return position + 1;
    }
    this.#bareEnd(CR);
    this.#from = position;
    return position;
  }

  #afterCrCr(byte: number, position: number): number {
    this.#bareLineEnding = true;
    // Not CR CR LF: the first of the two is a line end of its own.
    if (byte !== LF) this.#bareEnd(CR);
    this.#state = byte === CR ? 'crCr' : 'cr';
    this.#from = position + (byte === CR ? 1 : 0);
    return this.#from;
  }

  #afterDot(byte: number, position: number): number {
    if (byte === CR) {
      this.#state = 'dotCr';
      this.#from = position + 1;
      return position + 1;
    }
    // The dot was put there by the client for transparency.
    this.#state = 'text';
    this.#from = position;
    return position;
  }

  #afterDotCr(byte: number, position: number): number {
    if (byte === LF) {
      this.#state = 'end';
      return position + 1;
    }
    return this.#afterCr(byte, position);
  }

  #afterBareDot(byte: number, position: number): number {
    // A client whose lines end bare doubles its dots all the same; a single one is its text.
    if (byte !== DOT) this.#content(Buffer.of(DOT));
    this.#state = 'text';
    this.#from = position;
    return position;
  }

  #bareEnd(byte: number): void {
    this.#bareLineEnding = true;
    this.#endLine(this.#normalise ? CRLF : Buffer.of(byte));
    this.#state = 'bare';
  }

  #endLine(bytes: Buffer): void {
    this.#measureLine();
    this.#emit(bytes);
  }

  #measureLine(): void {
    if (this.#lineLength > this.#longestLine) this.#longestLine = this.#lineLength;
    this.#lineLength = 0;
  }

  #content(bytes: Buffer): void {
    this.#lineLength += bytes.length;
    this.#emit(bytes);
  }

  #emitUntil(position: number): void {
    if (position > this.#from) this.#emit(this.#chunk.subarray(this.#from, position));
    this.#from = position;
  }
}

function wordsOf({ buffer, byteOffset, length }: Buffer): Int32Array {
  return byteOffset % 4 === 0 ? new Int32Array(buffer, byteOffset, length >> 2) : NO_WORDS;
}

/** Whether one of four bytes is less than 0x20: only such a byte has its highest bit clear, and set when 0x20 is taken from it. */
function hasControl(word: number): boolean {
  return ((word - 0x20202020) & ~word & 0x80808080) !== 0;
}
