import { UNREAD_TEXT } from '../../outgoing/bytes.ts';
import type { Outcome, RouteFault } from '../contract.ts';

/**
 * How far a smarthost had come: `connect` is all until it may be logged in to (greeting, EHLO, TLS), `recipient` the reply
 * to one RCPT, `message` everything else from MAIL to the last byte but the final dot, `end` the reply to that dot.
 */
export type SmtpStep = 'connect' | 'login' | 'recipient' | 'message' | 'end';

/** Something that did not go as it should. */
export interface SmtpFailure {
  readonly step: SmtpStep;
  /** The reply as the smarthost wrote it; null where none came. */
  readonly reply: string | null;
  /** What happened in place of a reply, in a word: `ECONNREFUSED`, `ETIMEDOUT`. */
  readonly fault: string;
  /** Of a reply to RCPT: whether the smarthost took other recipients of the message. */
  readonly othersAccepted?: boolean;
}

/** One row: the failures it is about, and what they mean for the message. An absent condition holds for all. */
export interface SmtpRule {
  readonly steps?: readonly SmtpStep[];
  /** The beginning of the reply. */
  readonly reply?: RegExp;
  readonly othersAccepted?: boolean;
  readonly kind: 'transient' | 'permanent' | 'unknown';
  readonly why: string;
}

/** The first row that fits decides. RFC 5321 sections 4.2.1 (the digits) and 6.1 (who is responsible when). */
export const SMTP_RULES: readonly SmtpRule[] = [
  {
    steps: ['connect', 'login'],
    kind: 'transient',
    why: 'the smarthost, the way to it or its credentials are at fault: the operator can mend that, and no message was refused',
  },
  { reply: /^421/, kind: 'transient', why: 'the smarthost closes the connection' },
  {
    reply: /^(530|534|535|538)/,
    kind: 'transient',
    why: 'it wants another log-in or TLS: the operator can mend that',
  },
  { reply: /^503/, kind: 'transient', why: 'the session was out of step; the message is not at fault' },
  {
    steps: ['recipient'],
    reply: /^552(?! 5\.2\.2)/,
    othersAccepted: true,
    kind: 'transient',
    why: 'too many recipients in the words of RFC 821 (RFC 5321 section 4.5.3.1.10): the others follow',
  },
  { reply: /^4\d\d/, kind: 'transient', why: 'the smarthost says so' },
  { reply: /^5\d\d/, kind: 'permanent', why: 'the smarthost says so' },
  { steps: ['end'], kind: 'unknown', why: 'the message was handed over, and nobody knows whether it was taken' },
  { kind: 'transient', why: 'without the final dot no message was taken' },
];

const MAX_TEXT = 500;

/** What a failure means for the recipients it is about. */
export function classifySmtpFailure(failure: SmtpFailure): Outcome {
  const rule = SMTP_RULES.find(candidate => fits(candidate, failure));
  const code = failure.reply?.match(/^[2-5]\d\d(?=[ -]|$)/)?.[0] ?? failure.fault;
  const reason = reasonOf(failure);
  const message = oneLine(failure.reply ?? describeFault(failure.fault));
  return { kind: rule?.kind ?? 'unknown', code, message, ...(reason && { reason }) };
}

/** What one message may bring about by itself: what could not be read of it, or not be said of it. */
const OF_THE_MESSAGE = /^(MessageUnread|EENVELOPE|EMESSAGE|ESTREAM)$/;
/** Such a failure of the log-in is one of its words, and not of the connection. */
const OF_THE_LOGIN = /^(EAUTH|ENOAUTH|ENOENT|EACCES|EISDIR)$/;

/**
 * What is the matter with the smarthost or the way to it, whatever the message. One that says nothing, closes the connection, or
 * says what is no reply, does that to the next message too, in whichever step.
 */
function reasonOf({ step, reply, fault }: SmtpFailure): RouteFault | undefined {
  if (reply === null) {
    if (fault === 'ABORTED' || OF_THE_MESSAGE.test(fault)) return undefined;
    return step === 'login' && OF_THE_LOGIN.test(fault) ? 'credentials' : 'connect';
  }
  if (step === 'connect' || /^(421|(?![2-5]\d\d(?:[ -]|$)))/.test(reply)) return 'connect';
  if (/^(530|534|535|538)/.test(reply)) return 'credentials';
  if (step !== 'login') return undefined;
  return reply.startsWith('4') ? 'connect' : 'credentials';
}

function fits({ steps, reply, othersAccepted }: SmtpRule, failure: SmtpFailure): boolean {
  if (steps && !steps.includes(failure.step)) return false;
  if (othersAccepted !== undefined && othersAccepted !== failure.othersAccepted) return false;
  return reply === undefined || reply.test(failure.reply ?? '');
}

/** Errors of the system name addresses and files, which are none of the owner's business; the log has them. */
const FAULTS: readonly (readonly [code: RegExp, text: string])[] = [
  [/^ABORTED$/, 'The worker stopped before the message was handed over'],
  [/^MessageUnread$/, UNREAD_TEXT],
  [/^ENOAUTH$/, 'The smarthost offers no log-in (AUTH), but a user is configured'],
  [/^EAUTH$/, 'The log-in at the smarthost failed'],
  [/^ECONNREFUSED$/, 'The smarthost refused the connection'],
  [/^(EDNS|ENOTFOUND|EAI_AGAIN)$/, 'The name of the smarthost cannot be resolved'],
  [/^(ECONNECTION|ECONNRESET|EPIPE)$/, 'The connection to the smarthost was closed'],
  [/^ETIMEDOUT$/, 'The smarthost did not answer in time'],
  [/TLS|SSL|CERT|VERIFY/, 'TLS with the smarthost failed'],
];

function describeFault(fault: string): string {
  return FAULTS.find(([code]) => code.test(fault))?.[1] ?? 'The smarthost cannot be used';
}

/** A reply of one or more lines as one line of readable characters, shortened. */
export function oneLine(text: string): string {
  const line = text.replaceAll(/[\p{Cc}\s]+/gu, ' ').trim();
  return line.length > MAX_TEXT ? `${line.slice(0, MAX_TEXT - 1)}…` : line;
}

/** Where servers name the message in their last reply: Postfix; Exim; Sendmail; Amazon SES. */
const ID_PATTERNS: readonly RegExp[] = [
  /\bqueued as ["<]?([^\s"<>;,]+)/i,
  /\bid=["<]?([^\s"<>;,]+)/i,
  /^250 2\.0\.0 (\S+) Message accepted for delivery/i,
  /^250 Ok ([0-9a-f]+(?:-[0-9a-f]+)+)$/i,
];

const MAX_ID = 255;

/** The name that the smarthost gave the message, as far as its reply to the final dot tells; null where it does not. */
export function messageIdIn(reply: string): string | null {
  const line = oneLine(reply);
  const id = ID_PATTERNS.map(pattern => pattern.exec(line)?.[1]).find(found => found !== undefined);
  return id !== undefined && id.length <= MAX_ID ? id : null;
}
