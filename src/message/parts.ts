import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import libmime from 'libmime';
import type { AttachmentStream } from 'mailparser';
import { elideBase64 } from './base64-runs.ts';
import { type MimeLimits, MimeParser } from './mime-parser.ts';
import { contentRefusal, type Refusal, sizeRefusal } from './refusal.ts';

/** An attachment without its content. */
export interface AttachmentInfo {
  readonly filename: string;
  /**
   * Media type without parameters, but for those that its content cannot be read without: the charset of a text that is
   * not UTF-8, and a calendar's `method` and `charset`.
   */
  readonly contentType: string;
  /** Content-ID without angle brackets, as `cid:` links name it. */
  readonly contentId: string | null;
  /** Decoded size in bytes. */
  readonly size: number;
  /** Lower-case hex SHA-256 of the decoded content, where it was asked for. */
  readonly sha256: string | null;
}

/** What a message consists of, decoded. */
export interface MessageParts {
  readonly text: string | null;
  readonly html: string | null;
  readonly attachments: readonly AttachmentInfo[];
  /**
   * `emails.attachments` in full, as UTF-8 JSON: an array of {filename, content (Base64), content_type, content_id};
   * null where contents were not asked for or there are none. Bytes and not objects, since it may have tens of
   * megabytes and comes from another thread.
   */
  readonly attachmentsJson: Uint8Array | null;
}

export interface PartsOptions {
  readonly mime: MimeLimits;
  /** Bytes that all attachments may have together after Base64, line breaks not counted. */
  readonly attachmentBytes: number;
  /** Keep the contents, for `attachmentsJson`. */
  readonly contents: boolean;
  /** Hash the contents, to tell a repeated message. */
  readonly hashes: boolean;
}

/**
 * Reads a message's bodies and attachments.
 *
 * @param raw the message with CRLF line ends
 * @throws Refusal 552 where the attachments are too large; 554 for what cannot be read as MIME within the limits.
 */
export async function readParts(raw: Buffer, options: PartsOptions): Promise<MessageParts> {
  if (options.contents || options.hashes) return read(raw, options, null).then(({ parts }) => parts);
  const { raw: rest, runs } = elideBase64(raw, `smtp-relay-${randomUUID()}`);
  const { parts, metAllRuns } = await read(rest, options, runs);
  return metAllRuns ? parts : read(raw, options, NO_RUNS).then(whole => whole.parts);
}

const NO_RUNS: ReadonlyMap<string, number> = new Map();

async function read(raw: Buffer, options: PartsOptions, counted: ReadonlyMap<string, number> | null) {
  const parser = new MimeParser(options.mime, { hash: options.hashes, counted });
  const collector = new AttachmentCollector(options, () => parser.takeSkippedBytes());
  parser.on('data', (item: { type: string }) => {
    if (item.type === 'attachment') collector.collect(item as AttachmentStream, error => parser.destroy(error));
  });
  // A stream may fail again after its first error; only that one is of interest.
  parser.on('error', () => {});
  parser.end(raw);
  try {
    await once(parser, 'end');
  } catch (error) {
    throw readError(error as Error & { code?: string }, options.mime);
  }
  if (parser.hasEmptyMultipart()) {
    throw contentRefusal('mime_boundary', 'A multipart has no parts: name its boundary and begin each part with it');
  }
  const parts: MessageParts = {
    text: parser.bodyOf('text/plain'),
    html: parser.bodyOf('text/html'),
    attachments: collector.attachments,
    attachmentsJson: collector.json(),
  };
  return { parts, metAllRuns: parser.metAllRuns };
}

/** mailparser tells its limits by `EMAXLEN`. What else it throws would be a mistake in a program: ours or its own. */
function readError(error: Error & { code?: string }, limits: MimeLimits): Error {
  if (error.code !== 'EMAXLEN') return error;
  if (error.message.includes('child nodes')) {
    return contentRefusal('mime_parts', `The message has more than ${limits.parts} MIME parts: send fewer`);
  }
  return sizeRefusal('header_size', 'The header of a MIME part is too large: shorten it');
}

