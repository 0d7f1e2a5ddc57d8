import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { env } from 'node:process';
import { after, describe, it } from 'node:test';
import nodemailer from 'nodemailer';
import { parseAddressList } from '../../src/message/addresses/address-list.ts';
import { needs } from '../support/needs.ts';
import { startRelay, type TestRelay } from '../support/relay.ts';
import { countEmails, type EmailRow, emailRow, originalRow } from './submit.ts';

const relay = await startRelay({ after }, { queue: false });
const standalone = await startRelay({ after }, { queue: false, settings: { pipeline: 'standalone' } });

type Mail = Parameters<ReturnType<typeof nodemailer.createTransport>['sendMail']>[0];

/** Sends with Nodemailer over STARTTLS. @returns the id in the relay's reply */
async function sendWithNodemailer({ host, port, ca, owner }: TestRelay, message: Mail): Promise<string> {
  const transport = nodemailer.createTransport({
    host,
    port,
    secure: false,
    requireTLS: true,
    tls: { ca, servername: 'localhost' },
    auth: { user: 'apikey', pass: owner.apiKey },
  });
  const { response } = await transport.sendMail({
    from: 'Acme <hello@acme.test>',
    to: 'Ann <ann@example.com>',
    ...message,
  });
  transport.close();
  return response.split(' ').at(-1) ?? '';
}

async function nodemailerRow(message: Mail): Promise<EmailRow> {
  return emailRow(relay, await sendWithNodemailer(relay, message));
}

const ICS = 'BEGIN:VCALENDAR\r\nMETHOD:REQUEST\r\nEND:VCALENDAR';
const PNG = Buffer.from('89504e470d0a1a0a', 'hex');

describe('what Nodemailer sends', () => {
  it('Bcc recipients vanish: it names them in RCPT TO only, and they get the message', async () => {
    const row = await nodemailerRow({
      cc: 'carl@example.com',
      bcc: ['hidden@example.com', 'Ben <ben@example.com>'],
      text: 'x',
    });
    assert.deepEqual(
      [row.to, row.cc, row.bcc],
      [['ann@example.com'], ['carl@example.com'], ['hidden@example.com', 'ben@example.com']],
    );
  });

  it('`List-Unsubscribe` arrives as `[object Object]`: it arrives as it was written', async () => {
    const list = { unsubscribe: { url: 'https://acme.test/u?id=1', comment: 'Leave' }, id: 'news.acme.test' };
    const { headers } = await nodemailerRow({
      text: 'x',
      list,
      headers: { 'X-Custom': ['one', 'two'] },
      priority: 'high',
    });
    assert.equal(headers['List-Unsubscribe'], '<https://acme.test/u?id=1> (Leave)');
    assert.equal(headers['List-ID'] ?? headers['List-Id'], '<news.acme.test>');
    assert.equal(headers['X-Custom'], 'one, two');
    assert.equal(headers['X-Priority'], '1 (Highest)');
    assert.equal(headers['Message-ID'], undefined, 'SES sets its own');
  });

  it('the From display name is lost: it is kept, in any script', async () => {
    for (const [name, written] of [
      ['Acme', 'Acme <hello@acme.test>'],
      ['Acme, Inc. "EU"', '"Acme, Inc. \\"EU\\"" <hello@acme.test>'],
      ['Кафе 日本 🙂', '=?UTF-8?B?0JrQsNGE0LUg5pel5pysIPCfmYI=?= <hello@acme.test>'],
    ] as const) {
      const from = { name, address: 'hello@acme.test' };
      const row = await nodemailerRow({ from, replyTo: { name, address: 'hello@acme.test' }, text: 'x' });
      assert.deepEqual([row.from, row.reply_to], [written, [written]]);
    }
  });

  it('the text part is dropped when an HTML part and an attachment are present: all three are there', async () => {
    const row = await nodemailerRow({
      subject: 'Grüße, 日本 🙂 '.repeat(30).trim(),
      text: 'Grüße\n  日本',
      html: '<p>Grüße</p><img src="cid:logo@acme">',
      attachments: [
        { filename: 'logo.png', content: PNG, cid: 'logo@acme' },
        { filename: 'Überblick 日本 (sehr lang, mit Komma; und mehr) 2024.txt', content: 'notes' },
        { filename: 'a.pdf', content: 'PDF', encoding: 'base64' },
      ],
    });
    assert.equal(row.subject, 'Grüße, 日本 🙂 '.repeat(30).trim());
    assert.equal(row.text, 'Grüße\n  日本');
    assert.equal(row.html, '<p>Grüße</p><img src="cid:logo@acme">');
    assert.deepEqual(
      row.attachments?.map(({ filename, content_type, content_id }) => [filename, content_type, content_id]),
      [
        ['logo.png', 'image/png', 'logo@acme'],
        ['Überblick 日本 (sehr lang, mit Komma; und mehr) 2024.txt', 'text/plain', null],
        ['a.pdf', 'application/pdf', null],
      ],
    );
    assert.equal(row.attachments?.[0]?.content, PNG.toString('base64'));
  });

  it('calendar invitations are rebuilt and break: they are attachments, and standalone nothing changes at all', async () => {
    const invitation: Mail = { text: 'x', html: '<p>x', icalEvent: { method: 'REQUEST', content: ICS } };
    const row = await nodemailerRow(invitation);
    const calendars = row.attachments?.filter(({ content_type }) => content_type.startsWith('text/calendar'));
    assert.equal(calendars?.length, 1);
    assert.equal(calendars[0]?.content_type, 'text/calendar');
    assert.equal(Buffer.from(calendars[0]?.content ?? '', 'base64').toString(), ICS);

    const original = await originalRow(standalone, await sendWithNodemailer(standalone, invitation));
    assert.match(original?.raw.toString() ?? '', /^Content-Type: text\/calendar; charset=utf-8; method=REQUEST\r$/m);
  });

  it('a message composed elsewhere is stored as it is', async () => {
    const raw = 'From: a@acme.test\r\nTo: b@example.com\r\n\r\n.dot\r\n..dots\r\ntrailing \r\n';
    const envelope = { from: 'a@acme.test', to: ['b@example.com'] };
    const original = await originalRow(standalone, await sendWithNodemailer(standalone, { envelope, raw }));
    assert.equal(original?.raw.toString(), raw);
  });

  it('a refusal reaches the application with its codes', async () => {
    const refused = sendWithNodemailer(relay, { from: 'a@other.test', text: 'x' });
    await assert.rejects(refused, {
      responseCode: 550,
      response: /^550 5\.7\.1 This API key may only send from acme\.test/,
    });
  });
});

