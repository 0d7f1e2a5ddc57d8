import { Blocks } from '../../src/message/bytes.ts';

/** A message as it arrives, but in blocks of that size; each has memory of its own. */
export function inBlocks(raw: Buffer, size: number): Blocks {
  const starts = Array.from({ length: Math.ceil(raw.length / size) }, (_, index) => index * size);
  return new Blocks(starts.map(start => Buffer.from(new Uint8Array(raw.subarray(start, start + size)).buffer)));
}
