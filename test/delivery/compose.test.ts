import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { compose } from '../../src/delivery/outgoing/compose.ts';

const OPTIONS = {
  emailId: '4bf7c8f9-fd1b-419e-810e-a8d6a4fe3e43',
  acceptedAt: new Date('2026-11-03T09:05:07.890Z'),
  fromDomain: 'acme.test',
};
const DATE = 'Date: Tue, 03 Nov 2026 09:05:07 +0000\r\n';
const MESSAGE_ID = 'Message-ID: <4bf7c8f9-fd1b-419e-810e-a8d6a4fe3e43@acme.test>\r\n';
/** What a message must have so that nothing is added. */
const COMPLETE = 'Date: Mon, 2 Nov 2026 10:00:00 +0100\r\nMessage-ID: <1@acme.test>\r\n';

/** Latin-1, so that each character is one byte. */
function composed(text: string): string {
  return compose(Buffer.from(text, 'latin1'), OPTIONS).toString('latin1');
}

suite('what goes out of a message', () => {
  test('is the very same bytes where nothing is to change', () => {
    const raw = Buffer.from(`From: a@acme.test\r\n${COMPLETE}\r\nText\r\n`);
    assert.equal(compose(raw, OPTIONS), raw);
  });

  const removed = {
    Bcc: 'Bcc: secret@example.com\r\n',
    'Bcc in another case, with a space before the colon': 'bCC : secret@example.com\r\n',
    'an empty Bcc': 'Bcc:\r\n',
    'Bcc over several lines': 'Bcc: one@example.com,\r\n two@example.com,\r\n\t \r\n\tthree@example.com\r\n',
    'Resent-Bcc': 'Resent-Bcc: secret@example.com\r\n',
    'Return-Path': 'Return-Path: <bounce@acme.test>\r\n',
    ...Object.fromEntries(
      [
        'Delivered-To',
        'X-Original-To',
        'Envelope-To',
        'X-Envelope-To',
        'X-Envelope-From',
        'Errors-To',
        'Bounces-To',
      ].map(name => [name, `${name}: someone@acme.test\r\n`]),
    ),
    'our control header fields': 'X-OpenSend-Tag: a=b\r\nx-opensend-idempotency-key: 1\r\nX-OPENSEND-New: 1\r\n',
    'their aliases': 'X-PM-Tag: a\r\nX-Mailgun-Track: yes\r\nResend-Idempotency-Key: 1\r\n',
    'those of SES': 'X-SES-SOURCE-ARN: arn:aws:ses:x\r\nX-SES-CONFIGURATION-SET: y\r\n z\r\n',
  };
  for (const [name, field] of Object.entries(removed)) {
    test(`has no ${name}`, () => {
      const [first, last] = ['From: a@acme.test\r\n', `${COMPLETE}Subject: Bcc: x\r\n`];
      assert.equal(composed(`${first}${field}${last}\r\nText\r\n`), `${first}${last}\r\nText\r\n`);
      assert.equal(composed(`${field}${first}${last}\r\nText\r\n`), `${first}${last}\r\nText\r\n`);
      assert.equal(composed(`${first}${last}${field}\r\nText\r\n`), `${first}${last}\r\nText\r\n`);
      assert.equal(composed(`${field}${first}${field}${field}${last}`), `${first}${last}\r\n`);
    });
  }

  test('keeps everything else as it was written', () => {
    const before =
      'Received: from x\r\n\tby y;  \r\n date\r\nfROM:a@acme.test\r\nX-Dup: 1\r\nX-Dup: 2\r\nSubject: Gr\xfc\xdfe \xe2\x82\xac\r\n' +
      '   folded\r\n\t\r\n twice\r\nX-Bcc: kept\r\nBcc-X: kept\r\nX-OpenSendish: kept\r\nX-SESAME: kept\r\nX-Empty:\r\n';
    const body = 'Bcc: in the body\r\nX-SES-Y: too\r\n.\r\nbare \n and \r and \0\xff\r\n\r\nno end';
    assert.equal(composed(`${before}Bcc: x@example.com\r\n${COMPLETE}\r\n${body}`), `${before}${COMPLETE}\r\n${body}`);
  });

  test("has no DKIM signature of the client's where it is not to have one", () => {
    const signature = 'DKIM-Signature: v=1; a=rsa-sha256;\r\n\td=acme.test; b=abc\r\n';
    const rest = `From: a@acme.test\r\n${COMPLETE}`;
    const raw = Buffer.from(`${signature}${rest}${signature}\r\nText\r\n`);
    assert.equal(compose(raw, OPTIONS), raw);
    assert.equal(compose(raw, { ...OPTIONS, unsigned: true }).toString(), `${rest}\r\nText\r\n`);
  });

  test('keeps the header fields of parts and of forwarded messages', () => {
    const text = `From: a@acme.test\r\n${COMPLETE}Content-Type: message/rfc822\r\n\r\nBcc: x@example.com\r\n\r\nText\r\n`;
    assert.equal(composed(text), text);
  });
});

