import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { decide, type Facts, type Subject } from '../../src/intake/decide.ts';
import { transportLimits } from '../../src/routing/routes.ts';

const mailbox = (address: string) => ({ name: null, address });

const field = (name: string, value: string) => ({ name, value, spaceBeforeColon: false });

const SUBJECT: Subject = {
  sender: { from: mailbox('hello@acme.test'), sender: null },
  recipients: ['someone@example.com'],
  bytes: 1000,
  longestLine: 78,
  fields: [field('Date', 'x'), field('Message-ID', '<1@acme.test>')],
  contentFields: { fileNames: [], unreadable: null },
};

const FACTS: Facts = {
  keyDomain: null,
  foreignDomain: null,
  foreignReturn: null,
  suppressed: [],
  outside: [],
  transport: transportLimits('ses'),
  sentAsReceived: true,
};

function refusal(subject: Partial<Subject>, facts: Partial<Facts>) {
  const refused = decide({ ...SUBJECT, ...subject }, { ...FACTS, ...facts });
  return refused && `${refused.code} ${refused.enhancedCode} ${refused.message}`;
}

describe('decide', () => {
  it('accepts where nothing speaks against it', () => {
    assert.equal(refusal({}, {}), null);
    assert.equal(refusal({}, { keyDomain: 'acme.test' }), null);
  });

  it('compares the domain of From with the key, without regard to case and in A-labels', () => {
    const from = (address: string) => ({ sender: { from: mailbox(address), sender: null } });
    assert.equal(refusal(from('a@ACME.test'), { keyDomain: 'acme.TEST' }), null);
    assert.equal(refusal(from('a@xn--bcher-kva.example'), { keyDomain: ' Bücher.example ' }), null);
    for (const address of ['a@other.test', 'a@sub.acme.test', 'a@acme.test.evil.test', 'acme.test@evil.test']) {
      assert.match(refusal(from(address), { keyDomain: 'acme.test' }) ?? '', /^550 5\.7\.1 .*acme\.test/, address);
    }
  });

  it('compares the domain of Sender likewise', () => {
    const sender = { from: mailbox('a@acme.test'), sender: mailbox('a@other.test') };
    assert.match(refusal({ sender }, { keyDomain: 'acme.test' }) ?? '', /^550 5\.7\.1 .*Sender.*other\.test/);
    assert.equal(refusal({ sender }, { keyDomain: null }), null);
  });

  it("refuses a From domain that is not the owner's, where that is asked", () => {
    assert.match(
      refusal({}, { foreignDomain: 'acme.test' }) ?? '',
      /^550 5\.7\.1 acme\.test is not one of your domains/,
    );
  });

  it('names a recipient on the suppression list, and how many more there are', () => {
    const suppressed = ['a@example.com', 'b@example.com', 'c@example.com'];
    assert.match(refusal({}, { suppressed: suppressed.slice(0, 1) }) ?? '', /^550 5\.7\.1 .*a@example\.com/);
    assert.match(refusal({}, { suppressed }) ?? '', /a@example\.com and 2 more/);
  });

  it('refuses local parts that the transport cannot deliver: 553 5.6.7', () => {
    const recipients = ['a@example.com', 'jürgen@example.com'];
    assert.match(refusal({ recipients }, {}) ?? '', /^553 5\.6\.7 An address/);
    const sender = { from: mailbox('jürgen@acme.test'), sender: null };
    assert.match(refusal({ sender }, {}) ?? '', /^553 5\.6\.7/);
    assert.equal(refusal({ recipients, sender }, { transport: transportLimits('smtp') }), null);
  });

  it('applies the limits of the transport to what is sent as it was received, only', () => {
    const { messageBytes, lineBytes } = FACTS.transport;
    assert.equal(refusal({ bytes: messageBytes, longestLine: lineBytes }, {}), null);
    assert.match(refusal({ bytes: messageBytes + 1 }, {}) ?? '', /^552 5\.3\.4/);
    // With the Date and Message-ID that it lacks, it would be larger than what SES takes.
    assert.match(refusal({ bytes: messageBytes, fields: [] }, {}) ?? '', /^552 5\.3\.4/);
    assert.match(refusal({ longestLine: lineBytes + 1 }, {}) ?? '', /^554 5\.6\.0/);
    const mending = {
      bytes: 1_000,
      firstLong: { place: 'the body', kind: 'content' as const },
      fault: null,
      types: 0,
      sealedEmpty: 0,
    };
    const long = { longestLine: lineBytes + 1, mending };
    assert.equal(refusal(long, {}), null);
    assert.match(
      refusal(long, { longLines: 'refuse' }) ?? '',
      /^554 5\.6\.0 A line of the body .*: encode the part as/,
    );
    const grown = { ...long, mending: { ...mending, bytes: messageBytes + 1 } };
    assert.match(refusal(grown, {}) ?? '', /^552 5\.3\.4 .* once its long lines are encoded/);
    assert.equal(refusal({ bytes: messageBytes + 1, longestLine: lineBytes + 1 }, { sentAsReceived: false }), null);
  });

  it('says first who may not send at all', () => {
    const facts = { keyDomain: 'other.test', suppressed: ['someone@example.com'] };
    assert.match(refusal({ bytes: 1e9 }, facts) ?? '', /API key may only send from/);
  });
});
