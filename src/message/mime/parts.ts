import { once } from 'node:events';
import libmime from 'libmime';
import type { AttachmentStream } from 'mailparser';
import { type MessageBytes, wholeOf } from '../bytes.ts';
import { breakLongLines } from '../header/sendable-lines.ts';
import type { MendingFacts } from '../mending/mend.ts';
import { contentRefusal, type Refusal, sizeRefusal } from '../refusal.ts';
import { type BodyText, mapLines, readBodyText } from '../text/body-text.ts';
import { contentId, fileName, mediaType, namedContentIds } from './attachment-fields.ts';
import {
  Base64Lines,
  type ContentApart,
  type Elided,
  type EncodedAttachments,
  elideBase64,
  encodeAttachments,
  FullLines,
  type Run,
} from './base64.ts';
import { type ContentFields, joinContentFields } from './content-fields.ts';
import { type MimeLimits, MimeParser } from './mime-parser.ts';
import { isSpecialVersion, mayBeBody, type PartHeader } from './part-header.ts';

/** An attachment without its content. */
export interface AttachmentInfo {
  readonly filename: string;
  /** Media type without parameters. */
  readonly contentType: string;
  /**
   * Content-ID without angle brackets. Where contents are kept it makes the attachment inline, and is null unless the HTML
   * names it by a `cid:` link.
   */
  readonly contentId: string | null;
  /** Decoded size in bytes. */
  readonly size: number;
  /** Lower-case hex SHA-256 of the decoded content, where it was asked for. */
  readonly sha256: string | null;
}

/** What a message consists of, decoded. */
export interface MessageParts {
  readonly text: BodyText | null;
  readonly html: BodyText | null;
  readonly attachments: readonly AttachmentInfo[];
  /**
   * `emails.attachments` in full, as UTF-8 JSON: an array of {filename, content (Base64, CRLF after each 76 characters),
   * content_type, content_id}; null where contents were not asked for or there are none. Bytes and not objects, since it may have tens of
   * megabytes and comes from another thread.
   */
  readonly attachmentsJson: Uint8Array | null;
  /** The largest content, where it is large and came as it is stored: it is empty in `attachmentsJson`. */
  readonly contentApart?: ContentApart;
  /** Of the message and all parts together. */
  readonly contentFields: ContentFields;
  /** How it is mended when it is sent as it was received; absent where nothing is to be mended. */
  readonly mending?: MendingFacts;
}

export interface PartsOptions {
  readonly mime: MimeLimits;
  /** Bytes that all attachments may have together after Base64, line breaks not counted. */
  readonly attachmentBytes: number;
  /** Keep the contents, for `attachmentsJson`. */
  readonly contents: boolean;
  /** Hash the contents, to tell a repeated message. */
  readonly hashes: boolean;
  /** Break lines of the body that SES refuses beside attachments. */
  readonly breakLines: boolean;
  /** Lines longer than 998 bytes were met, in a message that is sent as it was received. */
  readonly longLines?: boolean;
  /** The client's signatures do not go out (`goesOut`). */
  readonly unsigned?: boolean;
}

/**
 * Reads a message's bodies and attachments.
 *
 * @param raw the message with CRLF line ends
 * @throws Refusal 552 where the attachments are too large; 554 for what cannot be read as MIME within the limits.
 */
export async function readParts(raw: MessageBytes, options: PartsOptions): Promise<MessageParts> {
  if (options.hashes) return readWhole(raw, options);
  const { parts, metAllRuns } = await read(elideBase64(raw, options.contents), options);
  return metAllRuns ? parts : readWhole(raw, options);
}

async function readWhole(raw: MessageBytes, options: PartsOptions): Promise<MessageParts> {
  return (await read({ raw: wholeOf(raw), runs: NO_RUNS }, options)).parts;
}

const NO_RUNS: ReadonlyMap<string, Run> = new Map();

