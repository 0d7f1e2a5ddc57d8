import { type MimeNode, Splitter } from '@zone-eu/mailsplit';
import { fieldText, unfold } from '../../message/header/fields.ts';
import { contentId, fileName, mediaType } from '../../message/mime/attachment-fields.ts';
import { decodeQuotedPrintable } from '../../message/mime/decoders.ts';
import { effectiveEncoding } from '../../message/mime/part-header.ts';
import { decodeText, decodeWords } from '../../message/text/charset.ts';

/** A part of a message, as it is written. */
export interface Part {
  /** As IMAP numbers them: `1.2`; empty for the message itself where it has parts. */
  readonly path: string;
  readonly contentType: string;
  readonly charset: string | null;
  /** Empty where nothing is said. */
  readonly encoding: string;
  readonly disposition: 'inline' | 'attachment' | null;
  readonly filename: string | null;
  /** Without angle brackets. */
  readonly contentId: string | null;
  /** Bytes as they are written; those of a multipart count with its parts. */
  readonly size: number;
  readonly parts: readonly Part[];
}

/** A header field for people. */
export interface Field {
  readonly name: string;
  /** Unfolded, with its encoded words (RFC 2047) decoded. */
  readonly value: string;
}

/** A message taken apart. */
export class Structure {
  readonly root: Part;
  readonly #raw: Buffer;
  readonly #contents: ReadonlyMap<string, Content>;

  private constructor(raw: Buffer, root: Part, contents: ReadonlyMap<string, Content>) {
    this.#raw = raw;
    this.root = root;
    this.#contents = contents;
  }

  /**
   * Takes a message apart by the splitter that read it when it was accepted. It hands out slices of the bytes that it was given at
   * once, so that contents are known by where they stand.
   */
  static async read(raw: Buffer): Promise<Structure> {
    const splitter = new Splitter({
      ignoreEmbedded: true,
      maxHeadSize: Number.POSITIVE_INFINITY,
      maxChildNodes: Number.POSITIVE_INFINITY,
    });
    splitter.end(raw);
    const nodes: MimeNode[] = [];
    const pieces = new Map<MimeNode, Buffer[]>();
    for await (const chunk of splitter) {
      if (chunk.type === 'node') nodes.push(chunk);
      else if (chunk.type === 'body') pieces.set(chunk.node, [...(pieces.get(chunk.node) ?? []), chunk.value]);
    }
    const contents = new Map<string, Content>();
    const children = Map.groupBy(nodes.slice(1), node => node.parentNode);
    const describe = (node: MimeNode, path: string): Part => {
      const below = children.get(node) ?? [];
      const bytes = pieces.get(node) ?? [];
      const encoding = effectiveEncoding(node.encoding || false);
      if (below.length === 0) contents.set(path, { pieces: bytes, encoding, charset: node.charset || undefined });
      return {
        path,
        contentType: mediaType(node.contentType || 'text/plain'),
        charset: node.charset || null,
        encoding,
        disposition: node.disposition === false ? null : node.disposition === 'inline' ? 'inline' : 'attachment',
        filename: fileName(decodeWords(node.filename || '')) || null,
        contentId: contentId(node.headers ? (node.headers.getFirst('content-id') ?? '') : ''),
        size: bytes.reduce((sum, { length }) => sum + length, 0),
        parts: below.map((child, index) => describe(child, path === '' ? `${index + 1}` : `${path}.${index + 1}`)),
      };
    };
    const [first] = nodes;
    if (!first) throw new Error('a message without a header');
    return new Structure(raw, describe(first, children.has(first) ? '' : '1'), contents);
  }

  /** The header section, in its order. */
  get headers(): readonly Field[] {
    const end = this.#raw.indexOf('\r\n\r\n');
    const section = end === -1 ? this.#raw : this.#raw.subarray(0, end);
    const lines = fieldText(section).split(/\r\n(?![ \t])/);
    return lines.flatMap(line => {
      const colon = line.indexOf(':');
      if (colon < 1) return [];
      return [{ name: line.slice(0, colon).trimEnd(), value: decodeWords(unfold(line.slice(colon + 1))) }];
    });
  }

  /** All parts that hold something themselves, in their order. */
  get leaves(): readonly Part[] {
    const walk = (part: Part): Part[] => (part.parts.length === 0 ? [part] : part.parts.flatMap(walk));
    return walk(this.root);
  }

  /** The decoded content of a leaf; null where there is no such part. */
  contentOf(path: string): Buffer | null {
    const content = this.#contents.get(path);
    if (!content) return null;
    const bytes = Buffer.concat(content.pieces);
    if (content.encoding === 'base64') return Buffer.from(bytes.toString('latin1'), 'base64');
    return content.encoding === 'quoted-printable' ? decodeQuotedPrintable(bytes) : bytes;
  }

  /** The same as text. */
  textOf(path: string): string | null {
    const bytes = this.contentOf(path);
    return bytes && decodeText(bytes, this.#contents.get(path)?.charset, 'plain');
  }
}

interface Content {
  readonly pieces: readonly Buffer[];
  readonly encoding: string;
  readonly charset: string | undefined;
}
