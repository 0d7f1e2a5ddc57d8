import { bodyOffset } from '../../message/header/fields.ts';
import type { Skeleton } from '../../message/mime/skeleton.ts';

/** Has seen all bytes of a message, in order, before it goes out; what it makes of them is its transport's. */
export interface Preview {
  /** @param bytes not to be kept */
  add(bytes: Buffer): void;
}

/** Bytes among which a header ends; behind them nobody looks ahead. */
const MAX_HEADER = 1024 * 1024;

/**
 * Shows a message while it is read for its skeleton, as if nothing of it changed but the header: mostly that is what comes out, and
 * then it need not be read once more to be seen.
 */
export class Foresight {
  readonly #preview: Preview;
  readonly #finish: (header: Buffer) => Promise<Buffer>;
  #seen: Buffer | null = Buffer.alloc(0);
  #header: { readonly length: number; readonly finished: Buffer } | null = null;

  /** @param finish makes of a header the one that goes out */
  constructor(preview: Preview, finish: (header: Buffer) => Promise<Buffer>) {
    this.#preview = preview;
    this.#finish = finish;
  }

  async add(slice: Buffer): Promise<void> {
    if (this.#header !== null) return this.#preview.add(slice);
    if (this.#seen === null) return;
    const seen = Buffer.concat([this.#seen, slice]);
    const length = bodyOffset(seen);
    this.#seen = length === seen.length && length <= MAX_HEADER ? seen : null;
    if (length === seen.length) return;
    this.#header = { length, finished: await this.#finish(seen.subarray(0, length)) };
    this.#preview.add(this.#header.finished);
    this.#preview.add(seen.subarray(length));
  }

  /** What has seen all of the message; null where it came out otherwise. @param bytes what came of the skeleton */
  of(skeleton: Skeleton, bytes: Buffer): Preview | null {
    if (this.#header === null) return null;
    const { length, finished } = this.#header;
    const isHeader = bytes.subarray(0, finished.length).equals(finished);
    const isBody = bytes.subarray(finished.length).equals(skeleton.bytes.subarray(length));
    return isHeader && isBody ? this.#preview : null;
  }
}