const COMMENT = '\\([^()\\r\\n]*\\)';
const BOUNDARY_COMMENT = new RegExp(
  `^(content-type[ \\t]*:[^\\r\\n]*(?:\\r\\n[ \\t][^\\r\\n]*)*?\\bboundary\\s*=\\s*)(?:${COMMENT}\\s*)?([^\\s";()]*)(?:${COMMENT})?`,
  'gim',
);

/**
 * A comment beside a boundary's name (RFC 5322 section 3.2.2 allows it), which the library takes for a part of the name.
 *
 * @returns null where there is none
 */
function withoutBoundaryComments(raw: Buffer): Buffer | null {
  const text = raw.toString('latin1');
  const plain = text.replaceAll(BOUNDARY_COMMENT, '$1$2');
  return plain === text ? null : Buffer.from(plain, 'latin1');
}

async function read({ raw, runs }: Elided, options: PartsOptions) {
  const parser = new MimeParser(options.mime, {
    hash: options.hashes,
    counted: options.contents || options.hashes ? null : runs,
    refuseUnknownEncodings: options.contents,
  });
  const collector = new AttachmentCollector(options, runs, () => parser.takeSkippedBytes());
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
  const empty = parser.countEmptyMultiparts();
  if (empty > 0) {
    const plain = withoutBoundaryComments(raw);
    if (plain !== null) return read({ raw: plain, runs }, options);
  }
  const html = await parser.bodyOf('text/html');
  const text = (await parser.bodyOf('text/plain')) ?? (html === null ? await collector.takeBody() : null);
  const attachments = collector.finish(html ?? '');
  const contents = collector.encode(attachments);
  const contentFields = { ...joinContentFields(parser.contentFields), ...(empty > 0 && { emptyMultiparts: empty }) };
  const isBroken = options.breakLines && attachments.length > 0;
  const bodies = isBroken ? breakBody(text, html) : { text, html };
  const parts: MessageParts = { ...bodies, attachments, ...contents, contentFields };
  const metRuns = options.contents ? collector.runs : parser.metRuns;
  return { parts, metAllRuns: metRuns === runs.size };
}

