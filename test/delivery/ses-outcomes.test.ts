import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { classifySes, SES_RULES, type SesRule } from '../../src/delivery/transport/ses/classify.ts';
import { startFakeSes } from '../support/ses/start.ts';
import { openSesTransport, outgoing } from '../support/ses/transport.ts';

const ses = await startFakeSes({ after });
const transport = openSesTransport({ after }, ses.endpoint);
const NEVER = new AbortController().signal;

interface Expected {
  readonly status: number;
  readonly name: string;
  readonly message: string;
  readonly kind: 'transient' | 'permanent' | 'unknown';
  readonly throttled?: true;
}

/** What SES or a proxy says, and what that means for the message. */
const ANSWERS: readonly Expected[] = [
  transient(429, 'TooManyRequestsException', 'Daily message quota exceeded.'),
  transient(400, 'ThrottlingException', 'Daily sending quota exceeded'),
  { ...transient(429, 'TooManyRequestsException', 'Maximum sending rate exceeded.'), throttled: true },
  { ...transient(400, 'ThrottlingException', 'Rate exceeded'), throttled: true },
  { ...transient(400, 'LimitExceededException', 'Too many instances.'), throttled: true },
  ...['MessageRejected', 'BadRequestException'].flatMap(name =>
    [
      'Sending paused for this account. For more information, please check the inbox of the email address.',
      'Your account has been suspended.',
      'The sending of this account is disabled.',
      "Your account's ability to send email is under review.",
      'Sending is paused for configuration set events.',
      'Daily message quota exceeded.',
    ].map(message => transient(400, name, message)),
  ),
  { ...transient(400, 'MessageRejected', 'Maximum sending rate exceeded.'), throttled: true },
  permanent(400, 'MessageRejected', 'Email address is not verified.'),
  permanent(400, 'MessageRejected', 'Illegal address: account@suspended.example, sending.disabled.example'),
  permanent(400, 'MessageRejected', 'Virus detected.'),
  permanent(400, 'BadRequestException', 'Illegal address'),
  permanent(400, 'ValidationException', 'Member must not be null'),
  transient(400, 'AccountSuspendedException', 'The account is suspended.'),
  transient(400, 'SendingPausedException', 'Sending is paused.'),
  transient(400, 'ConfigurationSetSendingPausedException', 'Sending is paused.'),
  transient(400, 'MailFromDomainNotVerifiedException', 'The MAIL FROM domain is not verified.'),
  transient(404, 'NotFoundException', 'Configuration set <x> does not exist.'),
  transient(403, 'AccessDeniedException', 'User is not authorized to perform: ses:SendEmail'),
  transient(403, 'ExpiredTokenException', 'The security token included in the request is expired'),
  transient(403, 'SignatureDoesNotMatch', 'The request signature we calculated does not match'),
  transient(403, 'UnrecognizedClientException', 'The security token included in the request is invalid.'),
  transient(408, 'RequestTimeoutException', 'The request timed out.'),
  transient(500, 'InternalServiceError', 'An error occurred on the server.'),
  transient(500, 'InternalFailure', 'The request processing has failed.'),
  transient(503, 'ServiceUnavailable', 'Try again later.'),
  transient(418, 'SomethingNew', 'Nobody has heard of this.'),
  unknown(500, 'SomethingNew', 'Nobody has heard of this.'),
  // Without a name: not SES, but something on the way to it.
  permanent(413, '', 'Request Entity Too Large'),
  { ...transient(429, '', 'Too Many Requests'), throttled: true },
  transient(403, '', 'Forbidden'),
  transient(403, 'SomethingNew', 'Nobody has heard of this.'),
  transient(401, '', 'Unauthorized'),
  transient(407, '', 'Proxy Authentication Required'),
  transient(503, '', 'Service Unavailable'),
  unknown(500, '', 'Internal Server Error'),
  unknown(502, '', 'Bad Gateway'),
  unknown(504, '', 'Gateway Timeout'),
  unknown(200, '', 'Welcome to this network'),
];

