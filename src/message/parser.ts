import { Blocks, type MessageBytes, messageOf, wholeOf } from './bytes.ts';
import type { HeaderField } from './header/fields.ts';
import type { MessageParts, PartsOptions } from './mime/parts.ts';
import { readMessage } from './mime/read-message.ts';
import type { ParseAnswer, ParseTask } from './parse-thread.ts';
import { Refusal } from './refusal.ts';
import { ThreadPool } from './thread-pool.ts';

export interface ParserOptions {
  /** Messages of more bytes are parsed in a worker thread, so that they do not stall the others; so are expensive ones. */
  readonly threadBytes: number;
  readonly threads: number;
  /** How long a thread may work on one message, in milliseconds; waiting for a thread, or for one to start, does not count. */
  readonly timeout: number;
}

const NEVER = new AbortController().signal;

/** The message as it was given and what was read in it. */
export interface Parsed {
  /**
   * The same bytes. Those of a large message are in other memory than before, since they moved to the thread and back. Empty where
   * they stayed there, since the parts have all that is needed (`contents`).
   */
  readonly raw: MessageBytes;
  readonly parts: MessageParts;
  /** Of `raw`, where a thread had it in hand already. */
  readonly sha256: Uint8Array | null;
}

/** Parses messages: small ones at once, large ones in worker threads that start with the first of them. */
export class Parser {
  readonly #threadBytes: number;
  readonly #threads: ThreadPool<ParseTask, ParseAnswer>;

  constructor({ threadBytes, threads, timeout }: ParserOptions) {
    this.#threadBytes = threadBytes;
    this.#threads = new ThreadPool({ file: new URL('./parse-thread.ts', import.meta.url), threads, timeout });
  }

  /** Whether reading this message would hold up the others. */
  needsThread(raw: MessageBytes): boolean {
    return raw.length > this.#threadBytes || isDear(wholeOf(raw));
  }

  /**
   * Reads bodies and attachments (see `readParts`).
   *
   * @param raw must not be used afterwards: take the one that comes back
   * @param fields its header, read by `readHeaderFields`; null for one that only a thread should read
   * @param signal calls it off: a message that waits for a thread is let go of, and a thread that works on it is ended
   * @throws Refusal 552 or 554 where the message is at fault, 451 where it takes too long; the signal's reason
   */
  async parse(
    raw: MessageBytes,
    fields: readonly HeaderField[] | null,
    options: PartsOptions,
    signal: AbortSignal = NEVER,
  ): Promise<Parsed> {
    if (fields !== null && !this.needsThread(raw)) {
      const whole = wholeOf(raw);
      return { raw: whole, parts: await readMessage(whole, fields, options), sha256: null };
    }
    const make = () => {
      const own = raw instanceof Blocks ? raw.pieces : [withOwnMemory(raw)];
      return { task: { raw: own, options }, transferList: own.map(({ buffer }) => buffer as ArrayBuffer) };
    };
    const { raw: returned, parts, sha256 = null, refusal } = await this.#threads.run(make, signal);
    if (refusal) throw new Refusal(refusal);
    if (!parts) throw new Error('a parse thread answered neither parts nor a refusal');
    return { raw: messageOf(returned), parts, sha256 };
  }

  /** Ends the threads. Messages that are being parsed fail. */
  async close(): Promise<void> {
    await this.#threads.close();
  }
}

/** Only memory that nothing else uses can move to another thread. */
function withOwnMemory(raw: Buffer): Uint8Array<ArrayBuffer> {
  const own = raw.buffer instanceof ArrayBuffer && raw.byteLength === raw.buffer.byteLength;
  return own ? new Uint8Array(raw.buffer as ArrayBuffer) : new Uint8Array(raw);
}

/** Lines that look like boundaries. Each part costs about 35 µs, even an empty one. */
const MOST_BOUNDARIES = 50;
/** Bytes of a text in one of the charsets below, which cost about 0.2 µs each. */
const MOST_BYTES = 8 * 1024;
/** Charsets whose text is read run by run (`text/charset.ts`). */
const SLOW_CHARSETS = /utf-?7|2022-?kr|hz/i;

const BOUNDARY = Buffer.from('\n--');

/** Whether a message takes long to read for its size, as far as that shows without reading it. */
export function isDear(raw: Buffer): boolean {
  return hasManyBoundaries(raw) || (raw.length > MOST_BYTES && SLOW_CHARSETS.test(raw.toString('latin1')));
}

function hasManyBoundaries(raw: Buffer): boolean {
  let at = raw.indexOf(BOUNDARY);
  for (let left = MOST_BOUNDARIES; at !== -1 && left > 0; left -= 1) at = raw.indexOf(BOUNDARY, at + BOUNDARY.length);
  return at !== -1;
}
