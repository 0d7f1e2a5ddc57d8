import { move, transferableSymbol, valueSymbol } from 'piscina';
import { freeMemory, freePieces, isInLargeMemory, messageOf, piecesOf, sha256Here } from './bytes.ts';
import { readHeaderFields, startOf } from './header/fields.ts';
import type { MessageParts, PartsOptions } from './mime/parts.ts';
import { readMessage } from './mime/read-message.ts';
import { Refusal, type RefusalDetail } from './refusal.ts';

/** One large message on its way into the thread; its memory moves along and comes back with the answer. */
export interface ParseTask {
  /** In pieces that follow one another. */
  readonly raw: readonly Uint8Array[];
  readonly options: PartsOptions;
}

/** Errors lose their class between threads, so a refusal travels as data. */
export interface ParseAnswer {
  /** In pieces; none where the parts have all that is needed, or it is refused. */
  readonly raw: readonly Uint8Array[];
  readonly parts?: MessageParts;
  /** Of `raw`, where it comes back with its parts. */
  readonly sha256?: Uint8Array;
  readonly refusal?: RefusalDetail;
}

/** What runs in the worker thread. */
export default async function parse({ raw, options }: ParseTask): Promise<unknown> {
  const message = messageOf(raw);
  const { headerBytes } = options.mime;
  try {
    const fields = readHeaderFields(startOf(message, headerBytes), headerBytes);
    const parts = await readMessage(message, fields, options);
    if (!options.contents) return moved({ raw: piecesOf(message), parts, sha256: sha256Here(message) });
    const kept = new Set(parts.contentApart?.content.map(({ buffer }) => buffer));
    freePieces(piecesOf(message).filter(({ buffer }) => !kept.has(buffer)));
    return moved({ raw: [], parts });
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    freeMemory(message);
    return moved({ raw: [], refusal: error.detail });
  }
}

/** Hands the answer's memory over to the main thread without a copy (piscina's Transferable). */
function moved(answer: ParseAnswer): unknown {
  const { text, html, attachmentsJson, contentApart } = answer.parts ?? {};
  const own = [text, html, attachmentsJson].map(bytes => (typeof bytes === 'string' ? null : ownMemory(bytes)));
  const pieces = [...answer.raw, ...(contentApart?.content ?? []).filter(isInLargeMemory)];
  const memory = [...own, ...pieces.map(({ buffer }) => buffer)].filter(buffer => buffer !== null);
  return move({ [transferableSymbol]: [...new Set(memory)], [valueSymbol]: answer } as never);
}

/** Small Buffers are views of a pool that other Buffers live in; those are copied. */
function ownMemory(bytes: Uint8Array | null | undefined): ArrayBufferLike | null {
  return bytes && bytes.byteLength === bytes.buffer.byteLength ? bytes.buffer : null;
}
