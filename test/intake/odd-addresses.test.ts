import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { compose } from '../../src/delivery/outgoing/compose.ts';
import { startSmarthost } from '../delivery/support/smarthost.ts';
import { eventually } from '../support/eventually.ts';
import { mail } from '../support/mail.ts';
import { OpenSendWorker } from '../support/opensend/worker.ts';
import { startRelay } from '../support/relay.ts';
import { startFakeSes } from '../support/ses/start.ts';
import { startWorker } from '../support/worker.ts';
import { accepted, emailRow, storedRow, submit } from './submit.ts';

const ses = await startFakeSes({ after });
const smarthost = await startSmarthost({ after }, undefined, { hideSMTPUTF8: true });
const routes = [
  { domains: ['host.test'], transport: 'smtp', smtp: { host: '127.0.0.1', port: smarthost.port, security: 'none' } },
];
const SETTINGS = { pipeline: 'standalone', transport: 'ses', senderDomains: 'any', routes } as const;
const relay = await startRelay({ after }, { settings: SETTINGS, owner: { keyDomain: null } });
await startWorker(
  { after },
  {
    databaseUrl: relay.databaseUrl,
    queue: relay.queue,
    settings: { ...SETTINGS, 'ses.endpoint': ses.endpoint, 'ses.sendRate': 100_000 },
  },
);
const beside = await startRelay({ after }, { queue: false, owner: { keyDomain: null } });
const worker = new OpenSendWorker({ db: beside.db, ses, tries: 1 });
after(() => worker.close());

const FROM = 'From: Acme <hello@acme.test>';

/** What SES or the smarthost got. */
async function sent(id: string): Promise<string> {
  const raw = await eventually(() => {
    const bySes = ses.mailbox.messages.find(({ tags }) => tags['smtp-relay-email-id'] === id);
    return bySes?.raw ?? smarthost.messages.find(({ raw }) => raw.includes(id))?.raw;
  });
  return (raw as Buffer).toString();
}

describe('addresses that SES cannot read', () => {
  for (const field of [
    'Cc: <First Last <first@example.com, Second <second@example.com>',
    'To: <First Last <first@example.com, Second <second@example.com>',
    'Reply-To: Acme, Inc. <h@acme.test>',
    'Reply-To: Acme Support help@acme.test',
    'To: bob@example.com, , Jane',
    'Cc: a@@example.com',
  ]) {
    it(`refuse the message, and are named: ${field}`, async t => {
      const [name = ''] = field.split(':');
      await submit(t, relay, mail(FROM, field, '', 'x'), {}, `554 5.6.0 Header ${name} cannot be read`);
      // Nobody reads them on another way.
      await accepted(t, relay, mail('From: a@host.test', field, '', 'x'));
    });
  }

  it('go out with A-labels where their domain is a Unicode one, by SES and by a smarthost', async t => {
    const fields = ['To: Ann <ann@bücher.example>', 'Cc: b@bücher.example', 'Reply-To: h@bücher.test'];
    for (const from of ['acme.test', 'host.test', 'bücher.test']) {
      const raw = mail(
        `From: Jö <hello@${from}>`,
        `Sender: hello@${from}`,
        ...fields,
        'Subject: Grüße @bücher',
        '',
        'x',
      );
      const message = await sent(await accepted(t, relay, raw));
      const header = message.slice(0, message.indexOf('\r\n\r\n'));
      assert.match(
        header,
        /^To: Ann <ann@xn--bcher-kva\.example>\r\nCc: b@xn--bcher-kva\.example\r\nReply-To: h@xn--bcher-kva\.test/m,
      );
      assert.match(header, /^Subject: Grüße @bücher$/m);
      assert.doesNotMatch(header.replace(/^Subject.*/m, ''), /@bü/);
    }
  });

  it('stay as they are on their way to a smarthost where the client signed them, or writes no such domain', async t => {
    const to = 'To: Jörg (me) <a@example.com>';
    const signed = ['DKIM-Signature: v=1', 'To: a@bücher.example'];
    for (const lines of [[to], signed]) {
      const message = await sent(await accepted(t, relay, mail('From: a@host.test', ...lines, '', 'x')));
      assert.ok(message.includes(`\r\n${lines.at(-1)}\r\n`));
    }
  });

  it('are read as the acceptance read them, field by field', () => {
    const raw = Buffer.concat([
      Buffer.from('To: a@bücher.example\r\n'),
      Buffer.from('X-A: \xfc\r\n\r\nx\r\n', 'latin1'),
    ]);
    const options = { emailId: 'x', acceptedAt: new Date(), fromDomain: 'acme.test', plainAddresses: true };
    assert.match(compose(raw, options).toString(), /^To: a@xn--bcher-kva\.example\r\n/);
  });
});

