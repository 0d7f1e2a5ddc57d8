import { hash as hashOf } from 'node:crypto';
import { Readable } from 'node:stream';
import { setImmediate } from 'node:timers/promises';
import type { SendEmailRequest } from '@aws-sdk/client-sesv2';
import { type OutgoingBytes, piecesOf } from '../../outgoing/bytes.ts';
import { Base64, BODY_HEAD, SesBodyHash } from './body-hash.ts';

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
 * hash and once while it is sent, and takes no memory beyond its own. Of one that is read from the database the hash may be known.
 *
 * @param signal the worker is stopping
 * @throws MessageUnread; the signal's reason
 */
export async function sendEmailBody(
  parameters: SendEmailParameters,
  raw: OutgoingBytes,
  signal?: AbortSignal,
): Promise<RequestBody> {
  const tail = `"}},${JSON.stringify(parameters).slice(1)}`;
  if (Buffer.isBuffer(raw) && raw.length <= SMALL) {
    const content = Buffer.from(BODY_HEAD + raw.toString('base64') + tail);
    return { length: content.length, sha256: hashOf('sha256', content), content };
  }
  const sha256 = (await messageHash(raw, signal)).with(tail);
  const length = Buffer.byteLength(BODY_HEAD) + Math.ceil(raw.length / 3) * 4 + Buffer.byteLength(tail);
  // A buffer as high-water mark: one piece waits while another is written.
  const content = Readable.from(pieces(raw, tail), { objectMode: true, highWaterMark: 1 });
  return { length, sha256, content };
}

/** Others have their turn between two pieces: a large message takes a tenth of a second. */
async function messageHash(raw: OutgoingBytes, signal: AbortSignal | undefined): Promise<SesBodyHash> {
  if (!Buffer.isBuffer(raw) && raw.preview instanceof SesBodyHash) return raw.preview;
  const hash = new SesBodyHash();
  for await (const piece of piecesOf(raw, PIECE)) {
    signal?.throwIfAborted();
    hash.add(piece);
    await setImmediate();
  }
  // For the next call: a message has several where it has many recipients.
  if (!Buffer.isBuffer(raw)) raw.preview = hash;
  return hash;
}

async function* pieces(raw: OutgoingBytes, tail: string): AsyncGenerator<Buffer> {
  yield Buffer.from(BODY_HEAD);
  const base64 = new Base64();
  for await (const piece of piecesOf(raw, PIECE)) {
    const [first, others] = base64.encode(piece);
    const encoded = Buffer.allocUnsafeSlow(first.length + others.length);
    encoded.write(others, encoded.write(first, 'latin1'), 'latin1');
    if (encoded.length > 0) yield encoded;
    await setImmediate();
  }
  yield Buffer.from(base64.rest + tail);
}
