import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import libqp from 'libqp';
import { unfold } from '../../src/message/header/fields.ts';
import { startSmarthost } from '../delivery/support/smarthost.ts';
import { eventually } from '../support/eventually.ts';
import { startRelay } from '../support/relay.ts';
import { startFakeSes } from '../support/ses/start.ts';
import { startWorker } from '../support/worker.ts';
import { accepted, originalRow, submit } from './submit.ts';

const ses = await startFakeSes({ after });
const smarthost = await startSmarthost({ after });
const routes = [
  { domains: ['host.test'], transport: 'smtp', smtp: { host: '127.0.0.1', port: smarthost.port, security: 'none' } },
  { domains: ['local.test'], transport: 'capture' },
];
const SETTINGS = { pipeline: 'standalone', transport: 'ses', senderDomains: 'any', routes } as const;
const relay = await startRelay({ after }, { settings: SETTINGS, owner: { keyDomain: null } });
const worker = await startWorker(
  { after },
  {
    databaseUrl: relay.databaseUrl,
    queue: relay.queue,
    settings: { ...SETTINGS, 'ses.endpoint': ses.endpoint, 'ses.sendRate': 100_000 },
  },
);

const RECIPIENTS = Array.from({ length: 45 }, (_, nth) => `recipient${nth}@example.com`);
const IDS = Array.from({ length: 20 }, (_, nth) => `<${'i'.repeat(50)}${nth}@acme.test>`);
const LONG = 'word '.repeat(400).trim();

function mail(domain: string, ...lines: string[]): Buffer {
  return Buffer.from([`From: a@${domain}`, ...lines, ''].join('\r\n'));
}

/** What SES or the smarthost got of it. */
async function sent(id: string): Promise<string> {
  const raw = await eventually(() => {
    const bySes = ses.mailbox.messages.find(({ tags }) => tags['smtp-relay-email-id'] === id);
    return bySes?.raw ?? smarthost.messages.find(({ raw }) => raw.includes(id))?.raw;
  });
  return (raw as Buffer).toString('latin1');
}

function fieldIn(message: string, name: string): string {
  const [, value = ''] = new RegExp(`^${name}:((?:.|\r\n[ \t])*)`, 'm').exec(message) ?? [];
  return unfold(value);
}

for (const domain of ['acme.test', 'host.test']) {
  describe(`long lines by ${domain === 'acme.test' ? 'SES' : 'a smarthost'}`, () => {
    it('of the header are folded, and the message is kept as it was', async t => {
      const raw = mail(
        domain,
        `To: ${RECIPIENTS.join(', ')}`,
        `References: ${IDS.join(' ')}`,
        `Subject: ${LONG}`,
        '',
        'Hi',
      );
      const id = await accepted(t, relay, raw);
      const message = await sent(id);
      assert.deepEqual(fieldIn(message, 'To').split(', '), RECIPIENTS);
      assert.equal(fieldIn(message, 'References'), IDS.join(' '));
      assert.equal(fieldIn(message, 'Subject'), LONG);
      assert.ok(message.split('\r\n').every(line => line.length <= 998));
      assert.deepEqual((await originalRow(relay, id))?.raw, raw);
    });

    it('of the body are sent as quoted-printable, without what recipients must not see', async t => {
      const body = `<p>${'Grüße = '.repeat(600)}</p>`;
      const fields = ['MIME-Version: 1.0', 'Content-Type: text/html; charset=utf-8', `Bcc: ${RECIPIENTS.join(',')}`];
      const message = await sent(await accepted(t, relay, mail(domain, ...fields, '', body)));
      assert.equal(fieldIn(message, 'Content-Transfer-Encoding'), 'quoted-printable');
      assert.equal(libqp.decode(message.slice(message.indexOf('\r\n\r\n') + 4)).toString(), `${body}\r\n`);
      assert.ok(!message.includes('recipient'));
    });

    it('of a part of a large message are encoded in its place', async t => {
      const json = JSON.stringify({ a: 'é'.repeat(400_000) });
      const parts = ['--b', '', 'Hi', '--b', 'Content-Type: application/json', '', json, '--b--'];
      const raw = mail(domain, 'MIME-Version: 1.0', 'Content-Type: multipart/mixed; boundary=b', '', ...parts);
      const message = await sent(await accepted(t, relay, raw));
      const encoded = message.slice(
        message.indexOf('\r\n\r\n', message.indexOf('base64')) + 4,
        message.indexOf('\r\n--b--'),
      );
      assert.equal(Buffer.from(encoded, 'base64').toString(), json);
    });
  });
}

