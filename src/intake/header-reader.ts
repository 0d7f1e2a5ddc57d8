import type { MessageBytes } from '../message/bytes.ts';
import { bodyOffset, type HeaderField, startOf } from '../message/header/fields.ts';
import { Refusal } from '../message/refusal.ts';
import { ThreadPool } from '../message/thread-pool.ts';
import type { Facts, Subject } from './decide.ts';
import {
  contentOf,
  decideWith,
  type Header,
  type HeaderAnswer,
  type HeaderContent,
  type HeaderQuestion,
  type HeaderTask,
  readHeader,
} from './header-steps.ts';
import type { ReadHeader } from './submission.ts';

/** All that is done with one message's header, wherever it is done. */
export interface HeaderWork {
  /** The fields, where they are at hand: not those of a long header. */
  readonly fields: readonly HeaderField[] | null;
  readonly header: ReadHeader;
  /** Accepts (null) or refuses the message (`intake/decide.ts`). */
  decide(subject: Omit<Subject, 'fields'>, facts: Facts): Refusal | null | Promise<Refusal | null>;
  /** What its row has of the header. @throws Refusal */
  content(hasAttachments: boolean): HeaderContent | Promise<HeaderContent>;
}

export interface HeaderReaderOptions {
  /** How long a thread may work on one header, in milliseconds. */
  readonly timeout: number;
}

/** Bytes of a header that is read in a thread of its own: addresses by the thousand would hold up everybody else. */
const LONG_HEADER = 8 * 1024;

/** Reads headers: short ones at once, long ones in a thread that starts with the first of them. */
export class HeaderReader {
  readonly #threads: ThreadPool<HeaderTask, HeaderAnswer>;

  constructor({ timeout }: HeaderReaderOptions) {
    const file = new URL('./header-steps.ts', import.meta.url);
    this.#threads = new ThreadPool({ file, threads: 1, timeout });
  }

  /** Whether a message's header is one for the thread. */
  isLong(raw: MessageBytes): boolean {
    const start = startOf(raw, LONG_HEADER).subarray(0, LONG_HEADER + 1);
    return start.length > LONG_HEADER && bodyOffset(start) > LONG_HEADER;
  }

  /**
   * @param signal calls it off
   * @throws Refusal for what cannot be read, or names too many recipients
   */
  read(raw: MessageBytes, question: HeaderQuestion, keepOriginal: boolean, signal: AbortSignal) {
    const start = startOf(raw, question.headerBytes);
    if (!this.isLong(raw)) return atOnce(readHeader(start, question), keepOriginal);
    return this.#readInThread(start, question, keepOriginal, signal);
  }

  async #readInThread(
    start: Buffer,
    question: HeaderQuestion,
    keepOriginal: boolean,
    signal: AbortSignal,
  ): Promise<HeaderWork> {
    const end = bodyOffset(start);
    // What is too long is refused without reading it.
    if (end > question.headerBytes) return atOnce(readHeader(start, question), keepOriginal);
    const given = { section: new Uint8Array(start.subarray(0, end)), question };
    const ask = (task: HeaderTask): Promise<HeaderAnswer> =>
      this.#threads.run(() => ({ task, transferList: [] }), signal);
    return {
      fields: null,
      header: expected(await ask({ ...given, step: 'read' }), 'header'),
      async decide(subject, { transport: { kind: transport }, ...facts }) {
        const { refusal } = await ask({ ...given, step: 'decide', subject, facts: { ...facts, transport } });
        return refusal ? new Refusal(refusal) : null;
      },
      async content(hasAttachments) {
        return expected(await ask({ ...given, step: 'content', hasAttachments, keepOriginal }), 'content');
      },
    };
  }

  /** Ends the thread. What it works on fails. */
  close(): Promise<void> {
    return this.#threads.close();
  }
}

function atOnce(read: Header, keepOriginal: boolean): HeaderWork {
  return {
    fields: read.fields,
    header: read.header,
    decide: (subject, facts) => decideWith(read.fields, subject, facts),
    content: hasAttachments => contentOf(read, hasAttachments, keepOriginal),
  };
}

function expected<K extends keyof HeaderAnswer>(answer: HeaderAnswer, name: K): NonNullable<HeaderAnswer[K]> {
  if (answer.refusal) throw new Refusal(answer.refusal);
  const value = answer[name];
  if (!value) throw new Error('a header thread answered something else');
  return value;
}
