import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { after, describe, it } from 'node:test';
import { simpleParser } from 'mailparser';
import { freePort } from '../../dev/ports.ts';
import { deleteOldMessageIds } from '../../src/store/retention/messages.ts';
import { base64Lines, mail, multipart } from '../support/mail.ts';
import { scrape } from '../support/metrics.ts';
import { OpenSendWorker } from '../support/opensend/worker.ts';
import { startRelay } from '../support/relay.ts';
import { startFakeSes } from '../support/ses/start.ts';
import { accepted, type Envelope, emailRow, submit } from './submit.ts';

const settings = { httpHost: '127.0.0.1', httpPort: await freePort() };
const relay = await startRelay({ after }, { tls: false, queue: false, settings });
const ses = await startFakeSes({ after });
const worker = new OpenSendWorker({ db: relay.db, ses, tries: 1 });
after(() => worker.close());

const FROM = 'From: Acme <hello@acme.test>';
const PDF = Buffer.from('%PDF-1.7\r\n\0\xff', 'latin1');

/** Sends a message to the relay, and its row to SES. @returns what SES was asked for */
async function sent(t: { after(fn: () => void): void }, raw: Buffer, envelope?: Envelope) {
  const id = await accepted(t, relay, raw, envelope);
  const { outcome, error } = await worker.deliver(id);
  assert.equal(outcome, 'sent', String(error));
  const request = ses.mailbox.messages.at(-1);
  assert.ok(request);
  const headers = Object.fromEntries((request.simple?.Headers ?? []).map(({ Name, Value }) => [Name, Value]));
  return { id, request, headers, raw: request.raw };
}

function pdf(...fields: readonly string[]): Buffer {
  return mail(
    'Content-Type: application/pdf; name=a.pdf',
    ...fields,
    'Content-Transfer-Encoding: base64',
    '',
    base64Lines(PDF),
  );
}

