import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { describe, it } from 'node:test';
import { simpleParser } from 'mailparser';
import { createNoticeBuilder, type Failed, mayNotify } from '../../src/delivery/notices/failure-notice.ts';
import { buildFailureNotice, type FailureNotice } from '../../src/delivery/notices/failure-report.ts';
import { wholeOf } from '../../src/message/bytes.ts';
import type { HeaderField } from '../../src/message/header/fields.ts';
import { readHeaderFields } from '../../src/message/header/fields.ts';
import type { Claim, ClaimedMessage } from '../../src/store/delivery/claims.ts';
import type { NewMessage } from '../../src/store/messages/new-message.ts';
import { needs } from '../support/needs.ts';
import { rawFault } from '../support/ses/strict/raw.ts';

const ID = '6f1c2d1e-0000-4000-8000-000000000001';

const NOTICE: FailureNotice = {
  reportingMta: 'relay.test',
  original: {
    emailId: ID,
    from: 'Ann Acme <ann@acme.test>',
    subject: 'Grüße',
    messageId: '<m1@acme.test>',
    header: Buffer.from(
      'From: ann@acme.test\r\nSubject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\nMessage-ID: <m1@acme.test>\r\n\r\n',
    ),
    acceptedAt: new Date('2026-11-23T12:00:00Z'),
  },
  reversePath: 'bounces@acme.test',
  from: 'postmaster@acme.test',
  messageId: '<n1@acme.test>',
  id: 'n1',
  recipients: [
    {
      address: 'bob@example.com',
      action: 'failed',
      status: '5.1.1',
      diagnostic: { type: 'smtp', text: `550 5.1.1 no such user ${'and so on '.repeat(20)}` },
      remoteMta: 'mx.example.com',
    },
    {
      address: 'jürgen@example.com',
      action: 'failed',
      status: '5.6.7',
      diagnostic: { type: 'x-opensend', text: '5.6.7 nöt\r\nhere' },
    },
  ],
  now: new Date('2026-11-23T12:30:00Z'),
};

/** Python's own reading of a message: its parts, and the groups of the delivery status. */
const PYTHON = `
import email, email.policy, json, sys
m = email.message_from_bytes(sys.stdin.buffer.read(), policy=email.policy.default)
parts = list(m.iter_parts())
print(json.dumps({
  'type': m.get_content_type(), 'report': m.get_param('report-type'), 'defects': [repr(d) for p in m.walk() for d in p.defects],
  'headers': [[k, str(v)] for k, v in m.items()],
  'types': [p.get_content_type() for p in parts],
  'text': parts[0].get_content(),
  'status': [[[k, str(v)] for k, v in g.items()] for g in parts[1].get_payload()],
  'original': parts[2].get_payload(decode=True).decode() if not parts[2].is_multipart() else '',
}))`;

/** Fields by their names. */
type Group = ReadonlyMap<string, string>;

interface Reading {
  readonly type: string;
  readonly report: string;
  readonly defects: readonly string[];
  readonly headers: Group;
  readonly types: readonly string[];
  readonly text: string;
  readonly status: readonly Group[];
  readonly original: string;
}

function toMap(entries: [string, string][]): Group {
  return new Map(entries);
}

function readWithPython(raw: Buffer): Reading {
  const { status, stdout, stderr } = spawnSync('python3', ['-c', PYTHON], { input: raw, encoding: 'utf8' });
  assert.equal(status, 0, stderr);
  return JSON.parse(stdout, (key, value) =>
    key === 'headers' ? toMap(value) : key === 'status' ? value.map(toMap) : value,
  );
}

