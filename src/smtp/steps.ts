import { Refusal } from '../message/refusal.ts';
import type { Span, Tracer } from '../observability/tracing.ts';

/** The steps of a message from its end to the reply, as `accept.ts` takes them; `parse` and `facts` at the same time. */
export const STEPS = ['key', 'header', 'parse', 'facts', 'repeat', 'decide', 'row', 'store'] as const;

export type MessageStep = (typeof STEPS)[number];

/** Adds up what steps took. */
export interface StepTimes {
  add(step: MessageStep, milliseconds: number): void;
}

/** Times the steps of one message, and shows them in its trace where somebody looks. */
export class Steps {
  readonly #times: StepTimes;
  readonly #tracer: Tracer;
  /** Of the whole message. */
  readonly span: Span;

  constructor(times: StepTimes, tracer: Tracer, span: Span) {
    this.#times = times;
    this.#tracer = tracer;
    this.span = span;
  }

  /** Takes a step; what it answers or throws comes through. */
  take<T>(step: MessageStep, work: () => T): T {
    const span = this.span.isRecording ? this.#tracer.start(step, { parent: this.span }) : null;
    const began = performance.now();
    const end = (): void => {
      this.#times.add(step, performance.now() - began);
      span?.end();
    };
    const fail = (error: unknown): never => {
      // A refusal is what the step is for.
      if (!(error instanceof Refusal)) span?.fail(error);
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
    return result.then(value => {
      end();
      return value;
    }, fail) as T;
  }
}