/** Runs Python with `send(message)` at hand, which logs in over STARTTLS and prints what the relay refused. */
async function python(relay: TestRelay, program: string): Promise<string> {
  const prelude = `
import os, smtplib, ssl
from email.message import EmailMessage
def send(message, **envelope):
    context = ssl.create_default_context(cafile=os.environ['RELAY_CA'])
    with smtplib.SMTP('localhost', int(os.environ['RELAY_PORT'])) as smtp:
        smtp.starttls(context=context)
        smtp.login('apikey', os.environ['RELAY_KEY'])
        print(smtp.send_message(message, **envelope))
def new(**fields):
    message = EmailMessage()
    for name, value in {'From': 'Acme <a@acme.test>', 'To': 'Ann <ann@example.com>', **fields}.items():
        message[name.replace('_', '-')] = value
    return message
`;
  const variables = {
    RELAY_CA: relay.certificate?.caPath ?? '',
    RELAY_PORT: String(relay.port),
    RELAY_KEY: relay.owner.apiKey,
    PYTHONUTF8: '1',
  };
  const child = spawn('python3', ['-'], { env: { ...env, ...variables }, timeout: 120_000 });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk: Buffer) => {
      output += chunk.toString();
    });
  }
  child.stdin.end(prelude + program);
  const [code] = await once(child, 'close');
  assert.equal(code, 0, output);
  return output.trim();
}

async function lastRow(relay: TestRelay): Promise<EmailRow> {
  const { rows } = await relay.db.query<{ id: string }>('select id from emails order by created_at desc limit 1');
  return emailRow(relay, rows[0]?.id ?? '');
}