suite('address fields for a server without SMTPUTF8', () => {
  const plain = (text: string, encoding: BufferEncoding = 'utf8') =>
    compose(Buffer.from(text, encoding), { ...OPTIONS, plainAddresses: true }).toString();
  const rest = `${COMPLETE}Subject: Grüße an jörg@example.com\r\nX-Contact: ö@example.com\r\n\r\nTo: jörg@bücher.example\r\n`;

  test('are written anew where they have to be, in their place', () => {
    const [to, cc] = ['TO : Jörg\r\n <a@bücher.example>\r\n', 'Cc: Bob <b@example.com>,\r\n\tc@example.com\r\n'];
    const anew = 'TO: =?UTF-8?B?SsO2cmc=?=\r\n <a@xn--bcher-kva.example>\r\n';
    assert.equal(plain(`${to}${cc}${rest}`), `${anew}${cc}${rest}`);
    assert.equal(compose(Buffer.from(`${to}${cc}${rest}`), OPTIONS).toString(), `${to}${cc}${rest}`);
  });

  test('are read as the acceptance read them: as Latin-1 where the header is not UTF-8', () => {
    const header = `To: J\xf6rg <a@example.com>\r\n${COMPLETE}\r\n`;
    assert.equal(plain(header, 'latin1'), `To: =?UTF-8?B?SsO2cmc=?=\r\n <a@example.com>\r\n${COMPLETE}\r\n`);
  });

  test('are read each by itself: one in UTF-8 beside a field in Latin-1', () => {
    const [other, to] = ['X-Other: Gr\xfc\xdfe\r\n', Buffer.from('To: Jörg <a@example.com>\r\n').toString('latin1')];
    const sent = compose(Buffer.from(`${other}${to}${COMPLETE}\r\n`, 'latin1'), { ...OPTIONS, plainAddresses: true });
    const anew = 'To: =?UTF-8?B?SsO2cmc=?=\r\n <a@example.com>\r\n';
    assert.equal(sent.toString('latin1'), `${other}${anew}${COMPLETE}\r\n`);
  });

  test('stay where nobody can read them', () => {
    const text = `Cc: Bob <b@example.com, ü\r\n${rest}`;
    assert.equal(plain(text), text);
  });
});

suite('what the client left out (RFC 6409 section 8)', () => {
  test('comes at the end of the header section', () => {
    assert.equal(
      composed('From: a@acme.test\r\nX-SES-A: b\r\n\r\nText\r\n'),
      `From: a@acme.test\r\n${DATE}${MESSAGE_ID}\r\nText\r\n`,
    );
  });

  test('each by itself', () => {
    assert.equal(composed('date: x\r\n\r\n'), `date: x\r\n${MESSAGE_ID}\r\n`);
    assert.equal(composed('MESSAGE-ID:\r\n <1@a>\r\n\r\n'), `MESSAGE-ID:\r\n <1@a>\r\n${DATE}\r\n`);
  });

  test('is not taken from fields with similar names, from values or from the body', () => {
    const header = 'Resent-Date: x\r\nX-Message-ID: y\r\nSubject: a\r\n Date: z\r\n';
    assert.equal(
      composed(`${header}\r\nDate: x\r\nMessage-ID: y\r\n`),
      `${header}${DATE}${MESSAGE_ID}\r\nDate: x\r\nMessage-ID: y\r\n`,
    );
  });

  const withoutBody = {
    'no body': ['From: a@acme.test\r\n\r\n', `From: a@acme.test\r\n${DATE}${MESSAGE_ID}\r\n`],
    'no empty line': ['From: a@acme.test\r\n', `From: a@acme.test\r\n${DATE}${MESSAGE_ID}\r\n`],
    'no line end': ['From: a@acme.test', `From: a@acme.test\r\n${DATE}${MESSAGE_ID}\r\n`],
    'nothing left of its header': ['Bcc: x@example.com', `${DATE}${MESSAGE_ID}\r\n`],
    'no header': ['\r\nText\r\n', `${DATE}${MESSAGE_ID}\r\nText\r\n`],
    'nothing at all': ['', `${DATE}${MESSAGE_ID}\r\n`],
  } as const;
  for (const [name, [before, after]] of Object.entries(withoutBody)) {
    test(`where the message has ${name}`, () => {
      assert.equal(composed(before), after);
    });
  }
});

test('a body of 40 MB is copied once, and not looked at', () => {
  const body = Buffer.alloc(40 * 1024 * 1024, 'Bcc: x\r\n\r\n');
  const raw = Buffer.concat([Buffer.from(`From: a@acme.test\r\nBcc: x@example.com\r\n${COMPLETE}\r\n`), body]);
  const before = process.memoryUsage();
  const out = compose(raw, OPTIONS);
  const after = process.memoryUsage();
  const grown = after.arrayBuffers + after.heapUsed - before.arrayBuffers - before.heapUsed;
  assert.ok(grown < 1.2 * raw.length, `${grown} bytes`);
  assert.equal(out.compare(body, 0, body.length, out.length - body.length), 0);
});