describe('a failure notice', () => {
  it("is a report to Python's email package", { skip: needs('python3') }, () => {
    const read = readWithPython(buildFailureNotice(NOTICE));
    assert.deepEqual(read.defects, []);
    assert.equal(read.type, 'multipart/report');
    assert.equal(read.report, 'delivery-status');
    assert.deepEqual(read.types, ['text/plain', 'message/delivery-status', 'text/rfc822-headers']);
    assert.equal(read.headers.get('Auto-Submitted'), 'auto-replied');
    assert.equal(read.headers.get('To'), 'bounces@acme.test');
    assert.equal(read.headers.get('In-Reply-To'), '<m1@acme.test>');
    assert.match(read.text, /Subject: {2}Grüße\r?\n/);
    assert.match(read.text, /bob@example\.com\r?\n {4}550 5\.1\.1 no such user/);
    const [message, bob, juergen] = read.status;
    assert.equal(read.status.length, 3);
    assert.equal(message?.get('Reporting-MTA'), 'dns; relay.test');
    assert.equal(message?.get('Arrival-Date'), 'Mon, 23 Nov 2026 12:00:00 +0000');
    assert.equal(bob?.get('Final-Recipient'), 'rfc822; bob@example.com');
    assert.equal(bob?.get('Action'), 'failed');
    assert.equal(bob?.get('Status'), '5.1.1');
    assert.equal(bob?.get('Remote-MTA'), 'dns; mx.example.com');
    assert.match(bob?.get('Diagnostic-Code') ?? '', /^smtp; 550 5\.1\.1 no such user and so on/);
    assert.equal(juergen?.get('Final-Recipient'), 'utf-8; j\\x{FC}rgen@example.com');
    assert.equal(juergen?.get('Diagnostic-Code'), 'x-opensend; 5.6.7 n?t?here');
    assert.match(read.original, /^From: ann@acme\.test\r?\nSubject: =\?utf-8/);
  });

  it('is read by mailparser', async () => {
    const mail = await simpleParser(buildFailureNotice(NOTICE), { keepDeliveryStatus: true });
    assert.equal(mail.subject, 'Message not delivered');
    assert.equal(mail.from?.value[0]?.address, 'postmaster@acme.test');
    assert.match(mail.text ?? '', /could not be delivered/);
    assert.deepEqual(
      mail.attachments.map(({ contentType }) => contentType),
      ['message/delivery-status', 'text/rfc822-headers'],
    );
  });

  it('is ASCII in lines of at most 998 bytes with CRLF, whatever the original holds', () => {
    const header = Buffer.from(`From: ann@acme.test\r\nSubject: ü\r\nX-Long: ${'x'.repeat(2000)}\r\n\r\n`);
    const raw = buildFailureNotice({ ...NOTICE, original: { ...NOTICE.original, header, subject: 'ü'.repeat(2000) } });
    const text = raw.toString('latin1');
    assert.ok(raw.every(byte => byte < 128));
    // A notice that SES refused would be one more failure to tell of.
    assert.equal(rawFault(raw), null);
    assert.ok(text.split('\r\n').every(line => line.length <= 998 && !/[\r\n]/.test(line)));
  });
});

function fields(...lines: string[]): readonly HeaderField[] {
  return readHeaderFields(Buffer.from(`${lines.join('\r\n')}\r\n\r\n`), 10_000);
}

describe('whether a notice may be sent', () => {
  const reversePath = 'bounces@acme.test';
  const yes: readonly (readonly string[])[] = [
    ['From: a@acme.test'],
    ['Auto-Submitted: no'],
    ['Auto-Submitted: No ; x=y'],
    ['Precedence: first-class'],
    ['Content-Type: multipart/mixed; boundary=report'],
    ['Return-Path: <a@acme.test>'],
  ];
  for (const lines of yes) it(`${lines}: yes`, () => assert.ok(mayNotify({ reversePath, fields: fields(...lines) })));
  const no: readonly (readonly string[])[] = [
    ['Auto-Submitted: auto-replied'],
    ['auto-submitted: auto-generated; x=y'],
    ['Auto-Submitted: nothing'],
    ['Precedence: bulk'],
    ['Precedence: JUNK'],
    ['Precedence: list'],
    ['Content-Type: multipart/report; report-type=delivery-status; boundary=x'],
    ['Content-Type: Multipart/Report'],
    ['Return-Path: <>'],
    ['Precedence: normal', 'Precedence: bulk'],
  ];
  for (const lines of no) it(`${lines}: no`, () => assert.ok(!mayNotify({ reversePath, fields: fields(...lines) })));

  for (const path of ['', 'mailer-daemon@acme.test', 'no address']) {
    it(`to <${path}>: no`, () => assert.ok(!mayNotify({ reversePath: path, fields: [] })));
  }
});

