import type { Queryable } from './pool.ts';

/** Bytes a round trip: large enough to be few, small enough that the driver's copies, twice the size in text, weigh little. */
const SLICE = 1024 * 1024;

const READ_SLICE = `
  select substring(raw from $2 for $3) as slice from smtp_relay_messages where email_id = $1`;

/**
 * Reads a stored message into one buffer, slice by slice: the driver would otherwise hold it several times over. The column is
 * stored uncompressed, so that Postgres reads no more than the slice.
 *
 * @returns null where the message is not kept any more
 */
export async function readRawMessage(db: Queryable, emailId: string, sizeBytes: number): Promise<Buffer | null> {
  const raw = Buffer.allocUnsafeSlow(sizeBytes);
  for (let offset = 0; offset < sizeBytes; offset += SLICE) {
    const { rows } = await db.query<{ slice: Buffer }>(READ_SLICE, [emailId, offset + 1, SLICE]);
    if (rows[0] === undefined) return null;
    rows[0].slice.copy(raw, offset);
  }
  return raw;
}
