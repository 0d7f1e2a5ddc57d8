import { Refusal } from '../message/refusal.ts';
import type { Step } from './session.ts';

/** The text of a 421 that every client understands as: later, and elsewhere. */
export const SHUTTING_DOWN = '4.3.2 Shutting down: try again on a new connection';

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

/** To AUTH, and to the first MAIL of a client that need not log in. */
export function tooManySessions(): Refusal {
  const text = 'This API key has as many sessions as it may: close one first';
  return new Refusal({ code: 421, enhancedCode: '4.7.0', text, rule: 'sessions_per_key' });
}

export function tooManyLogins(): Refusal {
  const text = 'Too many failed logins on this connection: check the API key';
  return new Refusal({ code: 421, enhancedCode: '4.7.0', text, rule: 'failed_logins' });
}

/** To a connection past the limit of all. */
export function tooManyConnections(): Refusal {
  const text = 'Too many connections: try again shortly';
  return new Refusal({ code: 421, enhancedCode: '4.3.2', text, rule: 'connections' });
}

export function tooManyOfAddress(): Refusal {
  const text = 'Too many connections from your address: close one first';
  return new Refusal({ code: 421, enhancedCode: '4.7.0', text, rule: 'connections_per_address' });
}
