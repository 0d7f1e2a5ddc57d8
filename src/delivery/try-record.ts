import { randomUUID } from 'node:crypto';
import {
  delayedEvent,
  type EmailFacts,
  failedEvent,
  refusedEvent,
  sentEvent,
  suppressedEvent,
} from '../events/event.ts';
import { SIMULATED, simulateCall, simulatedEvents } from '../events/simulated.ts';
import { simulationOf } from '../message/addresses/simulator-address.ts';
import type { Claim } from '../store/delivery/claims.ts';
import type { Attempt, ProviderError, Standing } from '../store/delivery/settle.ts';
import type { NewEvent } from '../store/event-types.ts';
import { Progress, type TryResult } from './disposition.ts';
import type { Failed } from './notices/failure-notice.ts';
import type { Outcome } from './transport/contract.ts';

/** The call that an outcome is of; `none` where it came to none. */
export interface CallFacts {
  readonly transport: string;
  readonly startedAt: Date;
}

/** Throttling puts a message off every few seconds, and says nothing about it: one event stands for so many milliseconds. */
const THROTTLED_TELLING = 3_600_000;

const SENT = { outcome: 'sent', code: null } as const;
const SUPPRESSED = { outcome: 'suppressed', code: 'Suppressed' } as const;

/** What a try of a message has come to so far, and of that what is not written down yet. */
export class TryRecord {
  readonly progress: Progress;
  readonly #facts: EmailFacts;
  readonly #try: number;
  readonly #now: () => number;
  #attempts: Attempt[] = [];
  #events: NewEvent[] = [];
  #failed: Failed[] = [];
  readonly #acceptedAt: number;
  /** Milliseconds from the beginning of the message's first try to that of this one, but for those for which the limit stood still. */
  readonly #age: number;
  /** The last error of this try. */
  #error: ProviderError | null = null;
  /** It only asked for fewer calls. */
  #throttled = false;
  /** It is about the way out, whatever the message. */
  #isRoutesFault = false;

  /** @param now milliseconds since 1970, by the clock that all workers share */
  constructor({ emailId, try: nth, message, earlier }: Claim, now: () => number) {
    this.#now = now;
    const { userId, from, to, subject, tags, acceptedAt, messageId, sandbox, stoodStill = 0 } = message;
    const first = earlier[0]?.startedAt;
    this.#acceptedAt = acceptedAt.getTime();
    this.#age = first === undefined ? 0 : Math.max(0, now() - Date.parse(first) - stoodStill * 1000);
    this.progress = new Progress(message.recipients, earlier);
    this.#facts = { id: emailId, userId, from, to, subject, tags, messageId, createdAt: acceptedAt, sandbox };
    this.#try = nth;
    if (nth === 0 && message.refused.length > 0) this.#events.push(refusedEvent(this.#facts, message.refused));
  }

  /** What there is to decide by where the message stands. */
  result(): TryResult {
    return {
      progress: this.progress,
      try: this.#try,
      age: this.#age,
      sinceAcceptance: this.#now() - this.#acceptedAt,
      error: this.#error,
      throttled: this.#throttled,
      isRoutesFault: this.#isRoutesFault,
    };
  }

  /** Of whom the sender is yet to be told that they will not get the message. */
  get failed(): readonly Failed[] {
    return this.#failed;
  }

  suppressed(recipients: readonly string[]): void {
    this.#note({ recipients, ...SUPPRESSED, message: null }, this.#noCall());
    const message = 'on the suppression list by the time of sending';
    this.#events.push(suppressedEvent(this.#facts, { recipients, message }));
  }