describe("what OpenSend's worker makes of it, a strict SES takes", () => {
  it('an umlaut in the name of the sender, and addresses in the name', async t => {
    const raw = mail(
      'From: Jörg Müller <jo@ACME.test>',
      'Reply-To: "ann@other.test" <ann@x.test>',
      'Subject: Grüße',
      '',
      'x',
    );
    const { request } = await sent(t, raw);
    assert.equal(request.fromEmailAddress, '=?UTF-8?B?SsO2cmcgTcO8bGxlcg==?= <jo@acme.test>');
    assert.deepEqual(request.replyTo, ['=?UTF-8?Q?ann=40other=2Etest?= <ann@x.test>']);
    assert.equal(request.simple?.Subject?.Data, 'Grüße');
  });

  it('Outlook’s headers, of which the last in rank are left out, counted and logged', async t => {
    const before = await scrape(relay);
    const own = Array.from({ length: 8 }, (_, index) => `X-Own-${index}: 1`);
    const outlook = [
      'Thread-Topic: x',
      'Thread-Index: Adc=',
      'X-MS-Has-Attach:',
      'X-MS-TNEF-Correlator:',
      'X-Originating-IP: [192.0.2.1]',
    ];
    const kept = [
      'In-Reply-To: <0@x.test>',
      'Accept-Language: de-DE',
      'Importance: high',
      'List-Unsubscribe: <https://acme.test/u>',
    ];
    const { id, headers } = await sent(
      t,
      mail(
        FROM,
        ...outlook,
        'Message-ID: <outlook@acme.test>',
        'X-Entity-ID: theirs',
        `X-Long: ${'x'.repeat(871)}`,
        ...own,
        ...kept,
        '',
        'x',
      ),
    );
    const expected = [...outlook.slice(0, 2), ...own, ...kept].map(line => line.split(':')[0]);
    assert.deepEqual(Object.keys(headers).sort(), [...expected, 'X-Entity-ID'].sort());
    assert.equal(headers['X-Entity-ID'], id);
    const reasons = { count: 1, empty: 2, length: 1, replaced: 1, name: 0, characters: 0 };
    const after_ = await scrape(relay);
    for (const [reason, count] of Object.entries(reasons)) {
      const name = `smtp_relay_headers_left_out_total{reason="${reason}"}`;
      assert.equal((after_.get(name) ?? Number.NaN) - (before.get(name) ?? Number.NaN), count, reason);
    }
    const lines = relay.logs.filter(line => line['emailId'] === id && line['headersLeftOut']);
    assert.deepEqual(
      lines.map(line => line['headersLeftOut']),
      [
        [
          'X-MS-Has-Attach (empty)',
          'X-MS-TNEF-Correlator (empty)',
          'X-Entity-ID (replaced)',
          'X-Long (length)',
          'X-Originating-IP (count)',
        ],
      ],
    );
  });

  it('a reply in a thread of 60', async t => {
    const ids = Array.from({ length: 60 }, (_, index) => `<CAF${index}+${'a'.repeat(40)}@mail.gmail.test>`);
    const { headers } = await sent(
      t,
      mail(FROM, `In-Reply-To: ${ids[59]}`, `References: ${ids.join('\r\n\t')}`, '', 'x'),
    );
    const references = headers['References']?.split(' ') ?? [];
    assert.deepEqual([references[0], references.at(-1), headers['In-Reply-To']], [ids[0], ids[59], ids[59]]);
    assert.ok(references.length > 10);
  });

  it('headers in UTF-8, folded, with TABs and control characters', async t => {
    const { headers } = await sent(t, mail(FROM, 'X-A: café', '\tau', '  lait\u0001', 'Comments: \u0007', '', 'x'));
    assert.equal(headers['X-A'], '=?UTF-8?B?Y2Fmw6k=?= au lait');
    assert.equal(headers['Comments'], undefined);
  });

  it('no body at all, with and without a scan', async t => {
    for (const raw of [mail(FROM), mail(FROM, '', ''), mail(FROM, 'Content-Type: text/html', '')]) {
      assert.equal((await sent(t, raw)).request.simple?.Body?.Text?.Data?.trim(), '');
    }
    const { raw } = await sent(t, Buffer.concat([mail(FROM, 'Subject: Scan'), pdf()]));
    const scan = await simpleParser(raw);
    assert.deepEqual([scan.subject, scan.attachments.length, scan.attachments[0]?.content], ['Scan', 1, PDF]);
  });

  it('a PDF with the Content-ID that Gmail gives it, and an image that the HTML names', async t => {
    const html = mail('Content-Type: text/html', '', '<img src="cid:logo@acme">');
    const logo = mail('Content-Type: image/png; name=logo.png', 'Content-ID: <logo@acme>', '', 'PNG');
    const { raw } = await sent(
      t,
      Buffer.concat([
        mail(FROM),
        multipart('mixed', html, logo, pdf('Content-ID: <f_lq8x2k0>', 'X-Attachment-Id: f_lq8x2k0')),
      ]),
    );
    const { attachments } = await simpleParser(raw, { skipImageLinks: true });
    assert.deepEqual(
      attachments.map(({ filename, contentDisposition, cid }) => [filename, contentDisposition, cid]),
      [
        ['logo.png', 'inline', 'logo@acme'],
        ['a.pdf', 'attachment', undefined],
      ],
    );
  });

  it('names and types of files that would break its header', async t => {
    const hostile = mail(
      'Content-Type: "=?utf-8?Q?text/x=0D=0AX-Evil:_1?="',
      "Content-Disposition: attachment; filename*=utf-8''..%2F..%2Fa%0D%0AX-Evil%3A%201%22.pdf",
      'Content-ID: <=?utf-8?Q?a=0D=0AX-Evil:_1?=>',
      '',
      'x',
    );
    const { id, raw } = await sent(t, Buffer.concat([mail(FROM), multipart('mixed', mail('', 'x'), hostile)]));
    assert.doesNotMatch(raw.toString(), /^X-Evil/m);
    const [attachment] = (await emailRow(relay, id)).attachments ?? [];
    assert.deepEqual(
      [attachment?.filename, attachment?.content_type, attachment?.content_id],
      ['a X-Evil: 1".pdf', 'application/octet-stream', null],
    );
  });

  it('an attachment of megabytes', async t => {
    const content = Buffer.alloc(5_000_000, 'random enough ');
    const file = mail(
      'Content-Type: application/zip; name=a.zip',
      'Content-Transfer-Encoding: base64',
      '',
      base64Lines(content),
    );
    const { raw } = await sent(t, Buffer.concat([mail(FROM), multipart('mixed', mail('', 'x'), file)]));
    const { attachments } = await simpleParser(raw);
    assert.equal(attachments[0]?.checksum, createHash('md5').update(content).digest('hex'));
  });

  it('lines of a body that are longer than SES takes beside attachments', async t => {
    const paragraph = 'word '.repeat(1_000).trim();
    const body = mail(
      'Content-Type: text/plain; charset=utf-8',
      'Content-Transfer-Encoding: base64',
      '',
      base64Lines(Buffer.from(paragraph)),
    );
    const { raw } = await sent(t, Buffer.concat([mail(FROM), multipart('mixed', body, pdf())]));
    assert.equal((await simpleParser(raw)).text?.replaceAll(/\s+/g, ' ').trim(), paragraph);
    const { request } = await sent(t, Buffer.concat([mail(FROM), body]));
    assert.equal(request.simple?.Body?.Text?.Data, paragraph, 'which are left alone without');
  });
});