describe('the notice builder', () => {
  const raw = Buffer.from(
    'From: Ann <ann@acme.test>\r\nBcc: secret@example.com\r\nX-OpenSend-Tag: a=b\r\nSubject: Hello\r\nMessage-ID: <m1@acme.test>\r\n\r\nbody text\r\n',
  );

  function claim(message: Partial<ClaimedMessage> = {}): Claim {
    const stored: ClaimedMessage = {
      userId: 'user',
      from: 'Ann <ann@acme.test>',
      to: ['bob@example.com'],
      subject: 'Hello',
      tags: [],
      acceptedAt: new Date('2026-11-23T12:00:00Z'),
      reversePath: 'bounces@acme.test',
      recipients: ['bob@example.com'],
      bodyType: '7bit',
      smtpUtf8: false,
      trackOpens: null,
      trackClicks: null,
      sizeBytes: raw.length,
      raw,
      ...message,
    } as ClaimedMessage;
    return { emailId: ID, token: ID, try: 0, message: stored, earlier: [] };
  }

  const failed: readonly Failed[] = [
    { recipients: ['bob@example.com'], error: { code: '550', message: '550 5.1.1 no such user' } },
    { recipients: ['cy@example.com'], error: { code: '451', message: '451 4.7.1 try again later' } },
    { recipients: ['di@example.com'], error: { code: 'MessageRejected', message: 'Email address is not verified' } },
  ];
  const builder = createNoticeBuilder({ reportingMta: 'relay.test', readHeader: async () => raw });

  async function build(message?: Partial<ClaimedMessage>): Promise<NewMessage> {
    const notice = await builder.build(claim(message), failed);
    assert.ok(notice);
    return notice;
  }

  it('makes a message of the same owner to the reverse-path, with the null reverse-path itself', async () => {
    const { userId, from, to, original, id } = await build();
    assert.deepEqual([userId, to], ['user', ['bounces@acme.test']]);
    assert.equal(from, 'Mail Delivery System <postmaster@acme.test>');
    assert.notEqual(id, ID);
    assert.deepEqual([original?.reversePath, original?.recipients], ['', ['bounces@acme.test']]);
    assert.deepEqual([original?.trackOpens, original?.trackClicks], [false, false]);
  });

  it('says of each recipient what became of it', { skip: needs('python3') }, async () => {
    const { original } = await build();
    const [, ...recipients] = readWithPython(wholeOf(original?.raw ?? Buffer.of())).status;
    assert.deepEqual(
      recipients.map(group => [group.get('Final-Recipient'), group.get('Status'), group.get('Diagnostic-Code')]),
      [
        ['rfc822; bob@example.com', '5.1.1', 'smtp; 550 5.1.1 no such user'],
        ['rfc822; cy@example.com', '5.4.7', 'smtp; 451 4.7.1 try again later'],
        ['rfc822; di@example.com', '5.0.0', 'x-opensend; MessageRejected Email address is not verified'],
      ],
    );
  });

  it('shows of the original its header only, without Bcc and control fields', async () => {
    const { original } = await build();
    const text = wholeOf(original?.raw ?? Buffer.of()).toString();
    assert.match(text, /Subject: Hello\r\nMessage-ID: <m1@acme\.test>/);
    assert.doesNotMatch(text, /secret@example\.com|X-OpenSend-Tag|body text/);
  });

  it('reads a message that did not come with its claim', async () => {
    const asked: unknown[] = [];
    const reading = createNoticeBuilder({
      reportingMta: 'relay.test',
      readHeader: async question => {
        asked.push(question);
        return null;
      },
    });
    assert.equal(await reading.build(claim({ raw: null }), failed), null);
    assert.deepEqual(asked, [{ emailId: ID, sizeBytes: raw.length, objectUrl: undefined }]);
  });

  it('is null where the header cannot be read', async () => {
    assert.equal(await builder.build(claim({ raw: Buffer.from('no header\r\n\r\n') }), failed), null);
  });

  it('never answers a notice of its own, nor one without an owner', async () => {
    const { original } = await build();
    const notice = { raw: wholeOf(original?.raw ?? raw), reversePath: original?.reversePath ?? 'x' };
    assert.equal(await builder.build(claim(notice), failed), null);
    // Not even where another server has put a reverse-path to it.
    assert.equal(await builder.build(claim({ ...notice, reversePath: 'bounces@acme.test' }), failed), null);
    assert.equal(await builder.build(claim({ userId: null }), failed), null);
  });
});
