import pLimit, { type LimitFunction } from 'p-limit';
import { Piscina } from 'piscina';
import type { HeaderField } from './header-fields.ts';
import type { ParseAnswer, ParseTask } from './parse-thread.ts';
import type { MessageParts, PartsOptions } from './parts.ts';
import { readMessage } from './read-message.ts';
import { Refusal } from './refusal.ts';
import { untilAborted } from './until-aborted.ts';

export interface ParserOptions {
  /** Messages of more bytes are parsed in a worker thread, so that they do not stall the others. */
  readonly threadBytes: number;
  readonly threads: number;
  /** How long a thread may work on one message, in milliseconds; waiting for a thread does not count. */
  readonly timeout: number;
}

const NEVER = new AbortController().signal;

/** Megabytes. */
const THREAD_YOUNG_GENERATION = 4;

/** The message as it was given and what was read in it. */
export interface Parsed {
  /** The same bytes; for a large message in other memory than before, since that moved to the thread and back. */
  readonly raw: Buffer;
  readonly parts: MessageParts;
}

/** Parses messages: small ones at once, large ones in worker threads that start with the first of them. */
export class Parser {
  readonly #options: ParserOptions;
  readonly #threads: Piscina;
  readonly #turn: LimitFunction;

  constructor(options: ParserOptions) {
    this.#options = options;
    // A queue of our own: piscina's counts waiting as working, and is not woken when a thread is ended for its time.
    this.#turn = pLimit(options.threads);
    this.#threads = new Piscina({
      filename: new URL('./parse-thread.ts', import.meta.url).href,
      minThreads: 0,
      maxThreads: options.threads,
      // A thread's young generation otherwise grows to 48 MB, for what is mostly one Buffer.
      resourceLimits: { maxYoungGenerationSizeMb: THREAD_YOUNG_GENERATION },
      // Long enough that a thread is not started anew for each message of a trickle.
      idleTimeout: 60_000,
    });
  }

  /**
   * Reads bodies and attachments (see `readParts`).
   *
   * @param raw must not be used afterwards: take the one that comes back
   * @param fields its header, read by `readHeaderFields`
   * @param signal calls it off: a message that waits for a thread is let go of, and a thread that works on it is ended
   * @throws Refusal 552 or 554 for what is the message's fault, 451 where it takes too long; the signal's reason
   */
  async parse(
    raw: Buffer,
    fields: readonly HeaderField[],
    options: PartsOptions,
    signal: AbortSignal = NEVER,
  ): Promise<Parsed> {
    if (raw.length <= this.#options.threadBytes) {
      return { raw, parts: await readMessage(raw, fields, options) };
    }
    const { raw: returned, parts, refusal } = await this.#atTurn(raw, options, signal);
    if (refusal) throw new Refusal(refusal);
    if (!parts) throw new Error('a parse thread answered neither parts nor a refusal');
    return { raw: Buffer.from(returned.buffer, returned.byteOffset, returned.byteLength), parts };
  }

  async #atTurn(raw: Buffer, options: PartsOptions, signal: AbortSignal): Promise<ParseAnswer> {
    // Its place in the queue remains, and must not keep the message in memory.
    const waiting: { raw: Buffer | null } = { raw };
    const take = async (): Promise<ParseAnswer> => {
      const { raw: taken } = waiting;
      waiting.raw = null;
      if (taken === null) throw signal.reason;
      return this.#inThread(withOwnMemory(taken), options, signal);
    };
    const answer = this.#turn(take);
    try {
      return await untilAborted(signal, answer);
    } catch (error) {
      // A thread that is being ended still has its share of memory.
      if (waiting.raw === null) await Promise.allSettled([answer]);
      waiting.raw = null;
      throw error;
    }
  }

  async #inThread(raw: Uint8Array<ArrayBuffer>, options: PartsOptions, signal: AbortSignal): Promise<ParseAnswer> {
    const task: ParseTask = { raw, options };
    try {
      return await this.#threads.run(task, {
        transferList: [raw.buffer],
        signal: AbortSignal.any([signal, AbortSignal.timeout(this.#options.timeout)]),
      });
    } catch (cause) {
      signal.throwIfAborted();
      if ((cause as Error).name !== 'AbortError') throw cause;
      const text = 'The message took too long to read: try again, or simplify it';
      throw new Refusal({ code: 451, enhancedCode: '4.3.0', text, rule: 'parse_timeout', cause });
    }
  }

  /** Ends the threads. Messages that are being parsed fail. */
  async close(): Promise<void> {
    await this.#threads.destroy();
  }
}

/** Only memory that nothing else lives in can move to another thread. */
function withOwnMemory(raw: Buffer): Uint8Array<ArrayBuffer> {
  const own = raw.buffer instanceof ArrayBuffer && raw.byteLength === raw.buffer.byteLength;
  return own ? new Uint8Array(raw.buffer as ArrayBuffer) : new Uint8Array(raw);
}
