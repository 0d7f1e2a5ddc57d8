import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { base64Lines, mail, multipart } from '../support/mail.ts';
import { startRelay } from '../support/relay.ts';
import { accepted, emailRow, originalRow, storedRow, submit } from './submit.ts';

const relay = await startRelay({ after }, { queue: false });
const PDF = Buffer.from('%PDF-1.7\r\n\0\xff', 'latin1');

const TEXT = mail('Content-Type: text/plain; charset=windows-1251', '', Buffer.from('cff0e8e2e5f2', 'hex'));
const HTML = mail('Content-Type: text/html; charset=utf-8', '', '<p>Привет <img src="cid:logo@acme"></p>');
const LOGO = mail(
  'Content-Type: image/png; name=logo.png',
  'Content-ID: <logo@acme>',
  'Content-Disposition: inline; filename=logo.png',
  'Content-Transfer-Encoding: base64',
  '',
  base64Lines(Buffer.from('PNG')),
);
const CALENDAR = mail('Content-Type: text/calendar; charset=utf-8; method=REQUEST', '', 'BEGIN:VCALENDAR');
const ATTACHMENT = mail(
  'Content-Type: application/pdf',
  "Content-Disposition: attachment; filename*0*=utf-8''r%C3%A9; filename*1*=sum%C3%A9.pdf",
  'Content-Transfer-Encoding: base64',
  '',
  base64Lines(PDF),
);

const HEADER = mail(
  'Received: from laptop by mail.acme.test; Mon, 1 Jan 2024 00:00:00 +0000',
  'From: "Acme, Inc." <Hello@Acme.test>',
  'To: Ann <ann@example.com>, =?utf-8?Q?J=C3=B6rg?= <joerg@example.com>',
  'Cc: "Dyke, Carl" <carl@example.com>',
  'Bcc: listed@example.com',
  'Reply-To: Support <support@acme.test>, desk@acme.test',
  'Subject: =?KOI8-R?B?8NLJ18XU?= =?utf-8?Q?=2C_world?=',
  'Date: Mon, 01 Jan 2024 00:00:00 +0000',
  'Message-ID: <1@acme.test>',
  'List-Unsubscribe: <https://acme.test/u>, <mailto:u@acme.test>',
  'List-Unsubscribe-Post: List-Unsubscribe=One-Click',
  'X-Repeated: one',
  'X-Repeated: two',
  'X-Folded: a',
  '  b',
  'X-OpenSend-Tag: campaign=spring',
  'X-SES-MESSAGE-TAGS: team=growth',
  'X-SES-SOURCE-ARN: arn:aws:ses:us-east-1:1:identity/other.test',
  'X-OpenSend-Track-Opens: no',
  'MIME-Version: 1.0',
);

const RECIPIENTS = [
  'ann@example.com',
  'joerg@example.com',
  'carl@example.com',
  'hidden@example.com',
  'listed@example.com',
];

