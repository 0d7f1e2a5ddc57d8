import { type MimeNode, Splitter } from '@zone-eu/mailsplit';
import type { Range } from '../message/bytes.ts';
import { isNamedFile, isSealedType, SEALING_FIELDS } from '../message/mime/part-header.ts';

/** A leaf of a message that may be shown as its body. */
export interface TextPart {
  /** Lower case: `text/html`, `text/plain`. */
  readonly contentType: string;
  /** As declared; undefined where none is. */
  readonly charset: string | undefined;
  /** Content-Transfer-Encoding in lower case; empty where there is none. */
  readonly encoding: string;
  /** Where its content stands in the message. The line break before a boundary is not of it (RFC 2046 section 5.1.1). */
  readonly start: number;
  readonly end: number;
}

/** What rewriting needs to know of a message. */
export interface Structure {
  /** Whether some part of it is signed or encrypted, or its whole content is vouched for in the header. */
  readonly isSealed: boolean;
  /** text/html and text/plain leaves that are neither attachments nor in one, in their order. */
  readonly texts: readonly TextPart[];
  /** The fields `List-Unsubscribe` (RFC 2369), with their names. */
  readonly listUnsubscribe: readonly string[];
}

const TEXT_TYPE = /^text\/(?:html|plain)$/;

/**
 * Reads where the text parts of a message are, by the same splitter that read it when it was accepted. That one bounded
 * depth, number and header size of the parts; here there are no bounds.
 *
 * The splitter hands out slices of the bytes it was given at once, which is how positions are known; its own joining would
 * write header fields and line ends anew.
 */
export async function readStructure(raw: Buffer): Promise<Structure> {
  const splitter = new Splitter({
    ignoreEmbedded: true,
    maxHeadSize: Number.POSITIVE_INFINITY,
    maxChildNodes: Number.POSITIVE_INFINITY,
  });
  splitter.end(raw);
  const nodes: MimeNode[] = [];
  const contents = new Map<MimeNode, Range | null>();
  for await (const chunk of splitter) {
    if (chunk.type === 'node') nodes.push(chunk);
    else if (chunk.type === 'body') {
      const { node, value } = chunk;
      contents.set(node, joined(contents.get(node), rangeIn(raw, value)));
    }
  }
  const parents = new Set(nodes.map(node => node.parentNode));
  const texts = nodes.flatMap(node => {
    const content = contents.get(node);
    return content && isShownText(node) && !parents.has(node) ? [textPart(node, content)] : [];
  });
  const headers = nodes[0]?.headers || null;
  return {
    isSealed:
      nodes.some(({ contentType }) => isSealedType(contentType || '')) ||
      SEALING_FIELDS.some(name => headers?.hasHeader(name)),
    texts,
    listUnsubscribe: headers?.get('List-Unsubscribe') ?? [],
  };
}

/** Where these bytes stand in the message; null where they are a copy. */
function rangeIn(raw: Buffer, bytes: Buffer): Range | null {
  const start = bytes.byteOffset - raw.byteOffset;
  const isSlice = bytes.buffer === raw.buffer && start >= 0 && start + bytes.length <= raw.length;
  return isSlice ? { start, end: start + bytes.length } : null;
}

/** Both ranges as one; null where they are not one after the other. `before` is undefined for the first of a part. */
function joined(before: Range | null | undefined, next: Range | null): Range | null {
  if (before === undefined) return next;
  return before !== null && next?.start === before.end ? { start: before.start, end: next.end } : null;
}

function textPart({ contentType, charset, encoding }: MimeNode, { start, end }: Range): TextPart {
  return { contentType: contentType || '', charset: charset || undefined, encoding: encoding || '', start, end };
}

function isShownText(node: MimeNode): boolean {
  if (!TEXT_TYPE.test(node.contentType || '') || isNamedFile(node) || isDigested(node)) return false;
  for (let part: MimeNode | false = node; part; part = part.parentNode) if (isAttached(part)) return false;
  return true;
}

/** A message in a digest, where no type says so (RFC 2046 section 5.1.5). */
function isDigested({ parentNode, headers }: MimeNode): boolean {
  const isTyped = headers ? headers.hasHeader('Content-Type') : false;
  return parentNode !== false && parentNode.multipart === 'digest' && !isTyped;
}

/** A disposition that is not known counts as an attachment (RFC 2183 section 2.8). */
function isAttached({ disposition }: MimeNode): boolean {
  return disposition !== false && disposition !== 'inline';
}
