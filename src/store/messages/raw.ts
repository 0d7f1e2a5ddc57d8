import { bodyOffset } from '../../message/header/fields.ts';
import { isUuid } from '../../platform/uuid.ts';
import { copyBytes } from '../../postgres/binary.ts';
import type { Queryable } from '../../postgres/pool.ts';

/** Bytes a round trip: large enough to be few, small enough that the driver's copies weigh little. */
const SLICE = 1024 * 1024;
/** Bytes a row of an answer. */
const PIECE = 32 * 1024;

/**
 * Reads some of a stored message. The column is stored uncompressed, so that Postgres reads no more than that.
 *
 * @param start counted from 0
 * @returns as many bytes as there are, `length` at most; null where the message is not kept any more
 */
export async function readRawSlice(
  db: Queryable,
  emailId: string,
  start: number,
  length: number,
): Promise<Buffer | null> {
  if (!isUuid(emailId) || !Number.isSafeInteger(start) || !Number.isSafeInteger(length)) {
    throw new TypeError('no slice of a message');
  }
  const end = start + length;
  const pieces = `
    select substring(raw from at + 1 for least(${PIECE}, ${end} - at))
      from (select raw, generate_series(${start}, ${Math.max(start, end - 1)}, ${PIECE}) as at
              from smtp_relay_messages where email_id = '${emailId}') as message`;
  return copyBytes(db, pieces, length);
}

/** Some bytes of a stored message, as many as there are of `length`; null where it is not kept any more. */
export type ReadSlice = (start: number, length: number) => Promise<Buffer | null>;

/**
 * Reads a stored message into one buffer, slice by slice: the driver would otherwise hold it several times over.
 *
 * @returns null where the message is not kept any more
 * @throws Error where there is less of it than it had
 */
export async function readRawMessage(read: ReadSlice, sizeBytes: number): Promise<Buffer | null> {
  const raw = Buffer.allocUnsafeSlow(sizeBytes);
  for (let offset = 0; offset < sizeBytes; offset += SLICE) {
    const length = Math.min(SLICE, sizeBytes - offset);
    const slice = await read(offset, length);
    if (slice === null) return null;
    if (slice.length !== length) throw new Error(`a message of ${sizeBytes} bytes ends before ${offset + length}`);
    slice.copy(raw, offset);
  }
  return raw;
}

/** Bytes of most headers, and some. */
const HEADER_SLICE = 64 * 1024;

/**
 * Reads as much of a stored message as its header section takes, with the empty line behind it.
 *
 * @returns null where the message is not kept any more
 */
export async function readRawHeader(readSlice: ReadSlice, sizeBytes: number): Promise<Buffer | null> {
  let read = Buffer.alloc(0);
  for (let length = HEADER_SLICE; ; length *= 2) {
    const slice = await readSlice(read.length, length);
    if (slice === null) return null;
    read = Buffer.concat([read, slice]);
    const end = bodyOffset(read);
    // Without an empty line it ends with the bytes.
    if (end < read.length || read.length >= sizeBytes || slice.length === 0) return read.subarray(0, end);
  }
}