describe('what SES answers', () => {
  for (const { status, name, message, kind, throttled } of ANSWERS) {
    it(`${status} ${name || 'of a proxy'}: "${message}" is ${kind}${throttled ? ', throttled' : ''}`, async () => {
      // What has expired is asked for once more.
      const times = name.startsWith('ExpiredToken') ? 2 : 1;
      for (let time = 0; time < times; time += 1) ses.faults.plan({ kind: 'error', status, name, message });
      const outcomes = await transport.send(outgoing(), NEVER);
      assert.equal(outcomes.length, 1);
      const { recipients, outcome } = outcomes[0] as (typeof outcomes)[0];
      assert.deepEqual(recipients, ['bob@example.com']);
      assert.ok(outcome.kind !== 'sent');
      assert.deepEqual([outcome.kind, outcome.throttled], [kind, throttled]);
      assert.equal(outcome.code, name || `HTTP ${status}`);
      const expected =
        ruleFor({ status, name, message, kind })?.says ?? (name === '' ? `HTTP status ${status}` : message);
      assert.ok(outcome.message.startsWith(expected), outcome.message);
    });
  }

  it('nothing of credentials that have expired, where others are at hand', async () => {
    ses.faults.plan({ kind: 'error', status: 403, name: 'ExpiredTokenException', message: 'expired' });
    const [sent] = await transport.send(outgoing(), NEVER);
    assert.equal(sent?.outcome.kind, 'sent');
  });

  it('has an answer here for every line of the table', () => {
    const reached = new Set(ANSWERS.map(ruleFor));
    assert.deepEqual(
      SES_RULES.filter(rule => !reached.has(rule)).map(({ because }) => because),
      [],
    );
  });

  it('names every error of SendEmail in the SES API v2 reference', () => {
    const named = new Set(SES_RULES.flatMap(({ names = [] }) => names));
    for (const name of SEND_EMAIL_ERRORS) assert.ok(named.has(name), name);
  });

  it('says what is the matter with the account, where it is that', () => {
    const reasonOf = (status: number, name: string, message: string) =>
      classifySes({ stage: 'answered', status, name, message }).reason;
    assert.equal(reasonOf(400, 'MessageRejected', 'Sending paused for this account.'), 'paused');
    assert.equal(reasonOf(400, 'AccountSuspendedException', 'x'), 'paused');
    assert.equal(reasonOf(429, 'TooManyRequestsException', 'Daily message quota exceeded.'), 'quota');
    assert.equal(reasonOf(429, 'TooManyRequestsException', 'x'), 'throttled');
    assert.equal(reasonOf(403, 'ExpiredTokenException', 'x'), 'credentials');
    assert.equal(reasonOf(403, 'SomethingNew', 'x'), 'credentials');
    assert.equal(reasonOf(500, 'InternalFailure', 'x'), 'connect');
    assert.equal(reasonOf(503, 'ServiceUnavailable', 'x'), 'connect');
    assert.equal(reasonOf(400, 'MessageRejected', 'Virus detected.'), undefined);
    assert.equal(reasonOf(404, 'NotFoundException', 'Configuration set <x> does not exist.'), undefined);
  });

  it('tells a configuration set that is stopped from an account that is', () => {
    const isOfPart = (name: string, message: string) => {
      const outcome = classifySes({ stage: 'answered', status: 400, name, message });
      assert.equal(outcome.reason, 'paused', message);
      return outcome.ofPart === true;
    };
    for (const name of ['MessageRejected', 'BadRequestException', 'SendingPausedException']) {
      assert.ok(isOfPart(name, 'Sending is paused for configuration set events.'), name);
      assert.ok(isOfPart(name, 'Configuration set events: email sending is disabled.'), name);
      assert.ok(!isOfPart(name, 'Sending paused for this account.'), name);
      assert.ok(!isOfPart(name, 'Sending is paused for this account, whatever its configuration set.'), name);
    }
    assert.ok(isOfPart('ConfigurationSetSendingPausedException', 'x'));
    for (const name of ['AccountSuspendedException', 'SendingPausedException', 'AccountSendingPausedException'])
      assert.ok(!isOfPart(name, 'x'), name);
  });

  it('does not pass on what names accounts and roles', () => {
    const message = 'User: arn:aws:iam::123456789012:user/relay is not authorized to perform: ses:SendEmail';
    const outcome = classifySes({ stage: 'answered', status: 403, name: 'AccessDeniedException', message });
    assert.doesNotMatch(outcome.message, /arn:|123456789012/);
  });

  it('keeps codes and messages short', () => {
    const message = 'x'.repeat(10_000);
    const outcome = classifySes({ stage: 'answered', status: 400, name: 'y'.repeat(1_000), message });
    assert.ok(outcome.message.length <= 500 && outcome.code.length <= 100);
  });
});

const SEND_EMAIL_ERRORS = [
  'AccountSuspendedException',
  'BadRequestException',
  'LimitExceededException',
  'MailFromDomainNotVerifiedException',
  'MessageRejected',
  'NotFoundException',
  'SendingPausedException',
  'TooManyRequestsException',
];

/** Read apart from the code under test, which does not say by which line it came to its answer. */
function ruleFor({ status, name, message }: Expected): SesRule | undefined {
  return SES_RULES.find(
    rule =>
      (!rule.names || rule.names.includes(name)) &&
      (!rule.status || (status >= rule.status[0] && status <= rule.status[1])) &&
      (!rule.message || rule.message.test(message)),
  );
}

function transient(status: number, name: string, message: string): Expected {
  return { status, name, message, kind: 'transient' };
}

function permanent(status: number, name: string, message: string): Expected {
  return { status, name, message, kind: 'permanent' };
}

function unknown(status: number, name: string, message: string): Expected {
  return { status, name, message, kind: 'unknown' };
}
