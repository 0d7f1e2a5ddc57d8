import { createFairScheduler, type FairSchedulerOptions } from '../../flow/fair-scheduler.ts';
import { bodyOffset } from '../../message/header/fields.ts';
import { type Mended, mendBytes } from '../../message/mending/mend.ts';
import type { MendingRules } from '../../message/mending/plan.ts';
import {
  isStretch,
  type Skeleton,
  SkeletonBuilder,
  type SkeletonLimits,
  type Stretch,
} from '../../message/mime/skeleton.ts';
import type { ReadSlice } from '../../store/messages/raw.ts';
import { type MarkedSource, UNMARKED } from '../../tracking/rewrite.ts';
import type { Preview } from './bytes.ts';
import { SliceReader, StreamedBytes } from './bytes.ts';

/** Bytes from which on a message is read from the database while it goes out. */
export const STREAMED_FROM = 1024 * 1024;

/** What one has in memory at most: its skeleton, a few slices, and these as they are encoded. */
const STREAMED_BYTES = 4 * 1024 * 1024;

/**
 * What a message takes of `worker.bytesInFlight` while it is sent: its size, or what a large one has in memory of it. One that has to
 * be in memory as a whole waits for room of its own (`WholeMessages`).
 */
export function bytesFor({ sizeBytes }: { readonly sizeBytes: number }): number {
  return Math.min(sizeBytes, STREAMED_BYTES);
}

/** The message has to be in memory as a whole. */
export class NeedsWhole extends Error {
  override readonly name = 'NeedsWhole';
}

export interface LargeMessage {
  readonly sizeBytes: number;
  readonly read: ReadSlice;
  readonly rules: MendingRules;
  /** Turns mended bytes into those that go out. */
  readonly finish: (mended: Buffer, source: MarkedSource) => Promise<Buffer>;
  /** Left out, nobody wants to see it beforehand. */
  readonly preview?: Preview;
  readonly sizes?: LargeSizes;
}

/** Other sizes than those that large messages are made for. */
export interface LargeSizes {
  readonly slice?: number;
  readonly skeleton?: Partial<SkeletonLimits>;
}

/** Bytes of texts that are put back for tracking. */
const MAX_FILLED = 4 * 1024 * 1024;

/**
 * What goes out of a large message, without having it in memory. It is read once for its skeleton, and what happens to a small
 * message happens to that: mending, composing, tracking. The stretches that came through it unseen are read again when it is sent.
 *
 * @throws NeedsWhole; MessageUnread
 */
export async function streamMessage(message: LargeMessage): Promise<StreamedBytes> {
  const { read, rules, finish, preview, sizes } = message;
  const foresight = preview ? new Foresight(preview, header => finish(header, UNMARKED)) : null;
  const { skeleton, mended } = await mendSkeleton(await readSkeleton(message, foresight), message, rules);
  let filled = 0;
  const source: MarkedSource = {
    sizeOf: bytes => skeleton.sizeOf(bytes),
    async fill(bytes) {
      const size = skeleton.sizeOf(bytes);
      if (size === bytes.length) return bytes;
      filled += size;
      if (filled > MAX_FILLED) throw new NeedsWhole('texts');
      return Buffer.concat(await readAll(skeleton.takeApart(bytes), message));
    },
  };
  const bytes = await finish(mended.bytes, source);
  const seen = foresight?.of(skeleton, bytes) ?? null;
  return new StreamedBytes(skeleton.takeApart(bytes), read, { slice: sizes?.slice, preview: seen });
}

/** @throws NeedsWhole where too much has to stay; MessageUnread */
async function readSkeleton({ sizeBytes, read, sizes }: LargeMessage, foresight: Foresight | null): Promise<Skeleton> {
  const builder = new SkeletonBuilder(sizes?.skeleton);
  const slices = new SliceReader(read, sizeBytes, sizes?.slice);
  for await (const slice of slices.read({ start: 0, end: sizeBytes })) {
    if (!builder.add(slice)) throw new NeedsWhole('structure');
    await foresight?.add(slice);
  }
  return builder.end();
}

interface MendedSkeleton {
  readonly skeleton: Skeleton;
  readonly mended: Mended;
}

/** Content that is encoded anew is put back for it. */
async function mendSkeleton(first: Skeleton, message: LargeMessage, rules: MendingRules): Promise<MendedSkeleton> {
  for (let skeleton = first; ; ) {
    const mended = await mendBytes(skeleton.bytes, rules);
    // The headers of messages within are left out like any text.
    if (mended.within) throw new NeedsWhole('message within');
    const lost = skeleton.lostIn(mended.bytes);
    if (lost.length === 0) return { skeleton, mended };
    const size = lost.reduce((sum, { start, end }) => sum + end - start, 0);
    if (size > MAX_FILLED) throw new NeedsWhole('content');
    skeleton = skeleton.with(lost, await readAll(lost, message));
  }
}

/** One buffer for each piece. */
async function readAll(
  pieces: readonly (Buffer | Stretch)[],
  { read, sizes }: Pick<LargeMessage, 'read' | 'sizes'>,
): Promise<Buffer[]> {
  const stretches = pieces.filter(isStretch);
  const reader = new SliceReader(read, stretches.at(-1)?.end ?? 0, sizes?.slice);
  const buffers: Buffer[] = [];
  for (const piece of pieces) {
    if (Buffer.isBuffer(piece)) buffers.push(piece);
    else buffers.push(Buffer.concat(await Array.fromAsync(reader.read(piece))));
  }
  return buffers;
}

/** Bytes among which a header ends; behind them nobody looks ahead. */
const MAX_HEADER = 1024 * 1024;

/**
 * Shows a message while it is read for its skeleton, as if nothing of it changed but the header: mostly that is what comes out, and
 * then it need not be read once more to be seen.
 */
class Foresight {
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

/** Gives back the room that a message takes. */
export type Release = () => void;

/** Room for large messages that have to be in memory as a whole, on top of what all others take. */
export interface WholeMessages {
  /** Waits until there is room; owners take turns. A message that is larger than all room has it alone. */
  enter(owner: string, bytes: number): Promise<Release>;
}

export function createWholeMessages(options: FairSchedulerOptions): WholeMessages {
  const turns = createFairScheduler(options);
  return {
    enter: (owner, bytes) =>
      new Promise((resolve, reject) => {
        const stay = () => new Promise<void>(leave => resolve(leave));
        turns.add(owner, bytes, stay).catch(reject);
      }),
  };
}
