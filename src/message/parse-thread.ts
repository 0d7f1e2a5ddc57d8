import { hash } from 'node:crypto';
import { move, transferableSymbol, valueSymbol } from 'piscina';
import { freeMemory } from './bytes.ts';
import { readHeaderFields } from './header/fields.ts';
import type { MessageParts, PartsOptions } from './mime/parts.ts';
import { readMessage } from './mime/read-message.ts';
import { Refusal, type RefusalDetail } from './refusal.ts';

/** One large message on its way into the thread; its memory moves along and comes back with the answer. */
export interface ParseTask {
  readonly raw: Uint8Array;
  readonly options: PartsOptions;
}

/** Errors lose their class between threads, so a refusal travels as data. */
export interface ParseAnswer {
  /** Empty where the parts have all that is needed. */
  readonly raw: Uint8Array;
  readonly parts?: MessageParts;
  /** Of `raw`, where it comes back with its parts. */
  readonly sha256?: Uint8Array;
  readonly refusal?: RefusalDetail;
}

/** What runs in the worker thread. */
export default async function parse({ raw, options }: ParseTask): Promise<unknown> {
  const bytes = Buffer.from(raw.buffer, raw.byteOffset, raw.byteLength);
  try {
    const fields = readHeaderFields(bytes, options.mime.headerBytes);
    const parts = await readMessage(bytes, fields, options);
    if (!options.contents) return moved({ raw, parts, sha256: hash('sha256', bytes, 'buffer') });
    freeMemory(bytes);
    return moved({ raw: new Uint8Array(), parts });
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    return moved({ raw, refusal: error.detail });
  }
}

/** Hands the answer's memory over to the main thread without a copy (piscina's Transferable). */
function moved(answer: ParseAnswer): unknown {
  const { text, html, attachmentsJson, contentApart } = answer.parts ?? {};
  const own = [text, html, attachmentsJson, contentApart?.content].map(bytes =>
    typeof bytes === 'string' ? null : ownMemory(bytes),
  );
  const memory = [answer.raw.buffer, ...own].filter(buffer => buffer !== null);
  return move({ [transferableSymbol]: memory, [valueSymbol]: answer } as never);
}

/** Small Buffers are views of a pool that other Buffers live in; those are copied. */
function ownMemory(bytes: Uint8Array | null | undefined): ArrayBufferLike | null {
  return bytes && bytes.byteLength === bytes.buffer.byteLength ? bytes.buffer : null;
}
