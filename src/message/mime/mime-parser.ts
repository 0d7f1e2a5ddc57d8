import type { Transform } from 'node:stream';
import type { MailParserOptions } from 'mailparser';
import { contentRefusal } from '../refusal.ts';
import { type BodyText, joinTexts, readBodyText } from '../text/body-text.ts';
import { decodeText, effectiveCharset } from '../text/charset.ts';
import type { Run } from './base64.ts';
import type { ContentFields } from './content-fields.ts';
import { QuotedPrintableDecoder, readFlowed, UuDecoder } from './decoders.ts';
import {
  allNodes,
  boundariesOf,
  contentFieldsOf,
  depthOf,
  type HeaderLine,
  isEmptyMultipart,
  type SplitNode,
  type TreeNode,
  TreeParser,
} from './mailparser-tree.ts';
import {
  effectiveEncoding,
  effectiveType,
  isKnownEncoding,
  isNamedFile,
  isUuencoded,
  mayBeBody,
} from './part-header.ts';

/** How far a message may be nested and divided before it is refused. */
export interface MimeLimits {
  /** Levels of multipart in multipart. */
  readonly depth: number;
  readonly parts: number;
  /** Bytes that the header of the message, or of one part, may have; a line counts for 64 at least. */
  readonly headerBytes: number;
}

export interface MimeParserOptions {
  /** Hash attachments with SHA-256. */
  readonly hash: boolean;
  /**
   * Count Base64 attachments in place of decoding them: what was taken out of the message (`base64.ts`), and the rest of them. null
   * decodes them.
   */
  readonly counted: ReadonlyMap<string, Run> | null;
  /** Refuse attachments in an unknown transfer encoding: their contents cannot be told. */
  readonly refuseUnknownEncodings: boolean;
}

const OPTIONS: MailParserOptions = {
  skipHtmlToText: true,
  skipTextToHtml: true,
  skipTextLinks: true,
  skipImageLinks: true,
  // Forwarded messages and delivery reports stay what they are: attachments.
  ignoreEmbedded: true,
  keepDeliveryStatus: true,
};

/** The fields that are read. mailparser would parse each address of each list, and decode each encoded word. */
const READ_FIELDS = new Set(['content-type', 'content-disposition', 'content-id']);
const TEXT_TYPES: ReadonlySet<string> = new Set(['text/plain', 'text/html']);

/**
 * mailparser, but stricter:
 *
 * - text and HTML parts come out as they were written, one after the other; mailparser mixes text into HTML, and joins
 *   the lines of all that is `format=flowed`; here only those with `delsp=yes`, whose words are broken (RFC 3676);
 * - large texts are no strings (`body-text.ts`), and header fields that are not needed are not read;
 * - types and transfer encodings are what was meant (`part-header.ts`), and a multipart without parts is text;
 * - nesting is bounded (it bounds only the number of parts);
 * - a part without a charset, or with one that cannot be right, keeps its characters (`charset.ts`);
 * - a text file that is shown inline, as Apple Mail sends it, keeps its name: it is an attachment.
 */
export class MimeParser extends TreeParser {
  readonly #limits: MimeLimits;
  readonly #options: MimeParserOptions;
  /** Of the message and of each part, in the order met. */
  readonly contentFields: ContentFields[] = [];
  /** How many runs that were taken out of the message belong to attachments. Where that is not all, a text lacks some of it. */
  metRuns = 0;
  /** Texts without their transfer encoding, in the charsets of their parts. */
  readonly #texts = new Map<TreeNode, Buffer[]>();
  /** What stands in a multipart that has no parts as yet. */
  readonly #loose = new Map<TreeNode, Buffer[]>();
  #skippedBase64 = 0;

  constructor(limits: MimeLimits, options: MimeParserOptions) {
    super({
      ...OPTIONS,
      maxChildNodes: limits.parts,
      maxHeadSize: limits.headerBytes,
      checksumAlgo: options.hash ? 'sha256' : false,
    });
    this.#limits = limits;
    this.#options = options;
  }