class AttachmentCollector {
  readonly attachments: AttachmentInfo[] = [];
  readonly #options: PartsOptions;
  readonly #json: Buffer[] = [];
  readonly #skippedBytes: () => number;
  #base64Bytes = 0;

  constructor(options: PartsOptions, skippedBytes: () => number) {
    this.#options = options;
    this.#skippedBytes = skippedBytes;
  }

  /** Reads one attachment to its end and lets the parser go on; `fail` ends the parsing. */
  collect(attachment: AttachmentStream, fail: (error: Refusal) => void): void {
    const chunks: Buffer[] = [];
    let size = 0;
    attachment.content.on('data', (chunk: Buffer) => {
      size += chunk.length;
      if (this.#options.contents) chunks.push(chunk);
      if (this.#exceeds(size)) fail(this.#tooLarge());
    });
    attachment.content.on('end', () => {
      size += this.#skippedBytes();
      if (this.#exceeds(size)) return fail(this.#tooLarge());
      this.#base64Bytes += base64Length(size);
      const info = describe(attachment, size, this.attachments.length + 1);
      this.attachments.push(info);
      if (this.#options.contents) this.#append(info, Buffer.concat(chunks));
      attachment.release?.();
    });
  }

  json(): Uint8Array | null {
    if (this.#json.length === 0) return null;
    return Buffer.concat([...this.#json, Buffer.from(']')]);
  }

  #exceeds(size: number): boolean {
    return this.#base64Bytes + base64Length(size) > this.#options.attachmentBytes;
  }

  #append(info: AttachmentInfo, content: Buffer): void {
    const { filename, contentType, contentId } = info;
    const rest = JSON.stringify({ filename, content_type: contentType, content_id: contentId });
    this.#json.push(
      Buffer.from(`${this.#json.length === 0 ? '[' : ','}${rest.slice(0, -1)},"content":"`),
      Buffer.from(content.toString('base64'), 'latin1'),
      Buffer.from('"}'),
    );
  }

  #tooLarge(): Refusal {
    const limit = this.#options.attachmentBytes;
    return sizeRefusal(
      'attachment_size',
      `Attachments are larger than ${limit} bytes after Base64: send less or a link`,
    );
  }
}

function base64Length(bytes: number): number {
  return Math.ceil(bytes / 3) * 4;
}

function describe(attachment: AttachmentStream, size: number, number: number): AttachmentInfo {
  const contentType = contentTypeOf(attachment).toWellFormed();
  const type = contentType.split(';', 1)[0] as string;
  return {
    filename: attachment.filename?.toWellFormed() || `attachment-${number}.${extensionOf(type)}`,
    contentType,
    contentId: attachment.cid?.toWellFormed() || null,
    size,
    sha256: attachment.checksum ?? null,
  };
}

/** What readers of a text take it for without being told. */
const ASSUMED_CHARSET = /^(?:us-)?ascii$|^utf-?8$/i;

/** The declared type; mailparser guesses another one from the file's name where it is application/octet-stream. */
function contentTypeOf(attachment: AttachmentStream): string {
  const declared = attachment.headers.get('content-type') as
    | { value?: string; params?: Record<string, string> }
    | undefined;
  const type = declared?.value?.toLowerCase() || attachment.contentType || 'application/octet-stream';
  const { method, charset } = declared?.params ?? {};
  if (type === 'text/calendar') {
    return [type, method && `method=${method}`, charset && `charset=${charset}`].filter(Boolean).join('; ');
  }
  return type.startsWith('text/') && charset && !ASSUMED_CHARSET.test(charset) ? `${type}; charset=${charset}` : type;
}

function extensionOf(type: string): string {
  if (type === 'message/rfc822') return 'eml';
  return libmime.detectExtension(type) || 'bin';
}
