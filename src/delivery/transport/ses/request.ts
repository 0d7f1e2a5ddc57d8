import { createHash, type Hash, hash as hashOf } from 'node:crypto';
import { Readable } from 'node:stream';
import { setImmediate } from 'node:timers/promises';
import type { SendEmailRequest } from '@aws-sdk/client-sesv2';
import { EMAIL_ID_TAG } from '../../../events/ses/notification.ts';
import type { Tag } from '../../../message/header/control-headers.ts';
import type { Preview } from '../../outgoing/bytes.ts';
import { type OutgoingBytes, piecesOf } from '../../outgoing/bytes.ts';
import type { OutgoingMessage } from '../contract.ts';

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

/** SES API v2, SendEmail, EmailTags; MessageTag. */
const MAX_TAGS = 50;
const TAG_PART = /^[A-Za-z0-9_-]{1,256}$/;

/**
 * What SES is told about a message besides its bytes.
 *
 * The envelope's recipients are Destination, whatever To, Cc and Bcc say in the message. The sender is the message's own
 * From field: FromEmailAddress is not given, since it says nothing more and can only contradict it.
 *
 * A reverse-path cannot be set: SES sends with one of its own, so that bounces come back to it and become events. Only its
 * notices by mail, where the identity has them switched on, have an address, FeedbackForwardingEmailAddress. That is the
 * reverse-path where the owner's domain covers it, since SES wants a verified address there; else From, by SES's default.
 */
export function sendEmailParameters(message: OutgoingMessage, configurationSet: string | null): SendEmailParameters {
  const feedback = feedbackAddress(message);
  return {
    Destination: { ToAddresses: [...message.recipients] },
    EmailTags: emailTags(message),
    ...(configurationSet !== null && { ConfigurationSetName: configurationSet }),
    ...(feedback !== null && { FeedbackForwardingEmailAddress: feedback }),
  };
}

/** SES refuses two tags of one name and more than fifty: the first of a name counts, and the first fifty with ours. */
function emailTags({ emailId, tags }: OutgoingMessage): { Name: string; Value: string }[] {
  const byName = new Map([[EMAIL_ID_TAG, emailId]]);
  for (const { name, value } of tags.filter(isSendable)) {
    if (byName.size < MAX_TAGS && !byName.has(name)) byName.set(name, value);
  }
  return [...byName].map(([Name, Value]) => ({ Name, Value }));
}

function isSendable({ name, value }: Tag): boolean {
  return TAG_PART.test(name) && TAG_PART.test(value);
}

function feedbackAddress({ reversePath, from, domain }: OutgoingMessage): string | null {
  if (domain === null || reversePath === '' || reversePath === from) return null;
  const host = reversePath.slice(reversePath.lastIndexOf('@') + 1).toLowerCase();
  const owned = domain.name.toLowerCase();
  return host === owned || host.endsWith(`.${owned}`) ? reversePath : null;
}

/** How the JSON of SendEmail with a raw message begins. */
export const BODY_HEAD = '{"Content":{"Raw":{"Data":"';

/** The hash of a request's body as far as the message goes, whatever follows in it. */
export class SesBodyHash implements Preview {
  readonly #hash: Hash = createHash('sha256').update(BODY_HEAD);
  readonly #base64 = new Base64();

  add(bytes: Buffer): void {
    for (const text of this.#base64.encode(bytes)) this.#hash.update(text, 'latin1');
  }

  /** In lower-case hex. @param tail what stands behind the message; may be asked for several times */
  with(tail: string): string {
    return this.#hash.copy().update(this.#base64.rest, 'latin1').update(tail).digest('hex');
  }
}

/** Bytes in Base64, wherever their pieces end: what makes no group of three yet goes with the next. */
class Base64 {
  #rest: Buffer = Buffer.alloc(0);

  /** Two texts, since putting them together would copy them. */
  encode(piece: Buffer): readonly [string, string] {
    const needed = this.#rest.length === 0 ? 0 : 3 - this.#rest.length;
    const first = Buffer.concat([this.#rest, piece.subarray(0, needed)]);
    if (first.length % 3 !== 0) {
      this.#rest = first;
      return ['', ''];
    }
    const whole = needed + Math.floor((piece.length - needed) / 3) * 3;
    this.#rest = Buffer.from(piece.subarray(whole));
    return [first.toString('base64'), piece.toString('base64', needed, whole)];
  }

  /** Of what has come, the last group. */
  get rest(): string {
    return this.#rest.toString('base64');
  }
}