describe('long lines', () => {
  it('stay where the transport takes them', async t => {
    const raw = mail('local.test', `X-A: ${'x'.repeat(2_000)}`, '', 'y'.repeat(2_000));
    const id = await accepted(t, relay, raw);
    const captured = await eventually(async () =>
      (await worker.captured()).find(({ envelope }) => envelope.emailId === id),
    );
    const lines = captured?.raw.toString().split('\r\n') ?? [];
    for (const line of [`X-A: ${'x'.repeat(2_000)}`, 'y'.repeat(2_000)]) assert.ok(lines.includes(line));
  });

  it('refuse the message by where they stand, where that is set', async t => {
    const settings = { ...SETTINGS, longLines: 'refuse' } as const;
    const strict = await startRelay(t, { queue: false, settings, owner: { keyDomain: null } });
    const fold = 'is longer than 998 bytes: fold it at white space';
    await submit(
      t,
      strict,
      mail('acme.test', `References: ${IDS.join(' ')}`, '', 'x'),
      {},
      `554 5.6.0 A line of header References ${fold}`,
    );
    const encode = 'is longer than 998 bytes: encode the part as quoted-printable or base64';
    await submit(t, strict, mail('acme.test', '', LONG), {}, `554 5.6.0 A line of the body ${encode}`);
    await accepted(t, strict, mail('acme.test', `Bcc: ${RECIPIENTS.join(', ')}`, '', 'x'));
  });

  it('refuse a message that would be too large without them', async t => {
    const raw = mail('acme.test', '', 'ü'.repeat(8 * 1024 * 1024));
    await submit(
      t,
      relay,
      raw,
      {},
      '552 5.3.4 The message is larger than 41943040 bytes once its long lines are encoded',
    );
  });

  it('of what is signed refuse the message', async t => {
    const signed = [
      'Content-Type: multipart/signed; boundary=b',
      '',
      '--b',
      '',
      LONG,
      '--b',
      'Content-Type: application/pgp-signature',
      '',
      'x',
      '--b--',
    ];
    const text = 'A line of part 1 (text/plain) is longer than 998 bytes, and it is signed or encrypted';
    for (const domain of ['acme.test', 'host.test'])
      await submit(t, relay, mail(domain, ...signed), {}, `554 5.6.0 ${text}`);
  });
});

describe('types that are none', () => {
  it('are sent to SES as what they mean, and refused where they are signed', async t => {
    for (const type of ['text', 'html', 'text\\html', 'text; charset=utf-8']) {
      const message = await sent(await accepted(t, relay, mail('acme.test', `Content-Type: ${type}`, '', 'Hi')));
      assert.equal(fieldIn(message, 'Content-Type'), type.includes(';') ? 'text/plain; charset=utf-8' : 'text/plain');
    }
    const parts = [
      '--b',
      'Content-Type: html',
      '',
      'Hi',
      '--b',
      'Content-Type: pdf',
      'Content-Disposition: attachment; filename=a.pdf',
      '',
      'x',
      '--b--',
    ];
    const message = await sent(
      await accepted(t, relay, mail('acme.test', 'Content-Type: multipart/mixed; boundary=b', '', ...parts)),
    );
    assert.match(
      message,
      /--b\r\nContent-Type: text\/plain\r\n[\s\S]*--b\r\nContent-Type: application\/octet-stream\r\n/,
    );
    const signed = (field: string) => mail('acme.test', `${field}: v=1`, 'Content-Type: text', '', 'Hi');
    const refused = '554 5.6.0 A Content-Type header is not of the form';
    await submit(t, relay, signed('ARC-Message-Signature'), {}, refused);
  });

  it('are mended in spite of DKIM signatures, which do not go out by SES, however many there are', async t => {
    const signatures = ['DKIM-Signature: v=1; a=rsa-sha256', `DKIM-Signature: v=1; a=ed25519-sha256; b=${LONG}`];
    const lines = [...signatures, `References: ${IDS.join(' ')}`, 'Content-Type: text', '', 'x'.repeat(2_000)];
    const message = await sent(await accepted(t, relay, mail('acme.test', ...lines)));
    assert.doesNotMatch(message, /dkim/i);
    assert.equal(fieldIn(message, 'References').trim(), IDS.join(' '));
    assert.match(fieldIn(message, 'Content-Type'), /^text\/plain/);
    await submit(t, relay, mail('host.test', ...lines), {}, '554 5.6.0 A line of header DKIM-Signature is longer');
  });

  it('go to a smarthost as they came', async t => {
    const message = await sent(await accepted(t, relay, mail('host.test', 'Content-Type: text', '', 'Hi')));
    assert.equal(fieldIn(message, 'Content-Type'), 'text');
  });
});
