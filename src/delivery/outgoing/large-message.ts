import { type Mended, mendBytes } from '../../message/mending/mend.ts';
import type { MendingRules } from '../../message/mending/plan.ts';
import {
  isStretch,
  type Skeleton,
  SkeletonBuilder,
  type SkeletonLimits,
  type Stretch,
} from '../../message/mime/skeleton.ts';
import { type MarkedSource, UNMARKED } from '../../tracking/rewrite.ts';
import { StreamedBytes } from './bytes.ts';
import { Foresight, type Preview } from './preview.ts';
import { type ReadSlice, SliceReader } from './slice-reader.ts';

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
