import { Refusal } from '../../message/refusal.ts';

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

/** For callbacks of smtp-server that take an error: the reply as `RelayConnection.send` understands it. */
export function asLibraryError(error: unknown): Error & { readonly responseCode: number } {
  const { code, enhancedCode, text } = replyTo(error);
  return Object.assign(new Error(`${enhancedCode} ${text}`), { responseCode: code });
}