describe('the row beside OpenSend', () => {
  it("is complete for OpenSend's worker", async t => {
    const body = multipart(
      'mixed',
      multipart('alternative', TEXT, multipart('related', HTML, LOGO), CALENDAR),
      ATTACHMENT,
    );
    const raw = Buffer.concat([HEADER, body]);
    const { id, created_at, ...row } = await storedRow(t, relay, raw, { to: RECIPIENTS });
    assert.deepEqual(row, {
      from: '"Acme, Inc." <Hello@acme.test>',
      to: ['ann@example.com', 'joerg@example.com'],
      cc: ['carl@example.com'],
      bcc: ['hidden@example.com', 'listed@example.com'],
      reply_to: ['Support <support@acme.test>', 'desk@acme.test'],
      subject: 'Привет, world',
      text: 'Привет\n',
      html: '<p>Привет <img src="cid:logo@acme"></p>\n',
      headers: {
        'List-Unsubscribe': '<https://acme.test/u>, <mailto:u@acme.test>',
        'List-Unsubscribe-Post': 'List-Unsubscribe=One-Click',
        'X-Repeated': 'one, two',
        'X-Folded': 'a b',
      },
      attachments: [
        { filename: 'logo.png', content: 'UE5H', content_type: 'image/png', content_id: 'logo@acme' },
        {
          filename: 'attachment-2.ics',
          content: Buffer.from('BEGIN:VCALENDAR\r\n').toString('base64'),
          content_type: 'text/calendar',
          content_id: null,
        },
        { filename: 'résumé.pdf', content: PDF.toString('base64'), content_type: 'application/pdf', content_id: null },
      ],
      tags: [
        { name: 'campaign', value: 'spring' },
        { name: 'team', value: 'growth' },
      ],
      status: 'queued',
      user_id: relay.owner.userId,
      idempotency_key: null,
      scheduled_at: null,
      topic_id: null,
      thread_id: null,
      reply_address: null,
      reply_token: null,
      document: null,
      provider_retry_count: 0,
      provider_last_attempted_at: null,
      provider_next_retry_at: null,
      provider_last_error_code: null,
      provider_last_error_message: null,
      provider_dead_lettered_at: null,
      sent_at: null,
    });
    assert.ok(created_at instanceof Date);
    assert.equal(await originalRow(relay, id), null, 'the message as received is for the standalone pipeline');
  });

  it('of the smallest message has no more than it says, and a body that SES takes', async t => {
    const row = await storedRow(t, relay, mail('From: a@acme.test'));
    assert.deepEqual(
      [row.from, row.to, row.cc, row.bcc, row.reply_to, row.subject, row.text, row.html, row.headers],
      ['a@acme.test', [], null, ['b@example.com'], null, '', '\n', null, {}],
    );
    assert.deepEqual([row.attachments, row.tags], [null, null]);
  });

  it('of a message without a text has a line end for one', async t => {
    const row = await storedRow(t, relay, Buffer.concat([mail('From: a@acme.test', 'To: b@example.com'), ATTACHMENT]));
    assert.deepEqual([row.text, row.html, row.attachments?.length], ['\n', null, 1]);
  });

  it('of a large message, which is read in a thread, is the same as of a small one', async t => {
    const content = Buffer.from(Array.from({ length: 3_000_000 }, (_, index) => (index * 7) % 251));
    const image = mail(
      'Content-Type: image/png; name=a.png',
      'Content-Transfer-Encoding: base64',
      '',
      base64Lines(content),
    );
    const raw = Buffer.concat([
      mail('From: a@acme.test', 'To: b@example.com', 'Subject: large'),
      multipart('mixed', TEXT, image),
    ]);
    const row = await storedRow(t, relay, raw);
    assert.deepEqual([row.subject, row.text], ['large', 'Привет\n']);
    const [attachment] = row.attachments ?? [];
    assert.equal(attachment?.filename, 'a.png');
    assert.ok(Buffer.from(attachment?.content ?? '', 'base64').equals(content));
  });

  it('may have a very long subject and very long lines', async t => {
    const words = Array.from({ length: 5_000 }, (_, index) => `word${index}`);
    const line = 'x'.repeat(100_000);
    const row = await storedRow(
      t,
      relay,
      mail('From: a@acme.test', 'Subject:', ...words.map(word => ` ${word}`), '', line),
    );
    assert.deepEqual([row.subject, row.text], [words.join(' '), `${line}\n`]);
  });

  it('may have any text that Postgres can hold; control characters only in a body', async t => {
    const text = 'quotes " \' \\ $1 %s {} [] \u0001 \u007f \u2028 \ufffd 🙂 null';
    const row = await storedRow(
      t,
      relay,
      mail('From: a@acme.test', `Subject: ${text}`, 'X-A: \\u0041 \\" \u0002x', '', text),
    );
    const subject = text.replaceAll(/\p{Cc}|\u2028/gu, ' ');
    assert.deepEqual([row.subject, row.text, row.headers['X-A']], [subject, `${text}\n`, '\\u0041 \\"  x']);
  });

  it('has halves of surrogate pairs replaced, which Postgres cannot hold', async t => {
    const attachment = mail('Content-Type: image/png; name="=?utf-16le?B?YQAA2GIA?="', '', 'x');
    const raw = Buffer.concat([
      mail('From: =?utf-16be?B?2AA=?= <a@acme.test>', 'Subject: a =?utf-16be?B?2AA=?='),
      attachment,
    ]);
    const row = await storedRow(t, relay, raw);
    assert.deepEqual(
      [row.from, row.subject, row.attachments?.[0]?.filename],
      ['=?UTF-8?B?77+9?= <a@acme.test>', 'a \ufffd', 'a\ufffdb'],
    );
  });
});

