import { createHash, hash, subtle } from 'node:crypto';

/** A stretch of a message, `end` behind its last byte. */
export interface Range {
  readonly start: number;
  readonly end: number;
}

const FIRST_BLOCK = 4 * 1024;
const MAX_BLOCK = 1024 * 1024;
/** Bytes that are worth leaving in blocks. */
const WORTH_BLOCKS = 256 * 1024;

/**
 * Bytes of a large message, in blocks that follow one another: to have them in one piece costs as much as to receive them, and most of
 * what is done with them does not need it. Nothing else lives in the blocks' memory.
 */
export class Blocks {
  readonly length: number;
  #pieces: readonly Buffer[];

  constructor(pieces: readonly Buffer[]) {
    this.#pieces = pieces;
    this.length = pieces.reduce((sum, { length }) => sum + length, 0);
  }

  get pieces(): readonly Buffer[] {
    return this.#pieces;
  }

  /** All of them in one piece, in which they are from then on. */
  join(): Buffer {
    const [only, ...others] = this.#pieces;
    if (only !== undefined && others.length === 0) return only;
    const whole = Buffer.allocUnsafeSlow(this.length);
    let offset = 0;
    for (const piece of this.#pieces) {
      offset += piece.copy(whole, offset);
      giveBack(piece);
    }
    this.#pieces = [whole];
    return whole;
  }

  /** A copy of some of them, in one piece. */
  slice(start: number, end: number): Buffer {
    const parts: Buffer[] = [];
    let offset = 0;
    for (const piece of this.#pieces) {
      const part = piece.subarray(Math.max(0, start - offset), Math.max(0, end - offset));
      if (part.length > 0) parts.push(part);
      offset += piece.length;
    }
    return Buffer.concat(parts);
  }

  /** Gives the blocks' memory back; there are none afterwards. */
  free(): void {
    for (const piece of this.#pieces) giveBack(piece);
    this.#pieces = [];
  }
}

/** A large message is in blocks. */
export type MessageBytes = Buffer | Blocks;

/** @param pieces of a message that comes from another thread, where Buffers lose their class */
export function messageOf(pieces: readonly Uint8Array[]): MessageBytes {
  const [first, ...others] = pieces.map(({ buffer, byteOffset, length }) => Buffer.from(buffer, byteOffset, length));
  if (first === undefined) return Buffer.alloc(0);
  return others.length === 0 ? first : new Blocks([first, ...others]);
}

export function piecesOf(bytes: MessageBytes): readonly Buffer[] {
  return bytes instanceof Blocks ? bytes.pieces : [bytes];
}

/** All in one piece, for what cannot do without. */
export function wholeOf(bytes: MessageBytes): Buffer {
  return bytes instanceof Blocks ? bytes.join() : bytes;
}

/**
 * Gathers bytes that come in pieces, in blocks of its own: a piece is a network buffer, whose memory is given back at
 * once where the piece has it to itself.
 */
export class ByteCollector {
  /** Full blocks, in order. */
  #blocks: Buffer[] = [];
  #block = Buffer.alloc(0);
  /** How much of the block is filled. */
  #filled = 0;
  #size = 0;

  /** @param bytes must not be used afterwards */
  add(bytes: Buffer): void {
    this.#size += bytes.length;
    for (let copied = 0; copied < bytes.length; ) {
      if (this.#filled === this.#block.length) this.#newBlock(bytes.length);
      const count = bytes.copy(this.#block, this.#filled, copied);
      this.#filled += count;
      copied += count;
    }
    freeMemory(bytes);
  }

  /** All bytes, in memory of their own so that they can move to another thread. The collector is empty afterwards. */
  take(): Buffer {
    return this.#takeAll().join();
  }

  /** The same, in blocks where there are many bytes. */
  takeBlocks(): MessageBytes {
    return this.#size < WORTH_BLOCKS ? this.take() : this.#takeAll();
  }

  #takeAll(): Blocks {
    const blocks = new Blocks([...this.#blocks, this.#block.subarray(0, this.#filled)]);
    this.#clear();
    return blocks;
  }

  /** Gives the memory of what has come back. The collector is empty afterwards. */
  free(): void {
    for (const block of [...this.#blocks, this.#block]) freeMemory(block);
    this.#clear();
  }

  #clear(): void {
    this.#blocks = [];
    this.#block = Buffer.alloc(0);
    this.#filled = 0;
    this.#size = 0;
  }

  #newBlock(needed: number): void {
    if (this.#filled > 0) this.#blocks.push(this.#block);
    const size = Math.max(FIRST_BLOCK, needed, this.#block.length * 2);
    this.#block = Buffer.allocUnsafeSlow(Math.min(size, MAX_BLOCK));
    this.#filled = 0;
  }
}

const LF = 0x0a;

/** The longest line that SMTP carries, in bytes, its CRLF not counted (RFC 5321 section 4.5.3.1.6, RFC 5322 section 2.1.1). */
export const MAX_LINE = 998;

/**
 * Whether a line of these bytes is longer than `max`, its CRLF not counted. Looks at one place in a thousand, not at each byte.
 *
 * @param bytes from the beginning of a line; lines end with CRLF
 */
export function hasLongLine(bytes: Buffer, max = MAX_LINE): boolean {
  let position = 0;
  while (bytes.length - position > max) {
    const lineFeed = bytes.lastIndexOf(LF, position + max + 1);
    if (lineFeed < position) return true;
    position = lineFeed + 1;
  }
  return false;
}

/** Bytes; freeing less is not worth the call. */
const WORTH_FREEING = 16 * 1024;

/**
 * Gives a Buffer's memory back at once, where nothing else lives in it; the Buffer is empty afterwards. The garbage
 * collector sees only a small handle, and would let the memory of large messages pile up by hundreds of megabytes.
 */
export function freeMemory(bytes: Uint8Array | Blocks): void {
  if (bytes instanceof Blocks) bytes.free();
  else if (bytes.byteLength >= WORTH_FREEING && bytes.buffer.byteLength === bytes.byteLength) giveBack(bytes);
}

/** Gives the memory back that pieces of a message are in, where it is large: all of it, whatever else lives there. */
export function freePieces(pieces: readonly Uint8Array[]): void {
  for (const piece of pieces) if (isInLargeMemory(piece)) giveBack(piece);
}

/** Whether the memory that a piece is in is large, and not what Node shares out among Buffers. */
export function isInLargeMemory({ buffer }: Uint8Array): boolean {
  return buffer.byteLength >= WORTH_FREEING && buffer.byteLength > Buffer.poolSize;
}

function giveBack({ buffer }: Uint8Array): void {
  if (buffer instanceof ArrayBuffer && !buffer.detached) buffer.transfer(0);
}

/** Bytes; hashing more takes so long that Node's thread pool does it. */
const WORTH_A_THREAD = 64 * 1024;

/** SHA-256; of few bytes at once. */
export function sha256(bytes: Uint8Array): Buffer | Promise<Buffer> {
  if (bytes.length < WORTH_A_THREAD) return hash('sha256', bytes, 'buffer');
  return subtle.digest('SHA-256', bytes as Uint8Array<ArrayBuffer>).then(digest => Buffer.from(digest));
}

/** The same, on the thread that asks. */
export function sha256Here(bytes: MessageBytes): Buffer {
  const digest = createHash('sha256');
  for (const piece of piecesOf(bytes)) digest.update(piece);
  return digest.digest();
}
