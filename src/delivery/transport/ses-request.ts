import { createHash, hash as hashOf } from 'node:crypto';
import { Readable } from 'node:stream';
import { setImmediate } from 'node:timers/promises';
import type { SendEmailRequest } from '@aws-sdk/client-sesv2';
import { type OutgoingBytes, piecesOf } from '../outgoing-bytes.ts';

/** The body of a request, with what its signature needs to know of it. */
export interface RequestBody {
  readonly length: number;
  /** In lower-case hex. */
  readonly sha256: string;
  readonly content: Buffer | Readable;
}

/** All of SendEmail but the message itself. */
export type SendEmailParameters = Omit<SendEmailRequest, 'Content'>;

/** Raw bytes up to which the body is one buffer. */
const SMALL = 256 * 1024;
/** Raw bytes that are encoded at a time. */
const PIECE = 192 * 1024;

/**
 * The JSON of SendEmail with a raw message (SES API v2 reference, "SendEmail"). The SDK's own serializer holds a message four
 * times over: as Base64, in JSON, in UTF-8, and as it is hashed. Here a large one is encoded piece by piece, once for the
 * hash and once while it is sent, and takes no memory beyond its own; one that is read from the database is read twice.
 *
 * @param signal the worker is stopping
 * @throws MessageUnread; the signal's reason
 */
export async function sendEmailBody(
  parameters: SendEmailParameters,
  raw: OutgoingBytes,
  signal?: AbortSignal,
): Promise<RequestBody> {
  const head = '{"Content":{"Raw":{"Data":"';
  const tail = `"}},${JSON.stringify(parameters).slice(1)}`;
  if (Buffer.isBuffer(raw) && raw.length <= SMALL) {
    const content = Buffer.from(head + raw.toString('base64') + tail);
    return { length: content.length, sha256: hashOf('sha256', content), content };
  }
  const hash = createHash('sha256');
  let length = 0;
  for await (const piece of pieces(head, raw, tail)) {
    signal?.throwIfAborted();
    hash.update(piece);
    length += piece.length;
  }
  // A buffer as high-water mark: one piece waits while another is written.
  const content = Readable.from(pieces(head, raw, tail), { objectMode: true, highWaterMark: 1 });
  return { length, sha256: hash.digest('hex'), content };
}

/** Others have their turn between two pieces: a large message takes a tenth of a second. */
async function* pieces(head: string, raw: OutgoingBytes, tail: string): AsyncGenerator<Buffer> {
  yield Buffer.from(head);
  for await (const piece of inBase64(piecesOf(raw, PIECE))) {
    yield piece;
    await setImmediate();
  }
  yield Buffer.from(tail);
}

/** Bytes in Base64, wherever their pieces end: what makes no group of three yet goes with the next. */
async function* inBase64(pieces: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  let rest: Buffer = Buffer.alloc(0);
  for await (const piece of pieces) {
    const needed = rest.length === 0 ? 0 : 3 - rest.length;
    const first = Buffer.concat([rest, piece.subarray(0, needed)]);
    const whole = needed + Math.max(0, Math.floor((piece.length - needed) / 3)) * 3;
    if (first.length % 3 !== 0) {
      rest = first;
      continue;
    }
    rest = Buffer.from(piece.subarray(whole));
    const text = first.toString('base64') + piece.toString('base64', needed, whole);
    if (text !== '') yield Buffer.from(text, 'latin1');
  }
  if (rest.length > 0) yield Buffer.from(rest.toString('base64'), 'latin1');
}