/** Of a message that OpenSend's worker writes anew, and with one body only. */
function breakBody(text: BodyText | null, html: BodyText | null): Pick<MessageParts, 'text' | 'html'> {
  if (html) return { text, html: mapLines(html, lines => breakLongLines(lines, true)) };
  return { text: text && mapLines(text, lines => breakLongLines(lines, false)), html };
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
  readonly #attachments: AttachmentInfo[] = [];
  readonly #options: PartsOptions;
  /** What was taken out of the message before it was read, where contents are kept. */
  readonly #taken: ReadonlyMap<string, Run>;
  /** Of each attachment. */
  readonly #contents: FullLines[] = [];
  readonly #skippedBytes: () => number;
  #base64Bytes = 0;
  #body: BodyCandidate | null = null;

  constructor(options: PartsOptions, taken: ReadonlyMap<string, Run>, skippedBytes: () => number) {
    this.#options = options;
    this.#taken = taken;
    this.#skippedBytes = skippedBytes;
  }

  /** Reads one attachment to its end and lets the parser go on; `fail` ends the parsing. */
  collect(attachment: AttachmentStream, fail: (error: Refusal) => void): void {
    const header = headerOf(attachment);
    if (isSpecialVersion(header)) {
      drain(attachment);
      return;
    }
    const body: Buffer[] | null = this.#body === null && mayBeBody(header) ? [] : null;
    const lines = new Base64Lines();
    let size = 0;
    attachment.content.on('data', (chunk: Buffer) => {
      size += chunk.length;
      if (this.#options.contents) lines.push(chunk);
      body?.push(chunk);
      if (this.#exceeds(size)) fail(this.#tooLarge());
    });
    attachment.content.on('end', () => {
      const content = new FullLines(lines.end(), this.#taken);
      size += this.#skippedBytes() + content.hiddenBytes;
      if (this.#exceeds(size)) return fail(this.#tooLarge());
      this.#base64Bytes += base64Length(size);
      if (body) this.#body = { index: this.#attachments.length, charset: charsetOf(attachment), chunks: body };
      this.#attachments.push(describe(attachment, size, this.#attachments.length + 1));
      if (this.#options.contents) this.#contents.push(content);
      attachment.release?.();
    });
  }

  /** Makes the first unknown kind of text the message's text, which has no other; null where there is none. */
  async takeBody(): Promise<BodyText | null> {
    if (this.#body === null) return null;
    const { index, charset, chunks } = this.#body;
    this.#attachments.splice(index, 1);
    this.#contents.splice(index, 1);
    return readBodyText(Buffer.concat(chunks), charset, 'plain');
  }

  /** The attachments, now that the HTML is known. Without their contents they only say what the message has. */
  finish(html: BodyText): readonly AttachmentInfo[] {
    if (!this.#options.contents) return this.#attachments;
    const named = this.#attachments.some(info => info.contentId !== null) ? namedContentIds(html) : null;
    const isNamed = (id: string | null): boolean => id !== null && named?.has(id) === true;
    return this.#attachments.map(info => (isNamed(info.contentId) ? info : { ...info, contentId: null }));
  }

  encode(attachments: readonly AttachmentInfo[]): EncodedAttachments {
    const descriptions = attachments.map(({ filename, contentType, contentId }) => {
      return { filename, content_type: contentType, content_id: contentId };
    });
    return this.#contents.length === 0 ? { attachmentsJson: null } : encodeAttachments(descriptions, this.#contents);
  }

  /** How many of those that were taken out are content of attachments. */
  get runs(): number {
    return this.#contents.reduce((sum, { runs }) => sum + runs, 0);
  }

  #exceeds(size: number): boolean {
    return this.#base64Bytes + base64Length(size) > this.#options.attachmentBytes;
  }

  #tooLarge(): Refusal {
    const limit = this.#options.attachmentBytes;
    return sizeRefusal(
      'attachment_size',
      `Attachments are larger than ${limit} bytes after Base64: send less or a link`,
    );
  }
}

/** A text that is an attachment where there is a better body. */
interface BodyCandidate {
  /** Among the attachments. */
  readonly index: number;
  readonly charset: string | undefined;
  readonly chunks: readonly Buffer[];
}

function headerOf({ contentType, contentDisposition, filename }: AttachmentStream): PartHeader {
  return { contentType: contentType ?? false, disposition: contentDisposition ?? false, filename: filename ?? false };
}

function drain(attachment: AttachmentStream): void {
  attachment.content.on('end', () => attachment.release?.()).resume();
}

function base64Length(bytes: number): number {
  return Math.ceil(bytes / 3) * 4;
}

function describe(attachment: AttachmentStream, size: number, number: number): AttachmentInfo {
  const contentType = contentTypeOf(attachment);
  return {
    filename: fileName(attachment.filename || '') || `attachment-${number}.${extensionOf(contentType)}`,
    contentType,
    contentId: contentId(attachment.cid ?? ''),
    size,
    sha256: attachment.checksum ?? null,
  };
}

/** The declared type; mailparser guesses another one from the file's name where it is application/octet-stream. */
function contentTypeOf(attachment: AttachmentStream): string {
  return mediaType(declaredType(attachment)?.value || attachment.contentType || '');
}

function charsetOf(attachment: AttachmentStream): string | undefined {
  return declaredType(attachment)?.params?.['charset'];
}

function declaredType(attachment: AttachmentStream) {
  return attachment.headers.get('content-type') as { value?: string; params?: Record<string, string> } | undefined;
}

function extensionOf(type: string): string {
  if (type === 'message/rfc822') return 'eml';
  return libmime.detectExtension(type) || 'bin';
}
