import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { readHeaderFields } from '../../src/message/header/fields.ts';
import { messageIdOf, replyToOf, rowHeaders, subjectOf } from '../../src/message/header/row-headers.ts';
import { mail } from '../support/mail.ts';

const fields = (...lines: readonly (string | Buffer)[]) => readHeaderFields(mail(...lines, ''), 1_048_576);

describe('headers of the row', () => {
  it("List-Unsubscribe arrives as `[object Object]`: every header's original value survives", () => {
    const original = {
      'List-Unsubscribe': '<https://acme.test/u?id=1>, <mailto:u@acme.test?subject=leave%20me>',
      'List-Unsubscribe-Post': 'List-Unsubscribe=One-Click',
      'List-Id': '"Acme news" <news.acme.test>',
      'Message-ID': '<1@acme.test>',
      'In-Reply-To': '<0@other.test>',
      References: '<a@other.test> <b@other.test>',
      'X-Priority': '1 (Highest)',
      Importance: 'High',
      Sender: 'B <b@acme.test>',
      'Disposition-Notification-To': 'Ann <a@acme.test>',
      'Auto-Submitted': 'auto-generated',
      'X-Custom': '=?utf-8?Q?stays_as_it_is?=',
      'X-Json': '{"a": [1, "b"]}',
      Comments: '',
    };
    const lines = Object.entries(original).map(([name, value]) => `${name}: ${value}`);
    assert.deepEqual(rowHeaders(fields(...lines)), original);
  });

  it('leave out what the pipeline rebuilds or transport adds, whatever its case', () => {
    const names = [
      'From',
      'to',
      'CC',
      'Bcc',
      'Reply-To',
      'Subject',
      'Date',
      'MIME-Version',
      'Content-Type',
      'content-transfer-encoding',
      'Content-Disposition',
      'Content-Language',
      'Received',
      'Return-Path',
      'DKIM-Signature',
    ];
    assert.deepEqual(rowHeaders(fields(...names.map(name => `${name}: x`), 'X-Kept: 1')), { 'X-Kept': '1' });
  });

  it('leave out control headers and all X-SES-*', () => {
    const names = [
      'X-OpenSend-Tag',
      'X-OpenSend-New',
      'Resend-Idempotency-Key',
      'X-SES-SOURCE-ARN',
      'x-ses-x',
      'X-PM-Tag',
      'X-Mailgun-Track',
    ];
    assert.deepEqual(rowHeaders(fields(...names.map(name => `${name}: x`), 'X-Kept: 1')), { 'X-Kept': '1' });
  });

  it('join the values of repeated ones by ", " under the first name, each once', () => {
    const repeated = fields('X-A: 1', 'x-b: one', 'X-a: 2', 'X-A: 3', 'X-B: one');
    assert.deepEqual(rowHeaders(repeated), { 'X-A': '1, 2, 3', 'x-b': 'one' });
  });

  it('are unfolded, and may have any text', () => {
    assert.deepEqual(rowHeaders(fields('X-A: one', '  two', 'X-B: 日本')), { 'X-A': 'one  two', 'X-B': '日本' });
    assert.deepEqual(rowHeaders(fields(Buffer.from('X-A: caf\xe9', 'latin1'))), { 'X-A': 'café' });
  });

  it('may have names that objects know', () => {
    const headers = rowHeaders(fields('__proto__: 1', 'constructor: 2'));
    assert.deepEqual(Object.entries(headers), [
      ['__proto__', '1'],
      ['constructor', '2'],
    ]);
  });
});

describe('the subject', () => {
  it('is decoded', () => {
    assert.equal(subjectOf(fields('Subject: =?utf-8?Q?Caf=C3=A9?= au lait')), 'Café au lait');
    assert.equal(subjectOf(fields('SUBJECT: roh: ü')), 'roh: ü');
    assert.equal(subjectOf(fields(Buffer.from('Subject: caf\xe9', 'latin1'))), 'café');
  });

  it('is empty where there is none', () => {
    assert.equal(subjectOf(fields('X: y')), '');
    assert.equal(subjectOf(fields('Subject:')), '');
  });

  it('may be very long, and folded', () => {
    const words = Array.from({ length: 20_000 }, (_, number) => `word${number}`);
    assert.equal(subjectOf(fields('Subject:', ...words.map(word => ` ${word}`))), words.join(' '));
  });

  it('has no line break that an encoded word hides, and no other control character', () => {
    assert.equal(subjectOf(fields('Subject: =?utf-8?Q?a=0D=0ABcc:_x?=')), 'a Bcc: x');
    assert.equal(subjectOf(fields('Subject: a\u0001\tb\u0085c =?utf-8?Q?=E2=80=A8=1B[0m=C2=9B_d?=')), 'a b c  [0m  d');
  });
});

describe('Reply-To', () => {
  it('is all of its mailboxes', () => {
    const lines = ['Reply-To: "Dyke, Ann" <a@x.test>, =?utf-8?Q?J=C3=B6rg?= <b@x.test>', 'Reply-To: c@x.test'];
    assert.deepEqual(replyToOf(fields(...lines)), [
      { name: 'Dyke, Ann', address: 'a@x.test' },
      { name: 'Jörg', address: 'b@x.test' },
      { name: null, address: 'c@x.test' },
    ]);
    assert.deepEqual(replyToOf(fields('Subject: x')), []);
  });
});

describe('the Message-ID', () => {
  it('is what stands between the angle brackets of the first one', () => {
    for (const [lines, expected] of [
      [['Message-ID: <1@acme.test>', 'Message-ID: <2@acme.test>'], '1@acme.test'],
      [['message-id:', ' < a.b@[192.0.2.1] > (a comment)'], 'a.b@[192.0.2.1]'],
      [['Message-Id: none@acme.test'], 'none@acme.test'],
      [['Message-ID: '], null],
      [['Message-ID: <>'], null],
      [[], null],
    ] as const) {
      assert.equal(messageIdOf(fields(...lines)), expected, lines.join());
    }
  });
});
