import type { Range } from '../../message/bytes.ts';

/** Some bytes of a stored message, as many as there are of `length`; null where it is not kept any more. */
export type ReadSlice = (start: number, length: number) => Promise<Buffer | null>;

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
  'The message could not be read from the database to its end, so that nobody was given all of it';

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
