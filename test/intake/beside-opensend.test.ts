import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, describe, it, type TestContext } from 'node:test';
import { base64Lines, mail, multipart } from '../support/mail.ts';
import { type Mail, startInstallation } from '../support/opensend/installation.ts';
import type { OutgoingMail } from '../support/opensend/outgoing.ts';
import { accepted } from './submit.ts';

/*
 * As a new user sets it up: an empty Postgres, the relay, then OpenSend with its tables, a key that its dashboard
 * restricts to a domain. What applications send then comes out of OpenSend's worker and of an SES that refuses what AWS
 * documents as refused.
 */

const installation = await startInstallation({ after });
const PDF = Buffer.concat([Buffer.from('%PDF-1.7\r\n'), randomBytes(5_000)]);
const TO = ['ann@example.com'];

async function deliverRaw(t: TestContext, raw: Buffer): Promise<OutgoingMail> {
  return installation.deliver(await accepted(t, installation.relay, raw, { to: TO }));
}

async function deliverNodemailer(message: Mail): Promise<OutgoingMail> {
  return installation.deliver(await installation.send({ to: 'Ann <ann@example.com>', ...message }));
}

/** One that holds nothing but what the message adds. */
const PLAIN: OutgoingMail = {
  kind: 'simple',
  from: 'Acme <hello@acme.test>',
  to: TO,
  cc: [],
  bcc: [],
  replyTo: [],
  subject: '',
  headers: {},
  text: null,
  html: null,
  attachments: [],
};

