import { hash, subtle } from 'node:crypto';
import { setImmediate } from 'node:timers/promises';

/** A stretch of a message, `end` behind its last byte. */
export interface Range {
  readonly start: number;
  readonly end: number;
}

const FIRST_BLOCK = 4 * 1024;
const MAX_BLOCK = 1024 * 1024;
/** Blocks that are copied in one turn of the event loop. */
const BLOCKS_A_TURN = 8;

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
    const last = this.#block.subarray(0, this.#filled);
    const blocks = this.#blocks;
    const whole = blocks.length === 0 ? last : Buffer.allocUnsafeSlow(this.#size);
    this.clear();
    let offset = 0;
    for (const block of blocks) {
      offset += block.copy(whole, offset);
      freeMemory(block);
    }
    if (blocks.length > 0) last.copy(whole, offset);
    return whole;
  }

  /** The same, with pauses for others: to copy tens of megabytes takes as many milliseconds. */
  async takeInTurns(): Promise<Buffer> {
    const last = this.#block.subarray(0, this.#filled);
    const blocks = this.#blocks;
    if (blocks.length === 0) return this.take();
    const whole = Buffer.allocUnsafeSlow(this.#size);
    this.clear();
    let offset = 0;
    for (const [index, block] of blocks.entries()) {
      if (index % BLOCKS_A_TURN === BLOCKS_A_TURN - 1) await setImmediate();
      offset += block.copy(whole, offset);
      freeMemory(block);
    }
    last.copy(whole, offset);
    return whole;
  }

  clear(): void {
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
export function freeMemory({ buffer, byteLength }: Uint8Array): void {
  if (byteLength >= WORTH_FREEING && buffer instanceof ArrayBuffer && buffer.byteLength === byteLength)
    buffer.transfer(0);
}

/** Bytes; hashing more takes so long that Node's thread pool does it. */
const WORTH_A_THREAD = 64 * 1024;

/** SHA-256; of few bytes at once. */
export function sha256(bytes: Uint8Array): Buffer | Promise<Buffer> {
  if (bytes.length < WORTH_A_THREAD) return hash('sha256', bytes, 'buffer');
  return subtle.digest('SHA-256', bytes as Uint8Array<ArrayBuffer>).then(digest => Buffer.from(digest));
}