describe('what no row can carry is refused', () => {
  it('a List-Unsubscribe that is too long', async t => {
    const raw = mail(FROM, `List-Unsubscribe: <https://acme.test/${'u'.repeat(860)}>`, '', 'x');
    await submit(t, relay, raw, {}, '554 5.6.0 The List-Unsubscribe header has more than 870 characters');
  });

  it('a Reply-To that SES cannot take', async t => {
    await submit(t, relay, mail(FROM, 'Reply-To: é@acme.test', '', 'x'), {}, '553 5.6.7');
    await submit(t, relay, mail(FROM, 'Reply-To: =?utf-8?Q?a?=@acme.test', '', 'x'), {}, '553 5.1.3');
    await submit(t, relay, mail(FROM, '', 'x'), { to: ['=?utf-8?Q?a?=@example.com'] }, '553 5.1.3');
  });

  it('a Subject or recipients that fill more than a line, beside attachments', async t => {
    const withPdf = (...fields: string[]) =>
      Buffer.concat([mail(FROM, ...fields), multipart('mixed', mail('', 'x'), pdf())]);
    await submit(t, relay, withPdf(`Subject: ${'x'.repeat(990)}`), {}, '554 5.6.0 With attachments, a Subject');
    const to = Array.from({ length: 45 }, (_, index) => `recipient${index}@example.com`);
    await submit(
      t,
      relay,
      withPdf(`To: ${to.join(',\r\n ')}`),
      { to },
      '554 5.6.0 With attachments, all addresses of To',
    );
    await sent(t, withPdf(`To: ${to.slice(0, 20).join(',\r\n ')}`, `Cc: ${to.slice(20).join(',\r\n ')}`), { to });
  });
});

describe('the Message-ID beside OpenSend', () => {
  const stored = async (id: string) =>
    (await relay.db.query('select message_id from smtp_relay_message_ids where email_id = $1', [id])).rows;

  it('is in no header, and kept in a table of our own', async t => {
    const { id, headers } = await sent(t, mail(FROM, 'Message-ID: <kept@acme.test>', '', 'x'));
    assert.deepEqual(Object.keys(headers), ['X-Entity-ID']);
    assert.deepEqual(await stored(id), [{ message_id: 'kept@acme.test' }]);
    assert.deepEqual(await stored(await accepted(t, relay, mail(FROM, '', 'x'))), []);
    const long = `${'x'.repeat(5_000)}@acme.test`;
    assert.deepEqual(await stored(await accepted(t, relay, mail(FROM, `Message-ID: <${long}>`, '', 'x'))), [
      { message_id: long },
    ]);
  });

  it('is forgotten after 30 days', async t => {
    const old = await accepted(t, relay, mail(FROM, 'Message-ID: <old@acme.test>', '', 'x'));
    const young = await accepted(t, relay, mail(FROM, 'Message-ID: <young@acme.test>', '', 'x'));
    const age = `update smtp_relay_message_ids set created_at = now() - $2::interval where email_id = $1`;
    await relay.db.query(age, [old, '30 days 1 minute']);
    await relay.db.query(age, [young, '29 days 23 hours']);
    assert.equal(await deleteOldMessageIds(relay.db), 1);
    assert.deepEqual([await stored(old), await stored(young)], [[], [{ message_id: 'young@acme.test' }]]);
  });
});
