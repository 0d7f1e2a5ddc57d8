import type { Outcome, RouteFault } from '../contract.ts';

/** How far a call to SES came before it failed, and what is known of the failure. */
export type SesFault =
  | {
      /**
       * `not-sent`: SES cannot have the whole request, so it cannot have taken the message. `sent`: it may have it, and no
       * answer came that could be read.
       */
      readonly stage: 'not-sent' | 'sent';
      readonly code: string;
      /** For owners too: without addresses, accounts and the like. */
      readonly message: string;
      readonly reason?: RouteFault;
    }
  | {
      readonly stage: 'answered';
      readonly status: number;
      /** The name of the error, without namespace; null where the answer was none of SES's, but a proxy's for instance. */
      readonly name: string | null;
      readonly message: string;
    };

type Failure = Exclude<Outcome, { readonly kind: 'sent' }>;

/** One line of the table. What is not given matches anything. */
export interface SesRule {
  readonly names?: readonly string[];
  /** From and to, both included. */
  readonly status?: readonly [number, number];
  readonly message?: RegExp;
  readonly kind: Failure['kind'];
  readonly throttled?: true;
  /** It is about the account, and every message fares the same. */
  readonly reason?: RouteFault;
  /** It is about the configuration set, which only some messages have. */
  readonly ofPart?: true;
  /** What can be done, added to what SES says. */
  readonly hint?: string;
  /** In place of what SES says. */
  readonly says?: string;
  readonly because: string;
}

const DENIED = [
  'AccessDenied',
  'AccessDeniedException',
  'ExpiredToken',
  'ExpiredTokenException',
  'IncompleteSignature',
  'IncompleteSignatureException',
  'InvalidClientTokenId',
  'InvalidSignatureException',
  'MissingAuthenticationToken',
  'MissingAuthenticationTokenException',
  'NotAuthorized',
  'OptInRequired',
  'RequestExpired',
  'SignatureDoesNotMatch',
  'UnrecognizedClientException',
];

const THROTTLED = ['TooManyRequestsException', 'Throttling', 'ThrottlingException', 'LimitExceededException'];
const PAUSED = ['AccountSuspendedException', 'SendingPausedException', 'AccountSendingPausedException'];
const REJECTED = ['MessageRejected', 'MessageRejectedException'];
const WRONG = ['BadRequestException', 'ValidationException', 'InvalidParameterValue', 'SerializationException'];

/** In place of what SES says: that names accounts, roles and keys, and owners read it too. */
const REFUSED_US =
  "Amazon SES refused the relay's credentials: its operator is to check them, their permission to send, and the clock.";

const STOPPED = 'paused?|suspend(?:ed)?|suspension|disabled|deactivated|shut ?down|terminated|probation|under review';
const SENDER = 'account|sending|configuration set';
/** The account is not the one that is stopped. */
const SET_STOPPED = new RegExp(
  `^(?!.*\\baccounts?\\b).*?(?:\\bconfiguration set\\b[^.]*\\b(?:${STOPPED})\\b|\\b(?:${STOPPED})\\b[^.]*\\bconfiguration set\\b)`,
  'is',
);
/** Within one sentence, either way round. */
const ACCOUNT_STOPPED = new RegExp(
  `\\b(?:${SENDER})\\b[^.]*\\b(?:${STOPPED})\\b|\\b(?:${STOPPED})\\b[^.]*\\b(?:${SENDER})\\b`,
  'i',
);

/**
 * What each error of SendEmail means for the message: the first line that matches. Names are those of the SES API v2
 * reference ("SendEmail", "Common Errors"); messages those of the SES developer guide ("Errors related to the sending
 * quotas", "Amazon SES email sending errors").
 */
