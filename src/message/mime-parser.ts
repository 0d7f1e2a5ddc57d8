import { MailParser, type MailParserOptions } from 'mailparser';
import { contentRefusal } from './refusal.ts';

/** How far a message may be nested and divided before it is refused. */
export interface MimeLimits {
  /** Levels of multipart in multipart. */
  readonly depth: number;
  readonly parts: number;
}

export interface MimeParserOptions {
  readonly fallbackCharset: string;
  /** Hash attachments with SHA-256. */
  readonly hash: boolean;
  /** Count Base64 attachments in place of decoding them, which is most of the work on a large message. */
  readonly skipBase64: boolean;
}

/** A node of mailparser's tree: what this file reads of it. */
interface TreeNode {
  readonly contentType: string;
  readonly disposition?: string;
  readonly isAttachment?: boolean;
  readonly encoding?: string;
  readonly textContent?: string;
  readonly children: readonly TreeNode[];
}

/** A node of the splitter below mailparser. */
interface SplitNode {
  type: string;
  value?: Buffer;
  charset: string | false;
  flowed: boolean;
  contentType: string | false;
  readonly parentNode?: SplitNode;
}

/** The members of MailParser that its type declarations leave out. */
interface MailParserInternals {
  tree: TreeNode | false;
  curnode: TreeNode | false;
  processChunk(chunk: SplitNode, done: (error?: Error) => void): void;
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

const Base = MailParser as unknown as new (options: MailParserOptions) => MailParser & MailParserInternals;

/**
 * mailparser, with what it is too free about put right:
 *
 * - text and HTML parts come out as they were written, one after the other; mailparser mixes text into HTML, and joins
 *   the lines of `format=flowed`;
 * - nesting is bounded (it bounds only the number of parts);
 * - a part in eight bits without a charset is read as `fallbackCharset`.
 */
export class MimeParser extends Base {
  readonly #limits: MimeLimits;
  readonly #options: MimeParserOptions;
  #skippedBase64 = 0;

  constructor(limits: MimeLimits, options: MimeParserOptions) {
    super({ ...OPTIONS, maxChildNodes: limits.parts, checksumAlgo: options.hash ? 'sha256' : false });
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
      chunk.flowed = false;
      chunk.charset ||= this.#options.fallbackCharset;
    } else if (chunk.type === 'body' && this.#skips(this.curnode)) {
      this.#skippedBase64 += base64Characters(chunk.value ?? Buffer.alloc(0));
      setImmediate(done);
      return;
    }
    super.processChunk(chunk, done);
  }

  #skips(node: TreeNode | false): boolean {
    return this.#options.skipBase64 && node !== false && node.isAttachment === true && node.encoding === 'base64';
  }

  /** Replaces the mixing of texts by mailparser: called by it once, at the end. */
  getTextContent(): { type: 'text' } {
    return { type: 'text' };
  }

  /** The inline parts of that type, decoded, one after the other; null where there is none. Line ends are LF. */
  bodyOf(contentType: 'text/plain' | 'text/html'): string | null {
    const found: string[] = [];
    const visit = (node: TreeNode): void => {
      if (node.contentType === contentType && !node.isAttachment) found.push(node.textContent ?? '');
      node.children.forEach(visit);
    };
    if (this.tree) visit(this.tree);
    return found.length === 0 ? null : found.join('\n');
  }
}

function depthOf(node: SplitNode): number {
  let depth = 0;
  for (let parent = node.parentNode; parent; parent = parent.parentNode) depth += 1;
  return depth;
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
