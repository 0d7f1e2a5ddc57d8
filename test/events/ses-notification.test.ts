import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type EmailFacts, sentEvent } from '../../src/events/event.ts';
import { readSesNotification } from '../../src/events/ses/notification.ts';
import { InvalidNotification } from '../../src/events/ses/reading.ts';
import { asIdentityNotification, inEventBridge, inSns, MESSAGE_ID, ses, TIMESTAMP } from './support/ses.ts';

const EMAIL_ID = '0b8f7a52-3c1e-4d8e-9a5e-2f1f6f3f7c11';
const TWO = ['One@example.com', 'two@example.com'];

function read(record: unknown) {
  const notification = readSesNotification(typeof record === 'string' ? record : JSON.stringify(record));
  assert.ok(notification, 'it is of interest');
  return notification;
}

function occurrences(record: unknown) {
  return read(record).occurrences;
}

function sourceIds(record: unknown): string[] {
  return occurrences(record).map(({ sourceId }) => sourceId);
}

describe('readSesNotification', () => {
  it('reads who it is about', () => {
    const { messageId, emailId, destination } = read(ses.send({ emailId: EMAIL_ID, destination: TWO }));
    assert.deepEqual(
      { messageId, emailId, destination },
      { messageId: MESSAGE_ID, emailId: EMAIL_ID, destination: TWO },
    );
    assert.equal(read(ses.send()).emailId, null);
  });

  for (const [name, record, type, details] of [
    ['Send', ses.send(), 'sent', {}],
    ['Delivery', ses.delivery(), 'delivered', { delivered: { smtp_response: '250 2.6.0 Message received' } }],
    [
      'Bounce',
      ses.bounce(),
      'bounced',
      { bounce: { type: 'Permanent', sub_type: 'General', message: 'smtp; 550 5.1.1 user unknown' } },
    ],
    ['Complaint', ses.complaint(), 'complained', { complaint: { type: 'abuse', sub_type: null } }],
    [
      'DeliveryDelay',
      ses.delay(),
      'delivery_delayed',
      { delivery_delayed: { type: 'MailboxFull', message: 'smtp; 452 4.2.2 mailbox full' } },
    ],
    ['Open', ses.open(), 'opened', { open: { user_agent: 'Mail/1.0' } }],
    ['Click', ses.click(), 'clicked', { click: { link: 'https://acme.test/offer?a=1', user_agent: 'Browser/1.0' } }],
    ['Reject', ses.reject(), 'failed', { failed: { code: 'Rejected', message: 'Bad content' } }],
    [
      'Rendering Failure',
      ses.renderingFailure(),
      'failed',
      { failed: { code: 'RenderingFailure', message: 'Attribute name is missing' } },
    ],
  ] as const) {
    it(`reads ${name}`, () => {
      const [occurrence, ...others] = occurrences(record);
      assert.deepEqual([occurrence?.type, occurrence?.details, others], [type, details, []]);
      assert.deepEqual(occurrence?.recipients, ['recipient@example.com']);
    });
  }

  it('makes one event for each recipient of a delivery, bounce, complaint or delay', () => {
    for (const record of [ses.delivery, ses.bounce, ses.complaint, ses.delay]) {
      const read = occurrences(record({ destination: TWO }));
      assert.deepEqual(
        read.map(({ recipients }) => recipients),
        [['One@example.com'], ['two@example.com']],
      );
      assert.equal(new Set(read.map(({ sourceId }) => sourceId)).size, 2);
      assert.deepEqual(read[0]?.occurredAt, new Date(TIMESTAMP));
    }
    for (const record of [ses.send, ses.open, ses.click, ses.reject]) {
      assert.deepEqual(
        occurrences(record({ destination: TWO })).map(({ recipients }) => recipients),
        [TWO],
      );
    }
  });

  it('reads the same out of each wrapping', () => {
    const record = ses.bounce({ destination: TWO });
    const bare = read(record);
    assert.deepEqual(read(inSns(record)), bare);
    assert.deepEqual(read(inEventBridge(record)), bare);
    assert.deepEqual(read(inSns(inEventBridge(record))), bare);
    assert.deepEqual(occurrences(asIdentityNotification(record)), bare.occurrences);
  });

  it('knows the same occurrence again, however the address is written', () => {
    assert.deepEqual(
      sourceIds(ses.delivery({ destination: ['a@x.test'] })),
      sourceIds(ses.delivery({ destination: ['A@X.test'] })),
    );
    assert.equal(sourceIds(ses.send())[0], `ses:${MESSAGE_ID}:send`);
    const email: EmailFacts = {
      id: EMAIL_ID,
      userId: 'a',
      from: 'a',
      to: [],
      subject: '',
      tags: [],
      createdAt: TIMESTAMP,
    };
    const own = sentEvent(email, { recipients: [], provider: { transport: 'ses', messageId: MESSAGE_ID } });
    assert.equal(own.sourceId, sourceIds(ses.send())[0]);
  });

  it('tells different occurrences apart', () => {
    const all = [
      ...[ses.send(), ses.delivery(), ses.bounce(), ses.bounce({ type: 'Transient' }), ses.complaint(), ses.reject()],
      ...[ses.delay(), ses.delay({ timestamp: '2026-01-02T04:04:05.678Z' }), ses.renderingFailure()],
      ...[ses.open(), ses.open({ ipAddress: '192.0.2.8' }), ses.click(), ses.click({ link: 'https://acme.test/' })],
      ses.delivery({ messageId: 'another' }),
    ].flatMap(sourceIds);
    assert.equal(new Set(all).size, all.length);
    const long = sourceIds(ses.click({ messageId: 'm'.repeat(160), link: `https://acme.test/${'x'.repeat(9_000)}` }));
    assert.ok((long[0]?.length ?? 999) <= 255);
  });

  it('suppresses after hard bounces and complaints only', () => {
    const reason = (record: object) => occurrences(record)[0]?.suppression;
    assert.equal(reason(ses.bounce()), 'bounced');
    assert.equal(reason(ses.bounce({ subType: 'OnAccountSuppressionList' })), 'bounced');
    assert.equal(reason(ses.bounce({ subType: 'UnsubscribedRecipient' })), null);
    assert.equal(reason(ses.bounce({ type: 'Transient', subType: 'MailboxFull' })), null);
    assert.equal(reason(ses.bounce({ type: 'Undetermined' })), null);
    assert.equal(reason(ses.complaint()), 'complained');
    for (const record of [ses.send(), ses.delivery(), ses.delay(), ses.open(), ses.click(), ses.reject()]) {
      assert.equal(reason(record), null);
    }
  });

  it('makes nothing of reports that are no complaint', () => {
    assert.deepEqual(occurrences(ses.complaint({ type: 'not-spam' })), []);
    assert.deepEqual(occurrences(ses.complaint({ type: 'auth-failure' })), []);
  });

  it('passes over what is of no interest', () => {
    for (const record of [
      'Successfully validated SNS topic for Amazon SES event publishing.',
      { notificationType: 'AmazonSnsSubscriptionSucceeded', message: 'You have successfully subscribed …' },
      ses.subscription(),
      { ...ses.send(), eventType: 'SomethingNew' },
      inEventBridge({ version: '1.0.0', data: {} }, { 'detail-type': 'Advisor Recommendation Status Open' }),
      inSns({}, { Message: 'Successfully validated SNS topic for Amazon SES event publishing.' }),
    ]) {
      assert.equal(readSesNotification(typeof record === 'string' ? record : JSON.stringify(record)), null);
    }
  });

  const { mail, ...withoutMail } = ses.delivery();
  for (const [name, record, message] of [
    ['no JSON', 'hello', /^the notification is not JSON$/],
    ['nothing', '', /not JSON/],
    ['a list', '[]', /not an object/],
    ['null', 'null', /not an object/],
    ['something else', '{"type": "email.send"}', /eventType is missing/],
    [
      'a notification whose message is no JSON',
      JSON.stringify(inSns({}, { Message: 'hello' })),
      /its message is not JSON/,
    ],
    [
      'a subscription',
      JSON.stringify(inSns({}, { Type: 'SubscriptionConfirmation' })),
      /SNS sent a SubscriptionConfirmation/,
    ],
    ['an event of another source', JSON.stringify(inEventBridge({}, { source: 'aws.ec2' })), /another source/],
    ['a record without mail', JSON.stringify(withoutMail), /mail is not an object/],
    ['an id that is none', JSON.stringify({ ...withoutMail, mail: { ...mail, messageId: 7 } }), /mail\.messageId/],
    ['an endless id', JSON.stringify(ses.send({ messageId: 'x'.repeat(300) })), /mail\.messageId/],
    ['a record without its details', JSON.stringify({ eventType: 'Bounce', mail }), /bounce is not an object/],
    ['recipients that are none', JSON.stringify({ ...ses.delivery(), delivery: { recipients: [{}] } }), /recipients/],
    [
      'recipients that are no list',
      JSON.stringify({ ...ses.bounce(), bounce: { bouncedRecipients: 'a@x.test' } }),
      /list/,
    ],
    ['wrapping without end', JSON.stringify(inSns(inSns(inSns(inSns(inSns(ses.send())))))), /too often/],
  ] as const) {
    it(`refuses ${name}`, () => {
      assert.throws(
        () => readSesNotification(record),
        error => error instanceof InvalidNotification && message.test(error.message),
      );
    });
  }

  it('believes no tag that a client could have set beside ours', () => {
    const record = ses.send({ emailId: EMAIL_ID });
    const tags = { 'smtp-relay-email-id': [EMAIL_ID, '11111111-1111-4111-8111-111111111111'] };
    assert.equal(read({ ...record, mail: { ...record.mail, tags } }).emailId, null);
    assert.equal(read(ses.send({ emailId: 'no id' })).emailId, null);
  });

  it('keeps what strangers wrote short and fit for Postgres', () => {
    const [occurrence] = occurrences({ ...ses.reject(), reject: { reason: `a\0b\ud800${'x'.repeat(5_000)}` } });
    const failed = { code: 'Rejected', message: `a\ufffdb\ufffd${'x'.repeat(996)}` };
    assert.deepEqual(occurrence?.details, { failed });
  });

  it('takes the address out of what some receivers report', () => {
    assert.deepEqual(occurrences(ses.bounce({ destination: ['Jo <jo@x.test>'] }))[0]?.recipients, ['jo@x.test']);
  });
});
