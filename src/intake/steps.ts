import { Refusal } from '../message/refusal.ts';
import type { Span, Tracer } from '../observability/tracing.ts';
import { untilAborted } from '../platform/until-aborted.ts';

/** The steps of a message from its end to the reply, as `accept.ts` takes them; `parse` and `facts` at the same time. */
export const STEPS = ['key', 'header', 'parse', 'facts', 'repeat', 'decide', 'row', 'store'] as const;

export type MessageStep = (typeof STEPS)[number];

/** Those that only ask: what they ask for may come later. The others give back what they hold before they end. */
const QUESTIONS: ReadonlySet<MessageStep> = new Set(['key', 'facts', 'repeat']);

/** Adds up what steps took. */
export interface StepTimes {
  add(step: MessageStep, milliseconds: number): void;
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
    const began = performance.now();
    const end = (): void => {
      this.#times.add(step, performance.now() - began);
      span?.end();
    };
    const fail = (error: unknown): never => {
      // A refusal is what the step is for.
      if (!(error instanceof Refusal || this.#signal.aborted)) span?.fail(error);
      end();
      throw error;
    };
    let result: T;
    try {
      result = work();
    } catch (error) {
      return fail(error);
    }
    if (!(result instanceof Promise)) {
      end();
      return result;
    }
    const answer = QUESTIONS.has(step) ? untilAborted(this.#signal, result) : result;
    return answer.then(value => {
      end();
      return value;
    }, fail) as T;
  }
}
