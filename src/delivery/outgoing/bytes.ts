import { isAscii } from 'node:buffer';
import { isStretch, type Stretch } from '../../message/mime/skeleton.ts';
import type { Preview } from './preview.ts';
import { type ReadSlice, SLICE, SliceReader } from './slice-reader.ts';

/** The bytes that go out, with CRLF line ends: in memory, or read from the database while they go. */
export type OutgoingBytes = Buffer | StreamedBytes;

export interface StreamedOptions {
  /** Bytes a round trip. */
  readonly slice?: number | undefined;
  readonly preview?: Preview | null;
}

/** New bytes, and stretches of the message as it is stored, in the order in which they go out. */
export class StreamedBytes {
  readonly length: number;
  readonly isAscii: boolean;
  /** Has seen all of it. */
  preview: Preview | null;
  readonly #pieces: readonly (Buffer | Stretch)[];
  readonly #read: ReadSlice;
  readonly #slice: number;

  /** @param pieces the first one has the whole header */
  constructor(pieces: readonly (Buffer | Stretch)[], read: ReadSlice, options: StreamedOptions = {}) {
    this.#pieces = pieces;
    this.#read = read;
    this.#slice = options.slice ?? SLICE;
    this.preview = options.preview ?? null;
    this.length = pieces.reduce((sum, piece) => sum + lengthOf(piece), 0);
    this.isAscii = pieces.every(piece => (isStretch(piece) ? piece.isAscii : isAscii(piece)));
  }

  /** The beginning, with the whole header. */
  get head(): Buffer {
    const [first] = this.#pieces;
    return Buffer.isBuffer(first) ? first : Buffer.alloc(0);
  }

  /**
   * All bytes in order, read anew each time, no more than a few slices of them in memory.
   *
   * @throws MessageUnread where they cannot be read to their end
   */
  async *pieces(): AsyncGenerator<Buffer> {
    const stretches = this.#pieces.filter(isStretch);
    const reader = new SliceReader(this.#read, stretches.at(-1)?.end ?? 0, this.#slice);
    for (const piece of this.#pieces) {
      if (Buffer.isBuffer(piece)) yield piece;
      else yield* reader.read(piece);
    }
  }
}

function lengthOf(piece: Buffer | Stretch): number {
  return Buffer.isBuffer(piece) ? piece.length : piece.end - piece.start;
}

export function isAsciiOnly(bytes: OutgoingBytes): boolean {
  return Buffer.isBuffer(bytes) ? isAscii(bytes) : bytes.isAscii;
}

/** Bytes from the beginning, the whole header among them. */
export function headOf(bytes: OutgoingBytes): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : bytes.head;
}

/** All bytes in order, in pieces of `size` at most. @throws MessageUnread */
export async function* piecesOf(bytes: OutgoingBytes, size: number): AsyncGenerator<Buffer> {
  for await (const piece of Buffer.isBuffer(bytes) ? [bytes] : bytes.pieces()) {
    for (let start = 0; start < piece.length; start += size) yield piece.subarray(start, start + size);
  }
}
