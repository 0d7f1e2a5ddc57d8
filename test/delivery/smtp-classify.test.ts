import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  classifySmtpFailure,
  messageIdIn,
  SMTP_RULES,
  type SmtpFailure,
} from '../../src/delivery/transport/smtp/classify.ts';
import { connectTo, never, outgoing, type Script, startSmarthost } from './support/smarthost.ts';

const ANN = 'ann@example.com';
const BOB = 'bob@example.com';

function at(step: string, answer: string, recipient?: string): Script {
  return (current, line) =>
    current === step && (recipient === undefined || line.includes(recipient)) ? answer : undefined;
}

interface Row {
  readonly what: string;
  /** Which of `SMTP_RULES` decides. */
  readonly rule: number;
  readonly script: Script;
  readonly outcome: 'transient' | 'permanent' | 'unknown';
  readonly code: string;
  readonly user?: string;
  readonly timeout?: number;
}

/** Milliseconds, of which ten times as many are for the final dot: enough for each step before, also where the machine stands still. */
const BEFORE_DOT = 2_500;

/** What Ann's outcome is where a real server behaves so; Bob is the second recipient. */
const ROWS: readonly Row[] = [
  {
    what: 'a greeting that refuses for good',
    rule: 0,
    script: at('CONNECT', '554 5.7.1 go away'),
    outcome: 'transient',
    code: '554',
  },
  {
    what: 'a greeting that refuses for now',
    rule: 0,
    script: at('CONNECT', '421 4.3.2 busy'),
    outcome: 'transient',
    code: '421',
  },
  {
    what: 'a connection closed before the greeting',
    rule: 0,
    script: at('CONNECT', 'close'),
    outcome: 'transient',
    code: 'ECONNECTION',
  },
  {
    what: 'no greeting',
    rule: 0,
    script: at('CONNECT', 'hang'),
    outcome: 'transient',
    code: 'ETIMEDOUT',
    timeout: 2_000,
  },
  {
    what: 'a greeting that never ends',
    rule: 0,
    script: at('CONNECT', 'drip'),
    outcome: 'transient',
    code: 'ETIMEDOUT',
    timeout: 500,
  },
  {
    what: 'a log-in that is refused',
    rule: 0,
    script: at('AUTH', '535 5.7.8 no'),
    outcome: 'transient',
    code: '535',
    user: 'relay',
  },
  {
    what: 'a log-in that cannot be checked now',
    rule: 0,
    script: at('AUTH', '454 4.7.0 no'),
    outcome: 'transient',
    code: '454',
    user: 'relay',
  },
  { what: '421 to MAIL', rule: 1, script: at('MAIL', '421 4.3.2 bye'), outcome: 'transient', code: '421' },
  { what: '421 to RCPT', rule: 1, script: at('RCPT', '421 4.3.2 bye'), outcome: 'transient', code: '421' },
  { what: '421 to the final dot', rule: 1, script: at('.', '421 4.3.2 bye'), outcome: 'transient', code: '421' },
  { what: '530 to MAIL', rule: 2, script: at('MAIL', '530 5.7.0 log in first'), outcome: 'transient', code: '530' },
  { what: '538 to MAIL', rule: 2, script: at('MAIL', '538 5.7.11 encrypt first'), outcome: 'transient', code: '538' },
  { what: '503 to DATA', rule: 3, script: at('DATA', '503 5.5.1 out of order'), outcome: 'transient', code: '503' },
  {
    what: '552 to RCPT behind another',
    rule: 4,
    script: at('RCPT', '552 too many recipients', ANN),
    outcome: 'transient',
    code: '552',
  },
  { what: '452 to RCPT', rule: 5, script: at('RCPT', '452 4.5.3 too many', ANN), outcome: 'transient', code: '452' },
  { what: '451 to MAIL', rule: 5, script: at('MAIL', '451 4.3.0 later'), outcome: 'transient', code: '451' },
  { what: '450 to DATA', rule: 5, script: at('DATA', '450 4.2.0 later'), outcome: 'transient', code: '450' },
  { what: '451 to the final dot', rule: 5, script: at('.', '451 4.7.1 greylisted'), outcome: 'transient', code: '451' },
  { what: '550 to MAIL', rule: 6, script: at('MAIL', '550 5.7.1 not from you'), outcome: 'permanent', code: '550' },
  { what: '552 to MAIL', rule: 6, script: at('MAIL', '552 5.3.4 too large'), outcome: 'permanent', code: '552' },
  {
    what: '550 to RCPT',
    rule: 6,
    script: at('RCPT', '550 5.1.1 no such user', ANN),
    outcome: 'permanent',
    code: '550',
  },
  {
    what: '552 to RCPT for a full mailbox',
    rule: 6,
    script: at('RCPT', '552 5.2.2 full', ANN),
    outcome: 'permanent',
    code: '552',
  },
  {
    what: '554 to DATA',
    rule: 6,
    script: at('DATA', '554 5.5.1 no valid recipients'),
    outcome: 'permanent',
    code: '554',
  },
  { what: '554 to the final dot', rule: 6, script: at('.', '554 5.6.0 spam'), outcome: 'permanent', code: '554' },
  {
    what: 'a connection lost at the final dot',
    rule: 7,
    script: at('.', 'close'),
    outcome: 'unknown',
    code: 'ECONNECTION',
  },
  {
    what: 'no answer to the final dot',
    rule: 7,
    script: at('.', 'hang'),
    outcome: 'unknown',
    code: 'ETIMEDOUT',
    timeout: BEFORE_DOT,
  },
  {
    what: 'an answer to the final dot that never ends',
    rule: 7,
    script: at('.', 'drip'),
    outcome: 'unknown',
    code: 'ETIMEDOUT',
    timeout: BEFORE_DOT,
  },
  {
    what: 'an answer to MAIL that never ends',
    rule: 8,
    script: at('MAIL', 'drip'),
    outcome: 'transient',
    code: 'ETIMEDOUT',
    timeout: 500,
  },
  {
    what: 'a connection lost at MAIL',
    rule: 8,
    script: at('MAIL', 'close'),
    outcome: 'transient',
    code: 'ECONNECTION',
  },
  {
    what: 'a connection lost at DATA',
    rule: 8,
    script: at('DATA', 'close'),
    outcome: 'transient',
    code: 'ECONNECTION',
  },
  {
    what: 'no answer to MAIL',
    rule: 8,
    script: at('MAIL', 'hang'),
    outcome: 'transient',
    code: 'ETIMEDOUT',
    timeout: 2_000,
  },
  { what: 'an answer that is none', rule: 8, script: at('MAIL', 'hello?'), outcome: 'transient', code: 'EENVELOPE' },
];

