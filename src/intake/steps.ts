import type { Cancellation } from '../flow/cancellation.ts';
import { Refusal } from '../message/refusal.ts';
import type { Span, Tracer } from '../observability/tracing.ts';
import { untilAborted } from '../platform/until-aborted.ts';
import type { ApiKey } from '../store/keys/api-keys.ts';

/** The steps of a message from its end to the reply, as `accept.ts` takes them. */
export const STEPS = ['key', 'header', 'facts', 'parse', 'repeat', 'decide', 'row', 'original', 'store'] as const;

export type MessageStep = (typeof STEPS)[number];

/** Those that only ask: what they ask for may come later. The others give back what they hold before they end. */
const QUESTIONS: ReadonlySet<MessageStep> = new Set(['key', 'facts', 'repeat']);

/** Adds up what steps took. */
export interface StepTimes {
  add(step: MessageStep, milliseconds: number): void;
}

/** A step that has begun. */
interface Underway {
  readonly step: MessageStep;
  /** null where nobody looks. */
  readonly span: Span | null;
  readonly began: number;
}

/** Takes the steps of one message as long as it is wanted, times them, and shows them in its trace where somebody looks. */
export class Steps {
  readonly #times: StepTimes;
  readonly #tracer: Tracer;
  readonly #signal: AbortSignal;
  /** Of the whole message. */
  readonly span: Span;

  /** @param signal aborted where the message is not wanted any more */
  constructor(times: StepTimes, tracer: Tracer, span: Span, signal: AbortSignal) {
    this.#times = times;
    this.#tracer = tracer;
    this.span = span;
    this.#signal = signal;
  }

  /** Takes a step; what it answers or throws comes through. @throws the signal's reason, and no step is begun */
  take<T>(step: MessageStep, work: () => T): T {
    this.#signal.throwIfAborted();
    const span = this.span.isRecording ? this.#tracer.start(step, { parent: this.span }) : null;
    const underway: Underway = { step, span, began: performance.now() };
    let result: T;
    try {
      result = work();
    } catch (error) {
      this.#failed(underway, error);
      throw error;
    }
    if (result instanceof Promise) return this.#wait(underway, result) as T;
    this.#ended(underway);
    return result;
  }

  async #wait<T>(underway: Underway, promised: Promise<T>): Promise<T> {
    try {
      const value = await (QUESTIONS.has(underway.step) ? untilAborted(this.#signal, promised) : promised);
      this.#ended(underway);
      return value;
    } catch (error) {
      this.#failed(underway, error);
      throw error;
    }
  }

  #ended({ step, span, began }: Underway): void {
    this.#times.add(step, performance.now() - began);
    span?.end();
  }

  #failed(underway: Underway, error: unknown): void {
    // A refusal is what the step is for.
    if (!(error instanceof Refusal || this.#signal.aborted)) underway.span?.fail(error);
    this.#ended(underway);
  }
}

/** Milliseconds. Less than the store lets pass between two times that it asks. */
const FRESH = 400;

/** Whether a message may still be stored: its client waits for it, nobody has cut it off, and its key is valid. */
export class MessageCancellation implements Cancellation {
  readonly #controller: AbortController;
  readonly #key: ApiKey;
  readonly #look: () => Promise<ApiKey>;
  #confirmedAt = performance.now();

  /**
   * @param key as it was found just now
   * @param look finds it again. @throws Refusal where it is valid no more
   */
  constructor(controller: AbortController, key: ApiKey, look: () => Promise<ApiKey>) {
    this.#controller = controller;
    this.#key = key;
    this.#look = look;
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  get isConfirmed(): boolean {
    return performance.now() - this.#confirmedAt < FRESH;
  }

  async confirm(): Promise<void> {
    const asked = performance.now();
    try {
      const { id, userId, domain } = await this.#look();
      if (id !== this.#key.id || userId !== this.#key.userId || domain !== this.#key.domain) throw keyChanged();
      this.#confirmedAt = asked;
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      this.#controller.abort(error);
    }
  }
}

/** What the message was held to is not what holds now. */
function keyChanged(): Refusal {
  const text = 'The API key was changed meanwhile: send the message again';
  return new Refusal({ code: 451, enhancedCode: '4.7.0', text, rule: 'key_changed' });
}