export const SES_RULES: readonly SesRule[] = [
  {
    names: [...THROTTLED, ...REJECTED, ...WRONG],
    message: /\bdaily\b.*\bquota\b/i,
    kind: 'transient',
    reason: 'quota',
    hint: 'The quota is counted over the last 24 hours; ask AWS to raise it.',
    because: 'The quota frees itself by the hour. It counts as a try, so that the pauses grow.',
  },
  {
    names: THROTTLED,
    kind: 'transient',
    throttled: true,
    reason: 'throttled',
    because: 'Too many calls: this says nothing about the message.',
  },
  {
    names: [...REJECTED, ...WRONG],
    message: /\b(?:sending|send) rate\b.*\bexceeded\b/i,
    kind: 'transient',
    throttled: true,
    reason: 'throttled',
    because: 'The same, under another name.',
  },
  {
    names: [...REJECTED, ...WRONG, ...PAUSED],
    message: SET_STOPPED,
    kind: 'transient',
    reason: 'paused',
    ofPart: true,
    hint: 'This is about the configuration set, not about the message.',
    because: 'Other messages have other configuration sets, maybe of other owners.',
  },
  {
    names: ['ConfigurationSetSendingPausedException'],
    kind: 'transient',
    reason: 'paused',
    ofPart: true,
    hint: 'Sending is paused for the configuration set.',
    because: 'The same, by the name of API v1.',
  },
  {
    names: [...REJECTED, ...WRONG],
    message: ACCOUNT_STOPPED,
    kind: 'transient',
    reason: 'paused',
    hint: 'This is about the SES account or its configuration set, not about the message.',
    because: 'API v1 says so by MessageRejected. Every message fares the same until AWS or the operator lifts it.',
  },
  {
    names: REJECTED,
    message: /not verified/i,
    kind: 'permanent',
    hint: 'Verify the identity in this region of SES, or ask AWS to take the account out of the sandbox.',
    because: 'The sender, or in the sandbox a recipient, is not one that may be named.',
  },
  {
    names: REJECTED,
    kind: 'permanent',
    because: 'SES does not send this message, a virus in it for instance.',
  },
  {
    names: WRONG,
    kind: 'permanent',
    because: 'The request would be as wrong the next time: an address or the message itself.',
  },
  {
    names: PAUSED,
    kind: 'transient',
    reason: 'paused',
    hint: 'Sending is paused for the SES account or the configuration set.',
    because: 'The operator can have it lifted within the time for which messages are tried.',
  },
  {
    names: ['MailFromDomainNotVerifiedException'],
    kind: 'transient',
    hint: 'Complete the MX record of the custom MAIL FROM domain, or choose to fall back to the default.',
    because: 'A DNS record that is missing can be added.',
  },
  {
    names: ['NotFoundException', 'ConfigurationSetDoesNotExist', 'ConfigurationSetDoesNotExistException'],
    kind: 'transient',
    hint: 'Create it in this region, or correct its name.',
    because: 'The configuration set is ours to create; the message is well.',
  },
  {
    names: DENIED,
    kind: 'transient',
    reason: 'credentials',
    says: REFUSED_US,
    because: 'Our own credentials are at fault.',
  },
  {
    names: ['RequestTimeout', 'RequestTimeoutException', 'RequestAbortedException'],
    kind: 'transient',
    because: 'SES did not get the whole request.',
  },
  { status: [413, 413], kind: 'permanent', because: 'The message is too large, and stays so.' },
  {
    status: [429, 429],
    kind: 'transient',
    throttled: true,
    reason: 'throttled',
    because: 'A proxy wants fewer calls.',
  },
  {
    status: [401, 401],
    kind: 'transient',
    reason: 'credentials',
    says: REFUSED_US,
    because: 'Whoever says so, under whatever name, refuses the caller.',
  },
  { status: [403, 403], kind: 'transient', reason: 'credentials', says: REFUSED_US, because: 'The same.' },
  { status: [407, 407], kind: 'transient', reason: 'connect', because: 'A proxy lets nothing through.' },
  {
    names: ['InternalFailure', 'InternalServiceError', 'InternalServiceErrorException', 'InternalServerError'],
    kind: 'transient',
    reason: 'connect',
    because: 'SES itself says that it failed. Where it says so of one message after the other, the region is down.',
  },
  {
    status: [503, 503],
    kind: 'transient',
    reason: 'connect',
    because: 'Whoever answered did not take the request, nor will it take the next one.',
  },
  { status: [500, 599], kind: 'unknown', because: 'A proxy that lost SES cannot know what SES did.' },
  { status: [200, 299], kind: 'unknown', because: 'It says yes, but not in the words of SES.' },
  {
    status: [300, 499],
    kind: 'transient',
    because: 'Refused for a reason that is not known here: trying again harms least, and ends in time.',
  },
];

const MAX_MESSAGE = 500;

/** What a call to SES that failed means for its recipients. */
export function classifySes(fault: SesFault): Failure {
  if (fault.stage !== 'answered') {
    const { code, message, reason } = fault;
    const kind = fault.stage === 'sent' ? 'unknown' : 'transient';
    return { kind, code, message: message.slice(0, MAX_MESSAGE), ...(reason && { reason }) };
  }
  const { status, name, message } = fault;
  const rule = SES_RULES.find(candidate => matches(candidate, fault));
  const text = rule?.says ?? [message || `HTTP status ${status}`, rule?.hint].filter(Boolean).join(' ');
  return {
    kind: rule?.kind ?? 'unknown',
    code: (name ?? `HTTP ${status}`).slice(0, 100),
    message: text.slice(0, MAX_MESSAGE),
    ...(rule?.throttled && { throttled: true }),
    ...(rule?.reason && { reason: rule.reason }),
    ...(rule?.ofPart && { ofPart: true }),
  };
}

function matches(rule: SesRule, { status, name, message }: Extract<SesFault, { stage: 'answered' }>): boolean {
  if (rule.names && (name === null || !rule.names.includes(name))) return false;
  if (rule.status && (status < rule.status[0] || status > rule.status[1])) return false;
  return rule.message?.test(withoutNames(message)) ?? true;
}

/** Addresses and domains that SES names may have any word in them. */
function withoutNames(message: string): string {
  return message.replaceAll(/\S*@\S+|\S*[^\s.]\.[^\s.]\S*/g, '…');
}
