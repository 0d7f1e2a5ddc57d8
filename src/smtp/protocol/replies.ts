import { Refusal } from '../../message/refusal.ts';
import type { TimeLimit } from '../session/clock.ts';

/** An SMTP reply as it goes onto the wire. */
export interface Reply {
  readonly code: number;
  readonly enhancedCode: string;
  readonly text: string;
  /** Which rule it comes from; `fault` for what went wrong on our side. */
  readonly rule: string;
}

/** Postgres, SQLSTATE 53100: its disk is full. */
const DISK_FULL = '53100';

/** What no reply may hold (RFC 5321 section 4.2): texts name what others have stored, such as a key's domain. */
const UNSPEAKABLE = /[^\x20-\x7e]/g;

const FAULT: Reply = {
  code: 451,
  enhancedCode: '4.3.0',
  text: 'Temporary fault on our side: try again later',
  rule: 'fault',
};

const NO_ROOM: Reply = {
  code: 452,
  enhancedCode: '4.3.1',
  text: 'No room to store the message just now: try again later',
  rule: 'fault',
};

/**
 * The reply for whatever went wrong. A `Refusal` says itself what the client is told; all else is a fault of ours: the
 * client keeps the message, and learns nothing of our inside.
 */
export function replyTo(error: unknown): Reply {
  if (error instanceof Refusal) {
    const text = error.message.replaceAll(UNSPEAKABLE, '?');
    return { code: error.code, enhancedCode: error.enhancedCode, text, rule: error.rule };
  }
  return isDiskFull(error) ? NO_ROOM : FAULT;
}

/** Whether something went wrong on our side, which the log should explain. */
export function isFault(error: unknown): boolean {
  return !(error instanceof Refusal) || (error.temporary && error.cause !== undefined);
}

function isDiskFull(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === DISK_FULL;
}

/** The text of a 421 that every client understands as: later, and elsewhere. */
export const SHUTTING_DOWN = '4.3.2 Shutting down: try again on a new connection';

/** `452 4.5.3`, to RCPT: the client sends the message to the others afterwards (RFC 5321 section 4.5.3.1.10). */
export function tooManyRecipients(): Refusal {
  const text = 'Too many recipients: send to the others in another message';
  return new Refusal({ code: 452, enhancedCode: '4.5.3', text, rule: 'recipient_limit' });
}

const TIME_IS_OVER: Readonly<Record<TimeLimit, string>> = {
  login_timeout: 'No log-in in time: open a new connection',
  idle_timeout: 'The connection was silent for too long: open a new one',
  session_timeout: 'The session has lasted too long: open a new connection',
};

/** `421 4.4.2`. */
export function timeIsOver(limit: TimeLimit): Refusal {
  return new Refusal({ code: 421, enhancedCode: '4.4.2', text: TIME_IS_OVER[limit], rule: limit });
}

/** `500 5.5.2`: where a command ends must not be a matter of opinion. */
export function bareLineCommand(): Refusal {
  const text = 'Commands must end with CR LF, but a bare LF was sent (RFC 5321 section 2.3.8): mend the client';
  return new Refusal({ code: 500, enhancedCode: '5.5.2', text, rule: 'bare_line_ending' });
}

/** To one client that makes one mistake after the other. */
export function tooManyMistakes(): Refusal {
  const text = 'Too many commands that are none: mend the client';
  return new Refusal({ code: 421, enhancedCode: '4.7.0', text, rule: 'malformed_commands' });
}

/** To a message that has no reply yet when those that are left are cut off. */
export function shuttingDown(): Refusal {
  const [enhancedCode = '', ...text] = SHUTTING_DOWN.split(' ');
  return new Refusal({ code: 421, enhancedCode, text: text.join(' '), rule: 'shutdown' });
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

/** To one more that has not logged in. */
export function tooManyStrangers(): Refusal {
  const text = 'Too many connections from your address that have not logged in: close one first';
  return new Refusal({ code: 421, enhancedCode: '4.7.0', text, rule: 'address_share' });
}