describe('what Python sends', { skip: needs('python3') }, () => {
  it('text, HTML and attachments with names in any script', async () => {
    await python(
      relay,
      `
message = new(Subject='Grüße 日本 🙂 ' * 20, Cc='"Dyke, Carl" <carl@example.com>', Bcc='hidden@example.com', List_Unsubscribe='<https://acme.test/u>')
message.set_content('Grüße\\n.dot\\n')
message.add_alternative('<p>Grüße <img src="cid:logo@acme"></p>', subtype='html')
message.get_payload()[1].add_related(bytes.fromhex('89504e47'), 'image', 'png', cid='<logo@acme>')
message.add_attachment(b'PDF', maintype='application', subtype='pdf', filename='résumé 日本.pdf')
message.add_attachment('notes é', filename='notes.txt')
inner = new(Subject='inner')
inner.set_content('inner')
message.add_attachment(inner)
send(message)
`,
    );
    const row = await lastRow(relay);
    assert.deepEqual(
      [row.from, row.to, row.cc, row.bcc],
      ['Acme <a@acme.test>', ['ann@example.com'], ['carl@example.com'], ['hidden@example.com']],
    );
    assert.equal(row.subject.trim(), 'Grüße 日本 🙂 '.repeat(20).trim());
    assert.deepEqual([row.text, row.html], ['Grüße\n.dot\n', '<p>Grüße <img src="cid:logo@acme"></p>\n']);
    assert.deepEqual(row.headers, { 'List-Unsubscribe': '<https://acme.test/u>' });
    assert.deepEqual(
      row.attachments?.map(({ filename, content_type, content_id }) => [filename, content_type, content_id]),
      [
        ['attachment-1.png', 'image/png', 'logo@acme'],
        ['résumé 日本.pdf', 'application/pdf', null],
        ['notes.txt', 'text/plain', null],
        ['attachment-4.eml', 'message/rfc822', null],
      ],
    );
  });

  it('every charset that it can write', async () => {
    const charsets = [
      'iso-2022-jp',
      'shift_jis',
      'euc-jp',
      'gb2312',
      'gb18030',
      'big5',
      'euc-kr',
      'koi8-r',
      'windows-1250',
      'windows-1251',
      'windows-1252',
      'windows-1255',
      'iso-8859-1',
      'iso-8859-15',
      'utf-16',
      'utf-8',
    ];
    const before = await countEmails(relay);
    await python(
      relay,
      `
from email.mime.text import MIMEText
from email.header import Header
texts = {'iso-2022-jp': '日本語', 'shift_jis': '日本語', 'euc-jp': '日本語', 'gb2312': '你好', 'gb18030': '你好𠀀', 'big5': '你好', 'euc-kr': '안녕', 'koi8-r': 'Привет', 'windows-1250': 'Žluťoučký', 'windows-1251': 'Привет', 'windows-1252': '“€”', 'windows-1255': 'שלום'}
for charset in '${charsets.join(' ')}'.split():
    text = texts.get(charset, 'é')
    message = MIMEText(text, 'plain', charset)
    message['From'] = Header(text, charset).encode() + ' <a@acme.test>'
    message['To'] = 'ann@example.com'
    message['Subject'] = Header(text, charset)
    message['X-Text'] = Header(text, 'utf-8')
    send(message)
`,
    );
    const { rows } = await relay.db.query<EmailRow>('select * from emails order by created_at desc limit $1', [
      charsets.length,
    ]);
    assert.equal((await countEmails(relay)) - before, charsets.length);
    const texts = rows.map(row => ({ ...row, text: row.text?.trimEnd() }));
    for (const { text, subject, from } of texts) {
      assert.equal(subject, text);
      assert.deepEqual(parseAddressList(from).mailboxes, [{ name: text, address: 'a@acme.test' }]);
    }
    assert.equal(new Set(texts.map(({ text }) => text)).size, 9);
  });

  it('8-bit text as such, where the relay announces 8BITMIME', async () => {
    await python(
      standalone,
      `
message = new(Subject='8bit')
message.set_content('Grüße', cte='8bit')
send(message)
`,
    );
    const row = await lastRow(standalone);
    assert.equal(row.text, 'Grüße\n');
    const original = await originalRow(standalone, row.id);
    assert.match(original?.raw.toString() ?? '', /Content-Transfer-Encoding: 8bit\r\n/);
  });

  it('a suppressed recipient, and learns why', async () => {
    const insert = `insert into email_suppressions (user_id, email, reason) values ($1, 'gone@example.com', 'manual')`;
    await relay.db.query(insert, [relay.owner.userId]);
    const output = await python(
      relay,
      `
message = new(To='gone@example.com')
message.set_content('x')
try:
    send(message)
except smtplib.SMTPDataError as error:
    print(error.smtp_code, error.smtp_error.decode())
`,
    );
    assert.match(output, /^550 5\.7\.1 gone@example\.com .*suppression list/);
  });
});
