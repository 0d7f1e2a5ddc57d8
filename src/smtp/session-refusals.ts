import { Refusal } from '../message/refusal.ts';
import type { Step } from './session.ts';

/** What is refused, and with which words. */
interface RefusedStep {
  readonly step: Step;
  readonly refusal: Refusal;
}

/** Limits that the library keeps, by what it says then: nothing else tells that it refuses. */
const BY_LIBRARY: ReadonlyMap<unknown, RefusedStep> = new Map([
  [
    'Timeout - closing connection',
    {
      step: 'session',
      refusal: new Refusal({
        code: 421,
        enhancedCode: '4.4.2',
        text: 'The connection was silent for too long: open a new one',
        rule: 'idle_timeout',
      }),
    },
  ],
  [
    'Error: too many recipients',
    {
      step: 'RCPT',
      refusal: new Refusal({
        code: 452,
        enhancedCode: '4.5.3',
        text: 'Too many recipients: send to the others in another message',
        rule: 'recipient_limit',
      }),
    },
  ],
]);

/** The limit that this reply of the library's is about; undefined where it is about none. */
export function limitOf(reply: unknown): RefusedStep | undefined {
  return BY_LIBRARY.get(reply);
}

/** `421 4.4.2` to a session's next command. */
export function sessionTooLong(): Refusal {
  const text = 'The session has lasted too long: open a new connection';
  return new Refusal({ code: 421, enhancedCode: '4.4.2', text, rule: 'session_timeout' });
}