describe('beside OpenSend, what is accepted arrives', () => {
  it('from Nodemailer', async () => {
    const message = await deliverNodemailer({
      from: 'Acme <hello@ACME.test>',
      cc: '"Dyke, Carl" <carl@example.com>',
      bcc: 'hidden@example.com',
      replyTo: 'Support <desk@acme.test>',
      subject: 'Grüße',
      text: 'Привет',
      html: '<p>Привет</p>',
      list: { unsubscribe: 'https://acme.test/u?id=1' },
    });
    assert.deepEqual(message, {
      ...PLAIN,
      cc: ['carl@example.com'],
      bcc: ['hidden@example.com'],
      replyTo: ['Support <desk@acme.test>'],
      subject: 'Grüße',
      headers: { 'list-unsubscribe': '<https://acme.test/u?id=1>' },
      text: 'Привет',
      html: '<p>Привет</p>',
    });
  });

  it("with Outlook's headers, of which those that matter are kept", async t => {
    const message = await deliverRaw(
      t,
      mail(
        'From: Acme <hello@acme.test>',
        'To: Ann <ann@example.com>',
        'Subject: RE: Offer',
        'Thread-Topic: Offer',
        'Thread-Index: AdoX1JkQ0u0b5sLzT7Gm8c8c5N1u0w==',
        'Date: Mon, 23 Nov 2026 10:00:00 +0000',
        'Message-ID: <AM0PR1@eurprd01.prod.outlook.com>',
        'References: <1@example.com>',
        '\t<2@example.com>',
        'In-Reply-To: <2@example.com>',
        'Accept-Language: de-DE, en-US',
        'Content-Language: en-US',
        'Importance: high',
        'X-Priority: 1',
        'X-MS-Has-Attach:',
        'X-MS-TNEF-Correlator:',
        'x-ms-publictraffictype: Email',
        'x-ms-traffictypediagnostic: AM0PR1:EE_|AM0PR2:EE_',
        'x-ms-office365-filtering-correlation-id: 0b8f7a52-3c1e-4d8e-9a5e-2f1f6f3f7c11',
        `x-microsoft-antispam-message-info: ${'x'.repeat(2_000)}`,
        'x-forefront-antispam-report: CIP:255.255.255.255;CTRY:;LANG:en;SCL:1;',
        'x-ms-exchange-messagesentrepresentingtype: 1',
        'x-originating-ip: [192.0.2.1]',
        'ARC-Seal: i=1; a=rsa-sha256; s=arcselector9901; d=microsoft.com; cv=none; b=abc',
        'Authentication-Results: spf=none (sender IP is )',
        '\tsmtp.mailfrom=hello@acme.test;',
        'X-Mailer: Microsoft Outlook 16.0',
        'X-Campaign: autumn',
        'MIME-Version: 1.0',
        'Content-Type: text/plain; charset=windows-1252',
        'Content-Transfer-Encoding: quoted-printable',
        '',
        'F=FCr Sie',
      ),
    );
    const { headers, ...rest } = message;
    assert.deepEqual(rest, { ...withoutHeaders(PLAIN), subject: 'RE: Offer', text: 'Für Sie\n' });
    const kept = {
      'in-reply-to': '<2@example.com>',
      references: '<1@example.com> <2@example.com>',
      importance: 'high',
      'x-priority': '1',
      'x-mailer': 'Microsoft Outlook 16.0',
      'x-campaign': 'autumn',
      'accept-language': 'de-DE, en-US',
    };
    for (const [name, value] of Object.entries(kept)) assert.equal(headers[name], value, name);
    assert.ok(Object.keys(headers).length <= 14);
  });

  it("with an umlaut in the sender's name", async () => {
    const message = await deliverNodemailer({
      from: { name: 'Jörg Müller', address: 'joerg@acme.test' },
      subject: 'Hi',
      text: 'Hi',
    });
    assert.deepEqual(message, { ...PLAIN, from: 'Jörg Müller <joerg@acme.test>', subject: 'Hi', text: 'Hi\n' });
  });

  it('a scan without a text', async t => {
    const scan = mail(
      'From: Acme <hello@acme.test>',
      'To: ann@example.com',
      'Subject: Scan',
      'MIME-Version: 1.0',
      'Content-Type: application/pdf; name="Scan 1.pdf"',
      'Content-Disposition: attachment; filename="Scan 1.pdf"',
      'Content-Transfer-Encoding: base64',
      '',
      base64Lines(PDF),
    );
    const { text, ...message } = await deliverRaw(t, scan);
    const attachment = { filename: 'Scan 1.pdf', contentType: 'application/pdf', content: PDF };
    assert.equal(text?.trim(), '');
    assert.deepEqual(
      { ...message, text: null },
      {
        ...PLAIN,
        kind: 'raw',
        subject: 'Scan',
        attachments: [{ ...attachment, disposition: 'attachment', contentId: null }],
      },
    );
  });

  it('a PDF from Gmail, whose Content-ID no HTML names', async t => {
    const body = multipart(
      'mixed',
      multipart(
        'alternative',
        mail('Content-Type: text/plain; charset="UTF-8"', '', 'The bill'),
        mail('Content-Type: text/html; charset="UTF-8"', '', '<div dir="ltr">The bill</div>'),
      ),
      mail(
        'Content-Type: application/pdf; name="Rechnung März.pdf"',
        "Content-Disposition: attachment; filename*=UTF-8''Rechnung%20M%C3%A4rz.pdf",
        'Content-Transfer-Encoding: base64',
        'Content-ID: <f_m3x8k2p10>',
        'X-Attachment-Id: f_m3x8k2p10',
        '',
        base64Lines(PDF),
      ),
    );
    const header = mail('MIME-Version: 1.0', 'From: Acme <hello@acme.test>', 'To: ann@example.com', 'Subject: Bill');
    assert.deepEqual(await deliverRaw(t, Buffer.concat([header, body])), {
      ...PLAIN,
      kind: 'raw',
      subject: 'Bill',
      html: '<div dir="ltr">The bill</div>\n',
      attachments: [
        {
          filename: 'Rechnung März.pdf',
          contentType: 'application/pdf',
          disposition: 'attachment',
          contentId: null,
          content: PDF,
        },
      ],
    });
  });

  it('an attachment of 20 MB', async () => {
    const content = randomBytes(20_000_000);
    const message = await deliverNodemailer({
      from: 'Acme <hello@acme.test>',
      subject: 'Large',
      text: 'See there',
      attachments: [{ filename: 'backup.zip', content }],
    });
    const [attachment] = message.attachments;
    assert.ok(attachment?.content.equals(content), 'the same bytes');
    assert.deepEqual(
      { ...message, attachments: [attachment?.filename, attachment?.contentType, attachment?.disposition] },
      {
        ...PLAIN,
        kind: 'raw',
        subject: 'Large',
        text: 'See there',
        attachments: ['backup.zip', 'application/zip', 'attachment'],
      },
    );
  });

  it('a reply in a thread of sixty', async t => {
    const ids = Array.from({ length: 60 }, (_, index) => `<CAF${index}.${'x'.repeat(40)}@mail.example.com>`);
    const raw = mail(
      'From: Acme <hello@acme.test>',
      'To: ann@example.com',
      'Subject: Re: Thread',
      `References: ${ids.join('\r\n ')}`,
      `In-Reply-To: ${ids.at(-1)}`,
      '',
      'Yes',
    );
    const { headers, ...message } = await deliverRaw(t, raw);
    assert.deepEqual(message, { ...withoutHeaders(PLAIN), subject: 'Re: Thread', text: 'Yes\n' });
    const { references = '', ...others } = headers;
    assert.deepEqual(others, { 'in-reply-to': ids.at(-1) });
    const [first, ...last] = references.split(' ');
    assert.equal(first, ids[0]);
    assert.deepEqual(last, ids.slice(-last.length));
    const another = `${references} ${ids.at(-last.length - 1)}`;
    assert.ok(references.length <= 870 && another.length > 870, `as many as fit: ${references.length}`);
  });
});

function withoutHeaders({ headers: _, ...rest }: OutgoingMail): Omit<OutgoingMail, 'headers'> {
  return rest;
}