describe('the table of replies', { concurrency: 8 }, () => {
  it('has a case for each row', () => {
    assert.deepEqual([...new Set(ROWS.map(({ rule }) => rule))].sort(), [...SMTP_RULES.keys()]);
    for (const { rule, outcome } of ROWS) assert.equal(SMTP_RULES[rule]?.kind, outcome);
  });

  for (const { what, script, outcome, code, user, timeout } of ROWS) {
    for (const pipelining of [true, false]) {
      it(`${what}: ${outcome}${pipelining ? '' : ', without pipelining'}`, async t => {
        const server = await startSmarthost(t, script, { hidePIPELINING: !pipelining, allowInsecureAuth: true });
        const transport = connectTo(t, server, { ...(user && { user, password: 'x' }), ...(timeout && { timeout }) });
        const outcomes = await transport.send(outgoing({ recipients: [BOB, ANN] }), never);
        const ann = outcomes.find(({ recipients }) => recipients.includes(ANN))?.outcome;
        assert.equal(ann?.kind, outcome, JSON.stringify(outcomes));
        assert.equal('code' in ann ? ann.code : '', code);
        assert.deepEqual(outcomes.flatMap(({ recipients }) => recipients).sort(), [ANN, BOB]);
        const isWhole = !script('RCPT', ANN, 1) || script('RCPT', BOB, 1);
        assert.equal(
          outcomes.find(({ recipients }) => recipients.includes(BOB))?.outcome.kind,
          isWhole ? outcome : 'sent',
        );
      });
    }
  }

  const failure: SmtpFailure = { step: 'message', reply: null, fault: 'ECONNREFUSED' };

  for (const [what, about, reason] of [
    ['a connection that is lost at MAIL', { fault: 'ECONNECTION' }, 'connect'],
    ['no answer to MAIL', { fault: 'ETIMEDOUT' }, 'connect'],
    ['421 to MAIL', { reply: '421 4.3.2 bye' }, 'connect'],
    ['421 to the final dot', { step: 'end', reply: '421 4.3.2 bye' }, 'connect'],
    ['421 to RCPT', { step: 'recipient', reply: '421 4.3.2 bye' }, 'connect'],
    ['what is no reply', { reply: 'hello?', fault: 'EENVELOPE' }, 'connect'],
    ['a connection that is lost at the log-in', { step: 'login', fault: 'ECONNECTION' }, 'connect'],
    ['a log-in that cannot be checked', { step: 'login', reply: '454 4.7.0 later' }, 'connect'],
    ['a log-in that is refused', { step: 'login', reply: '535 5.7.8 no' }, 'credentials'],
    ['no password', { step: 'login', fault: 'ENOENT' }, 'credentials'],
    ['530 to MAIL', { reply: '530 5.7.0 log in first' }, 'credentials'],
    ['a message that is refused', { reply: '550 5.7.1 no' }, undefined],
    ['a message that is to come later', { step: 'end', reply: '451 4.7.1 greylisted' }, undefined],
    ['a message that cannot be read', { fault: 'MessageUnread' }, undefined],
    ['a worker that stops', { fault: 'ABORTED' }, undefined],
  ] as const) {
    it(`says of the smarthost: ${what} is ${reason ?? 'nothing'}`, () => {
      const outcome = classifySmtpFailure({ ...failure, ...about });
      assert.equal('reason' in outcome ? outcome.reason : undefined, reason);
    });
  }

  it('gives no addresses or files of ours away', () => {
    const outcome = classifySmtpFailure({ ...failure, step: 'connect' });
    assert.deepEqual(outcome, {
      kind: 'transient',
      code: 'ECONNREFUSED',
      message: 'The smarthost refused the connection',
      reason: 'connect',
    });
    const unknown = classifySmtpFailure({ ...failure, fault: 'EXDEV' });
    assert.equal('message' in unknown && unknown.message, 'The smarthost cannot be used');
  });

  it('makes one short line of a reply of many', () => {
    const outcome = classifySmtpFailure({ ...failure, reply: `550-5.7.1 no\r\n550 \u0007${'x'.repeat(1000)}` });
    assert.ok(
      'message' in outcome && /^550-5\.7\.1 no 550 x+…$/.test(outcome.message) && outcome.message.length === 500,
    );
  });
});

describe('the id in a reply', () => {
  const ids = {
    '250 2.0.0 Ok: queued as 4F2A1B': '4F2A1B',
    '250 OK id=1tZxyz-000000001Ab-0abc': '1tZxyz-000000001Ab-0abc',
    '250 2.0.0 4ANBxyz123 Message accepted for delivery': '4ANBxyz123',
    '250 Ok 0100018f2c3d4e5f-6a7b8c9d-000000': '0100018f2c3d4e5f-6a7b8c9d-000000',
    '250 2.0.0 OK': null,
    '250 thank you for your message': null,
    [`250 queued as ${'x'.repeat(300)}`]: null,
  };
  for (const [reply, id] of Object.entries(ids)) {
    it(`${reply.slice(0, 60)}: ${id}`, () => assert.equal(messageIdIn(reply), id));
  }
});