describe('what Postgres cannot store', () => {
  const part = (type: string, bytes: Buffer) =>
    mail(
      'From: a@acme.test',
      `Content-Type: ${type}`,
      'Content-Transfer-Encoding: base64',
      '',
      bytes.toString('base64'),
    );
  const cases: readonly (readonly [where: string, raw: Buffer])[] = [
    ['in the body as sent', mail('From: a@acme.test', '', 'a\0b')],
    ['in the header as sent', mail('From: a@acme.test', 'X-A: a\0b', '', 'x')],
    ['in an encoded text', part('text/plain', Buffer.from('a\0b'))],
    ['in encoded HTML', part('text/html; charset=utf-8', Buffer.from('<p>\0'))],
    ['in quoted-printable', mail('From: a@acme.test', 'Content-Transfer-Encoding: quoted-printable', '', 'a=00b')],
    ['in a text whose charset makes it one', part('text/plain; charset=utf-16le', Buffer.from([0x61, 0, 0, 0]))],
    ['in the subject', mail('From: a@acme.test', 'Subject: =?utf-8?Q?a=00b?=', '', 'x')],
    ['in the display name', mail('From: =?utf-8?Q?a=00b?= <a@acme.test>', '', 'x')],
    ['in the name of a recipient', mail('From: a@acme.test', 'To: =?utf-8?Q?a=00b?= <b@example.com>', '', 'x')],
    ['in Reply-To', mail('From: a@acme.test', 'Reply-To: =?utf-8?Q?a=00b?= <b@example.com>', '', 'x')],
    ['in a file name', mail('From: a@acme.test', "Content-Type: image/png; name*=utf-8''a%00b.png", '', 'x')],
    ['in an encoded file name', mail('From: a@acme.test', 'Content-Type: image/png; name="=?utf-8?Q?a=00?="', '', 'x')],
  ];
  for (const [where, raw] of cases) {
    it(`gets a definite answer: NUL ${where}`, async t => {
      const { last } = await submit(t, relay, raw, {}, '5');
      assert.match(last, /^55[04] 5\.[67]\./);
    });
  }

  it('is no NUL byte in an encoded attachment', async t => {
    const row = await storedRow(t, relay, part('image/png', Buffer.from('a\0b')));
    assert.equal(row.attachments?.[0]?.content, Buffer.from('a\0b').toString('base64'));
  });

  it('is a From of more than 512 characters', async t => {
    const from = (length: number, char = 'n') => `From: ${char.repeat(length - ' <a@acme.test>'.length)} <a@acme.test>`;
    const row = await storedRow(t, relay, mail(from(512), '', 'x'));
    assert.equal(row.from.length, 512);
    await submit(t, relay, mail(from(513), '', 'x'), {}, '554 5.6.0 The From header has more than 512 characters');
    // Encoded words are longer than what they stand for: a name that only these make too long is shortened.
    const encoded = (await storedRow(t, relay, mail(from(512, '🙂'), '', 'x'))).from;
    assert.match(encoded, /^=\?UTF-8\?.* <a@acme\.test>$/);
    assert.ok(encoded.length <= 512, encoded);
  });

  it('leaves the session usable, and messages that share its commit unharmed', async t => {
    const nul = mail('From: a@acme.test', 'Subject: =?utf-8?Q?a=00b?=');
    const replies = await Promise.all([
      submit(t, relay, nul, {}, '554 5.6.0'),
      accepted(t, relay, mail('From: a@acme.test', 'Subject: fine')),
    ]);
    assert.equal((await emailRow(relay, replies[1])).subject, 'fine');
  });
});
