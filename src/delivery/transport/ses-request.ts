import { createHash, hash as hashOf } from 'node:crypto';
import { Readable } from 'node:stream';
import { setImmediate } from 'node:timers/promises';
import type { SendEmailRequest } from '@aws-sdk/client-sesv2';

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
/** Raw bytes that are encoded at a time; a multiple of three, so that pieces of Base64 make up the whole. */
const PIECE = 192 * 1024;

/**
 * The JSON of SendEmail with a raw message (SES API v2 reference, "SendEmail"). The SDK's own serializer holds a message four
 * times over: as Base64, in JSON, in UTF-8, and as it is hashed. Here a large one is encoded piece by piece, once for the
 * hash and once while it is sent, and takes no memory beyond its own.
 */
export async function sendEmailBody(parameters: SendEmailParameters, raw: Buffer): Promise<RequestBody> {
  const head = '{"Content":{"Raw":{"Data":"';
  const tail = `"}},${JSON.stringify(parameters).slice(1)}`;
  if (raw.length <= SMALL) {
    const content = Buffer.from(head + raw.toString('base64') + tail);
    return { length: content.length, sha256: hashOf('sha256', content), content };
  }
  const hash = createHash('sha256');
  let length = 0;
  for await (const piece of pieces(head, raw, tail)) {
    hash.update(piece);
    length += piece.length;
  }
  // A buffer as high-water mark: one piece waits while another is written.
  const content = Readable.from(pieces(head, raw, tail), { objectMode: true, highWaterMark: 1 });
  return { length, sha256: hash.digest('hex'), content };
}

/** Others have their turn between two pieces: a large message takes a tenth of a second. */
async function* pieces(head: string, raw: Buffer, tail: string): AsyncGenerator<Buffer> {
  yield Buffer.from(head);
  for (let start = 0; start < raw.length; start += PIECE) {
    yield Buffer.from(raw.toString('base64', start, start + PIECE), 'latin1');
    await setImmediate();
  }
  yield Buffer.from(tail);
}