  /** Decoded bytes of Base64 attachments that were counted in place of being decoded, since it was last asked. */
  takeSkippedBytes(): number {
    const bytes = Math.floor((this.#skippedBase64 * 3) / 4);
    this.#skippedBase64 = 0;
    return bytes;
  }

  override processChunk(chunk: SplitNode, done: (error?: Error) => void): void {
    if (chunk.type === 'node') {
      if (depthOf(chunk) > this.#limits.depth) {
        done(
          contentRefusal('mime_depth', `MIME parts are nested deeper than ${this.#limits.depth}: simplify the message`),
        );
        return;
      }
      this.contentFields.push(contentFieldsOf(chunk));
      chunk.contentType = effectiveType(Object.assign(chunk, { hasBoundary: chunk._boundary !== false }));
      chunk.encoding = effectiveEncoding(chunk.encoding);
      chunk.flowed &&= chunk.delSp;
      chunk.charset = effectiveCharset(chunk.charset);
      if (isUuencoded(chunk.encoding)) chunk.getDecoder = () => new UuDecoder();
      if (chunk.encoding === 'quoted-printable') chunk.getDecoder = () => new QuotedPrintableDecoder();
      if (isNamedFile(chunk)) chunk.disposition = 'attachment';
    } else if (this.curnode && isEmptyMultipart(this.curnode)) {
      this.#keepLoose(this.curnode, chunk.value);
    } else if (chunk.type === 'body' && this.#skips(this.curnode)) {
      this.#count(chunk.value ?? Buffer.alloc(0));
      setImmediate(done);
      return;
    }
    super.processChunk(chunk, done);
  }

  override createNode(split: SplitNode): TreeNode {
    const node = super.createNode(split);
    if (this.#options.refuseUnknownEncodings && node.isAttachment && !isKnownEncoding(split.encoding)) {
      this.destroy(unknownEncoding(String(split.encoding)));
    }
    if (node.decoder && !node.isAttachment && TEXT_TYPES.has(node.contentType)) this.#collectText(node, node.decoder);
    return node;
  }

  /** In place of mailparser, which decodes only what is `inline`. */
  #collectText(node: TreeNode, decoder: Transform): void {
    node.disposition = 'collected';
    const chunks: Buffer[] = [];
    this.#texts.set(node, chunks);
    decoder.on('data', (chunk: Buffer) => chunks.push(chunk));
    decoder.on('error', error => this.destroy(error));
  }

  override processHeaders(lines: readonly HeaderLine[]): Map<string, unknown> {
    return super.processHeaders(lines.filter(({ key }) => READ_FIELDS.has(key)));
  }

  #keepLoose(node: TreeNode, bytes: Buffer | undefined): void {
    if (!bytes) return;
    const before = this.#loose.get(node);
    if (before) before.push(bytes);
    else this.#loose.set(node, [bytes]);
  }

  #skips(node: TreeNode | false): boolean {
    if (this.#options.counted === null || node === false) return false;
    return node.isAttachment === true && node.encoding === 'base64' && !mayBeBody(node.node);
  }

  #count(chunk: Buffer): void {
    this.#skippedBase64 += base64Characters(chunk);
    for (const line of this.#options.counted?.size ? chunk.toString('latin1').split('\r\n') : []) {
      const run = this.#options.counted?.get(line);
      if (run === undefined) continue;
      this.metRuns += 1;
      this.#skippedBase64 += run.characters - line.length;
    }
  }

  /** Replaces the mixing of texts by mailparser: called by it once, at the end. */
  getTextContent(): { type: 'text' } {
    return { type: 'text' };
  }

  /** Without delimiters. */
  #looseText(node: TreeNode): string[] {
    const delimiters = boundariesOf(node.node);
    const lines = Buffer.concat(this.#loose.get(node) ?? [])
      .toString('latin1')
      .split('\r\n')
      .filter(line => !delimiters.some(delimiter => line.startsWith(delimiter)));
    const text = decodeText(Buffer.from(lines.join('\n'), 'latin1'), node.node.charset).trim();
    return text === '' ? [] : [`${text}\n`];
  }

  /** How many multiparts have no part: no boundary is named, or the one that is never comes. */
  countEmptyMultiparts(): number {
    const count = (node: TreeNode): number =>
      isEmptyMultipart(node) ? 1 : node.children.reduce((sum, child) => sum + count(child), 0);
    return this.tree === false ? 0 : count(this.tree);
  }

  /**
   * The inline parts of that type, decoded, one after the other; null where there is none. Line ends are LF. What stands in a
   * multipart without parts is text.
   */
  async bodyOf(contentType: 'text/plain' | 'text/html'): Promise<BodyText | null> {
    const found: BodyText[] = [];
    for (const node of this.tree ? allNodes(this.tree) : []) {
      if (node.contentType === contentType && !node.isAttachment) found.push(await this.#textOf(node));
      else if (contentType === 'text/plain' && isEmptyMultipart(node)) found.push(...this.#looseText(node));
    }
    return found.length === 0 ? null : joinTexts(found);
  }

  async #textOf(node: TreeNode): Promise<BodyText> {
    const written = Buffer.concat(this.#texts.get(node) ?? []);
    this.#texts.delete(node);
    const bytes = node.node.flowed ? readFlowed(written) : written;
    return readBodyText(bytes, node.node.charset, node.contentType === 'text/html' ? 'html' : 'plain');
  }
}

function unknownEncoding(encoding: string) {
  const text = `Content-Transfer-Encoding ${encoding.slice(0, 40)} of an attachment is not known: use base64`;
  return contentRefusal('transfer_encoding', text.replaceAll(/[^ -~]/g, '?'));
}

const EQUALS = 0x3d;
const SPACE = 0x20;

/** Characters of Base64 content, padding and line breaks not counted. */
function base64Characters(chunk: Buffer): number {
  let count = 0;
  for (let index = 0; index < chunk.length; index += 1) {
    const byte = chunk[index] as number;
    if (byte > SPACE && byte !== EQUALS) count += 1;
  }
  return count;
}