describe('Reply-To beside OpenSend', () => {
  for (const [value, expected] of [
    ['Acme Support help@acme.test', 'Acme Support <help@acme.test>'],
    ["'help@acme.test'", 'help@acme.test'],
    ['=?utf-8?Q?Acme_Support_help=40acme.test?=', 'Acme Support <help@acme.test>'],
    ['Acme, Inc. <help@acme.test>', '"Acme, Inc." <help@acme.test>'],
    ['<mailto:help@acme.test>', 'help@acme.test'],
  ] as const) {
    it(`is read: ${value}`, async t => {
      const id = await accepted(t, beside, mail(FROM, `Reply-To: ${value}`, '', 'x'));
      assert.deepEqual((await emailRow(beside, id)).reply_to, [expected]);
      assert.equal((await worker.deliver(id)).outcome, 'sent');
    });
  }

  it('refuses the message where it cannot be read, by its name', async t => {
    for (const value of ['help at acme.test', 'Acme Support', 'a@@b']) {
      await submit(t, beside, mail(FROM, `Reply-To: ${value}`, '', 'x'), {}, '550 5.7.1 The Reply-To header');
    }
  });
});

describe('control characters', () => {
  const hidden = (name: string) => `=?utf-8?Q?${name}=E2=80=AEfdp=E2=80=A8=1B=07=C2=85=E2=81=A6x?=`;

  it('that an encoded word or a field has are in no row', async t => {
    const lines = [
      `From: ${hidden('a')} <hello@acme.test>`,
      `Reply-To: ${hidden('b')} <help@acme.test>`,
      `Subject: ${hidden('c')} d\u2028e\u202ef`,
      `X-Note: ${hidden('g')}`,
      `Errors-To: ${hidden('h')} <e@acme.test>`,
      'X-Raw: a\u202eb\u2029c\u0007d',
    ];
    for (const each of [relay, beside]) {
      const row = await storedRow(t, each, mail(...lines, '', 'x'));
      const { subject, from, reply_to, headers } = row;
      assert.equal(subject, 'c fdp x d e f');
      const texts = JSON.stringify([from, reply_to, headers]);
      assert.doesNotMatch(texts, /[\u0085\u2028\u2029\u202a-\u202e\u2066-\u2069]|\\u00|=E2=80=A[8E]|4oCu/);
    }
  });
});

describe('what held', () => {
  it('groups in To and Cc name their members', async t => {
    const fields = ['To: Team: Ann <a@example.com>, b@example.com;, c@example.com', 'Cc: Others: d@example.com;'];
    const to = ['a', 'b', 'c', 'd'].map(name => `${name}@example.com`);
    for (const each of [relay, beside]) {
      const row = await storedRow(t, each, mail(FROM, ...fields, '', 'x'), { to });
      assert.deepEqual([row.to, row.cc ?? []], [to.slice(0, 3), to.slice(3)]);
    }
  });

  it('encoded words that are split inside a character are joined', async t => {
    const bytes = Buffer.from('日本語');
    const word = (part: Buffer) => `=?utf-8?B?${part.toString('base64')}?=`;
    const text = `${word(bytes.subarray(0, 4))}\r\n ${word(bytes.subarray(4))}`;
    for (const each of [relay, beside]) {
      const row = await storedRow(t, each, mail(`From: ${text} <hello@acme.test>`, `Subject: ${text}`, '', 'x'));
      assert.equal(row.subject, '日本語');
      assert.ok(each === beside || row.from === '日本語 <hello@acme.test>');
    }
  });

  it('Base64 in several padded runs is decoded as a whole', async t => {
    const runs = ['Hello ', 'wor', 'ld!\n', 'a'].map(text => Buffer.from(text).toString('base64'));
    for (const content of [runs.join('\r\n'), runs.join('')]) {
      const text = ['Content-Type: text/plain', 'Content-Transfer-Encoding: base64', '', content];
      assert.equal((await storedRow(t, beside, mail(FROM, ...text))).text?.trimEnd(), 'Hello world!\na');
      const file = ['Content-Type: application/x-a; name=a', 'Content-Disposition: attachment', ...text.slice(1)];
      const row = await storedRow(t, beside, mail(FROM, ...file));
      assert.equal(Buffer.from(row.attachments?.[0]?.content ?? '', 'base64').toString(), 'Hello world!\na');
    }
  });

  it('Bcc over several lines, some of white space only, reaches nobody', async t => {
    const bcc = ['Bcc: secret@example.com, \t', '  ', '\t', ' other@example.com \t', ' \t '];
    const raw = mail(FROM, ...bcc, 'To: bob@example.com', 'Resent-Bcc: secret@example.com,', '\t', '', 'x');
    for (const name of ['acme.test', 'host.test']) {
      const from = Buffer.from(raw.toString().replace('hello@acme.test', `hello@${name}`));
      const message = await sent(await accepted(t, relay, from, { to: ['bob@example.com', 'secret@example.com'] }));
      assert.doesNotMatch(message, /secret|other@|bcc/i);
      assert.match(message, /\r\nTo: bob@example.com\r\n/);
    }
    const id = await accepted(t, beside, raw);
    assert.equal((await worker.deliver(id)).outcome, 'sent');
    assert.doesNotMatch(JSON.stringify(ses.mailbox.messages.at(-1)), /secret|other@/);
  });
});