  /**
   * To these nothing goes out; what is told of them is what their addresses ask for, or of others, in sandbox, that it has arrived.
   *
   * @param delay milliseconds that it takes on average until something is told of them
   */
  simulated(recipients: readonly string[], delay: number): void {
    const messageId = `simulated-${this.#facts.id}-${this.#try}`;
    const played = simulateCall(messageId, this.#now(), delay);
    const call = { transport: SIMULATED, startedAt: played.at };
    const all = recipients.map(address => ({ address, simulation: simulationOf(address) ?? 'delivered' }));
    const { sent = [], suppressed = [] } = Object.groupBy(all, ({ simulation }) =>
      simulation === 'suppressed' ? 'suppressed' : 'sent',
    );
    const about = (some: typeof all) => ({
      recipients: some.map(({ address }) => address),
      message: 'nothing went out',
    });
    if (sent.length > 0) this.#note({ ...about(sent), ...SENT, providerMessageId: messageId }, call);
    if (suppressed.length > 0) this.#note({ ...about(suppressed), ...SUPPRESSED }, call);
    this.#events.push(...simulatedEvents(this.#facts, all, played));
  }

  outcome(recipients: readonly string[], told: Outcome, call: CallFacts): void {
    if (told.kind === 'sent') {
      this.#sent(recipients, told, call);
      return;
    }
    const { kind, code, throttled = false } = told;
    const message = printable(told.message);
    this.#note({ recipients, outcome: kind, code, message }, call);
    this.#throttled = throttled;
    this.#isRoutesFault = told.reason !== undefined;
    if (kind === 'permanent') this.tellFailure(recipients, { code, message });
    else this.#error = { code, message };
  }

  /** The message has failed for these recipients without a call of its own. */
  fail(recipients: readonly string[], error: ProviderError): void {
    this.outcome(recipients, { kind: 'permanent', ...error }, this.#noCall());
  }

  /** The fault is ours: it is tried again, and not at once, or it would be tried for ever. */
  postpone(recipients: readonly string[], error: ProviderError): void {
    this.outcome(recipients, { kind: 'transient', ...error }, this.#noCall());
  }

  /** That the message will not be tried for these any more. */
  tellFailure(recipients: readonly string[], error: ProviderError): void {
    this.#error = error;
    this.#failed.push({ recipients, error });
    this.#events.push(failedEvent(this.#facts, { recipients, ...error }));
  }

  /** That these are tried again. */
  tellDelay(recipients: readonly string[], { error, afterMs }: Extract<Standing, { kind: 'retry' }>): void {
    const nextTryAt = new Date(this.#now() + afterMs);
    const name = this.#throttled ? { name: `throttled:${Math.floor(this.#age / THROTTLED_TELLING)}` } : {};
    this.#events.push(delayedEvent(this.#facts, { recipients, ...error, try: this.#try, nextTryAt, ...name }));
  }

  /** That these are not tried again until a person says so. */
  tellHeld(recipients: readonly string[], error: ProviderError): void {
    const name = `held:${randomUUID()}`;
    this.#events.push(delayedEvent(this.#facts, { recipients, ...error, try: this.#try, nextTryAt: null, name }));
  }

  /** Gives out what is to be written down, and begins anew. */
  take(): { readonly attempts: readonly Attempt[]; readonly events: readonly NewEvent[] } {
    const taken = { attempts: this.#attempts, events: this.#events };
    this.#attempts = [];
    this.#events = [];
    this.#failed = [];
    return taken;
  }

  #sent(recipients: readonly string[], told: Extract<Outcome, { kind: 'sent' }>, call: CallFacts): void {
    const { providerMessageId, response: message = null } = told;
    this.#note({ recipients, ...SENT, message, providerMessageId }, call);
    const provider = { transport: call.transport, messageId: providerMessageId };
    this.#events.push(sentEvent(this.#facts, { recipients, provider }));
  }

  #noCall(): CallFacts {
    return { transport: 'none', startedAt: new Date(this.#now()) };
  }

  #note(attempt: Omit<Attempt, 'providerMessageId' | keyof CallFacts> & Partial<Attempt>, call: CallFacts): void {
    this.#attempts.push({ providerMessageId: null, ...attempt, ...call });
    this.progress.note(attempt.recipients, attempt.outcome);
  }
}

/** Servers answer what they like, and what they said may have been cut in the middle of a character. */
function printable(text: string): string {
  return text.replaceAll(/\p{Cc}+/gu, ' ').toWellFormed();
}
