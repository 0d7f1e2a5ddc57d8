import { isAscii } from 'node:buffer';
import type { Range } from '../../message/bytes.ts';
import { isStretch, type Stretch } from '../../message/mime/skeleton.ts';
import type { ReadSlice } from '../../store/messages/raw.ts';

/** Has seen all bytes of a message, in order, before it goes out; what it makes of them is its transport's. */
export interface Preview {
  /** @param bytes not to be kept */
  add(bytes: Buffer): void;
}

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

/** A message cannot be read to its end: what had been handed over of it is no message. */
export class MessageUnread extends Error {
  override readonly name = 'MessageUnread';
  readonly code = 'MessageUnread';
  /** It is not kept any more. */
  readonly isGone: boolean;

  constructor(isGone: boolean, cause?: unknown) {
    super(isGone ? 'the message is not kept any more' : 'the message could not be read', { cause });
    this.isGone = isGone;
  }
}

/** What anybody but the log is told of it. */
export const UNREAD_TEXT =
  'The message could not be read to its end from where it is kept, so that nobody was given all of it';

/** Bytes a round trip. No connection is held between two. */
export const SLICE = 384 * 1024;

interface Slice {
  readonly start: number;
  readonly length: number;
  readonly bytes: Promise<Buffer>;
}

/**
 * Reads stretches of one stored message, one behind the other, each byte at most once. While a slice is worked on, the next one is
 * read.
 */
export class SliceReader {
  readonly #read: ReadSlice;
  readonly #end: number;
  readonly #slice: number;
  #current: Slice | null = null;
  #next: Slice | null = null;

  /** @param end nothing behind that is asked for */
  constructor(read: ReadSlice, end: number, slice = SLICE) {
    this.#read = read;
    this.#end = end;
    this.#slice = slice;
  }

  /** @throws MessageUnread */
  async *read({ start, end }: Range): AsyncGenerator<Buffer> {
    for (let position = start; position < end; ) {
      const slice = this.#sliceWith(position);
      const bytes = await slice.bytes;
      const to = Math.min(end, slice.start + slice.length);
      yield bytes.subarray(position - slice.start, to - slice.start);
      position = to;
    }
  }

  #sliceWith(position: number): Slice {
    const known = [this.#current, this.#next].find(slice => isWithin(slice, position));
    if (known && known === this.#current) return known;
    this.#current = known ?? this.#begin(position);
    this.#next = this.#begin(this.#current.start + this.#current.length);
    return this.#current;
  }

  #begin(start: number): Slice {
    const length = Math.min(this.#slice, this.#end - start);
    const bytes = length > 0 ? this.#ask(start, length) : Promise.resolve(Buffer.alloc(0));
    // Nobody may come to ask for it.
    bytes.catch(() => {});
    return { start, length, bytes };
  }

  async #ask(start: number, length: number): Promise<Buffer> {
    const bytes = await this.#read(start, length).catch(error => {
      throw new MessageUnread(false, error);
    });
    if (bytes?.length !== length) throw new MessageUnread(bytes === null);
    return bytes;
  }
}

function isWithin(slice: Slice | null, position: number): slice is Slice {
  return slice !== null && position >= slice.start && position < slice.start + slice.length;
}
