import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { after, describe, it } from 'node:test';
import { base64Lines, mail, multipart } from '../support/mail.ts';
import { startRelay } from '../support/relay.ts';
import { SmtpClient } from '../support/smtp-client.ts';
import { accepted, emailRow, originalRow, submit } from './submit.ts';

const relay = await startRelay({ after }, { queue: false, settings: { pipeline: 'standalone' } });

/** Sends it and compares what is stored with it, byte for byte. */
async function assertStoredAsSent(t: { after(fn: () => void): void }, raw: Buffer): Promise<string> {
  const id = await accepted(t, relay, raw);
  const original = await originalRow(relay, id);
  assert.ok(original);
  assert.ok(original.raw.equals(raw), `stored: ${original.raw.toString('latin1').slice(0, 200)}`);
  assert.deepEqual(original.sha256, createHash('sha256').update(raw).digest());
  assert.equal(original.size_bytes, raw.length);
  return id;
}

describe('the message as received', () => {
  const messages: readonly (readonly [what: string, raw: Buffer])[] = [
    ['dots at the start of lines', mail('From: a@acme.test', '', '.', '..', '.a', 'a.', '...', '', '.')],
    [
      'white space at the end of lines, empty lines',
      mail('From: a@acme.test  ', 'X-A:', '', ' ', '\t', 'a \t', '', '', ''),
    ],
    [
      'fields folded, repeated and in any case',
      mail('fRoM: a@acme.test', 'X-A: 1', '\t2', 'x-a:3', 'X-A   : 4', '', 'x'),
    ],
    ['lines of 998 bytes', mail('From: a@acme.test', `X-A: ${'a'.repeat(993)}`, '', 'x'.repeat(998))],
    ['eight bits in any charset', mail('From: a@acme.test', '', Buffer.from('e9ff80f09f9982c3', 'hex'))],
    ['control characters', mail('From: a@acme.test', '', Buffer.from('0102070b0c1b7f', 'hex'))],
    ['a header alone', mail('From: a@acme.test')],
    ['an empty body', mail('From: a@acme.test', '')],
    [
      'control headers and Bcc, which the worker strips',
      mail('From: a@acme.test', 'Bcc: c@example.com', 'X-OpenSend-Tag: a=b', '', 'x'),
    ],
    [
      'MIME with a preamble, odd boundaries and an epilogue',
      mail(
        'From: a@acme.test',
        'Content-Type: multipart/mixed; boundary="a b\'()+_,-./:=?"',
        '',
        'preamble',
        "--a b'()+_,-./:=?",
        '',
        'text ',
        "--a b'()+_,-./:=?--",
        'epilogue',
      ),
    ],
    [
      'large, so that a thread reads it',
      Buffer.concat([
        mail('From: a@acme.test'),
        multipart(
          'mixed',
          mail('', 'text'),
          mail(
            'Content-Type: image/png',
            'Content-Transfer-Encoding: base64',
            '',
            base64Lines(Buffer.alloc(2_000_000, 7)),
          ),
        ),
      ]),
    ],
  ];
  for (const [what, raw] of messages) {
    it(`is stored byte for byte, with its SHA-256: ${what}`, async t => void (await assertStoredAsSent(t, raw)));
  }

  it('is stored with its envelope', async t => {
    const client = await SmtpClient.loggedIn(t, relay);
    const raw = mail('From: a@acme.test', 'To: "B" <b@example.com>', 'Cc: c@example.com', '', 'x');
    await client.command('MAIL FROM:<bounces+1@bücher.test> BODY=8BITMIME SMTPUTF8', '250 ');
    for (const to of ['D@Example.com', 'c@example.com', 'b@example.com', 'D@Example.com', 'e@bücher.test']) {
      await client.command(`RCPT TO:<${to}>`, '250 ');
    }
    await client.command('DATA', '354 ');
    await client.send(raw, '.\r\n');
    const [, id = ''] = /queued as (\S+)/.exec((await client.expect('250 2.0.0')).last) ?? [];
    const original = await originalRow(relay, id);
    assert.ok(original);
    const { reverse_path, recipients, body_type, smtp_utf8, track_opens, track_clicks } = original;
    const envelope = { reverse_path, recipients, body_type, smtp_utf8, track_opens, track_clicks };
    assert.deepEqual(envelope, {
      reverse_path: 'bounces+1@xn--bcher-kva.test',
      recipients: ['b@example.com', 'c@example.com', 'D@Example.com', 'e@xn--bcher-kva.test'],
      body_type: '8bitmime',
      smtp_utf8: true,
      track_opens: null,
      track_clicks: null,
    });
  });

  it('has the null reverse-path where the client gave it', async t => {
    const id = await accepted(t, relay, mail('From: a@acme.test', '', 'x'), { from: '' });
    const original = await originalRow(relay, id);
    assert.deepEqual([original?.reverse_path, original?.body_type, original?.smtp_utf8], ['', '7bit', false]);
  });

  it('has the Message-ID without angle brackets, however long', async t => {
    const messageId = `${'x'.repeat(5_000)}@acme.test`;
    const lines = [
      'From: a@acme.test',
      'Message-ID:',
      ...(`<${messageId}>`.match(/.{1,900}/g) ?? []).map(part => ` ${part}`),
    ];
    const found = async (...header: string[]) =>
      (await originalRow(relay, await accepted(t, relay, mail(...header, '', 'x'))))?.message_id;
    assert.equal(await found('From: a@acme.test', 'Message-ID: <1@acme.test>'), '1@acme.test');
    assert.equal((await found(...lines))?.replaceAll(' ', ''), messageId);
    assert.equal(await found('From: a@acme.test'), null);
  });

  it('has what the tracking headers ask for', async t => {
    const asked = async (...lines: string[]) => {
      const original = await originalRow(relay, await accepted(t, relay, mail('From: a@acme.test', ...lines, '', 'x')));
      return [original?.track_opens, original?.track_clicks];
    };
    assert.deepEqual(await asked('X-OpenSend-Track-Opens: no', 'X-OpenSend-Track-Clicks: yes'), [false, true]);
    assert.deepEqual(await asked('X-PM-TrackOpens: true', 'X-PM-TrackLinks: None'), [true, false]);
    assert.deepEqual(await asked('X-Mailgun-Track: no'), [false, false]);
    assert.deepEqual(await asked(), [null, null]);
  });

  it('keeps PGP and S/MIME signatures, calendars and forwarded messages valid, since nothing in it changes', async t => {
    const signed = mail(
      'Content-Type: text/plain; charset=utf-8',
      'Content-Transfer-Encoding: 8bit',
      '',
      'Grüße \t',
      '',
    );
    const signature = mail(
      'Content-Type: application/pgp-signature; name=signature.asc',
      '',
      '-----BEGIN PGP SIGNATURE-----',
    );
    const calendar = mail('Content-Type: text/calendar; method=REQUEST', '', 'BEGIN:VCALENDAR');
    const forwarded = mail('Content-Type: message/rfc822', '', 'From: x@y.test', 'Content-Type: text/plain', '', 'x');
    const body = multipart(
      'mixed',
      multipart('signed; protocol="application/pgp-signature"; micalg=pgp-sha256', signed, signature),
      multipart('alternative', mail('', 'x'), calendar),
      forwarded,
    );
    await assertStoredAsSent(t, Buffer.concat([mail('From: a@acme.test', 'MIME-Version: 1.0'), body]));
  });
});

describe('the row of the standalone pipeline', () => {
  it('is the same, but its attachments have sizes and no content', async t => {
    const image = mail(
      'Content-Type: image/png; name="é.png"',
      'Content-ID: <logo@acme>',
      'Content-Transfer-Encoding: base64',
      '',
      base64Lines(Buffer.alloc(100)),
    );
    const header = mail(
      'From: "A, B" <a@acme.test>',
      'To: B <b@example.com>',
      'Subject: =?utf-8?Q?=C3=A9?=',
      'X-Kept: 1',
      'X-OpenSend-Tag: a=b',
      'X-SES-X: y',
    );
    const id = await accepted(t, relay, Buffer.concat([header, multipart('mixed', mail('', 'text'), image)]), {
      to: ['b@example.com', 'hidden@example.com'],
    });
    const row = await emailRow(relay, id);
    assert.deepEqual(
      [row.from, row.to, row.cc, row.bcc, row.subject, row.text, row.html, row.headers, row.tags, row.status],
      [
        '"A, B" <a@acme.test>',
        ['b@example.com'],
        null,
        ['hidden@example.com'],
        'é',
        'text\n',
        null,
        { 'X-Kept': '1' },
        [{ name: 'a', value: 'b' }],
        'queued',
      ],
    );
    assert.deepEqual(row.attachments, [
      { filename: 'é.png', content_type: 'image/png', content_id: 'logo@acme', size: 100 },
    ]);
  });
});

describe('the limits of Amazon SES', () => {
  it('a line of more than 998 bytes that cannot be mended gets 554 5.6.0 before any 250, and is named', async t => {
    const long = (place: string) => `554 5.6.0 A line of ${place} is longer than 998 bytes`;
    const token = mail('From: a@acme.test', `X-A: ${'x'.repeat(999)}`, '', 'x');
    await submit(t, relay, token, {}, `${long('header X-A')} and cannot be folded: shorten it`);
    const signed = mail('From: a@acme.test', 'ARC-Message-Signature: i=1', '', 'x'.repeat(999));
    await submit(t, relay, signed, {}, `${long('the body')}, and it is signed or encrypted`);
    await accepted(t, relay, mail('From: a@acme.test', '', `.${'x'.repeat(997)}`));
  });

  it('do not bind where mail goes another way', async t => {
    const settings = { pipeline: 'standalone', transport: 'capture' };
    const capture = await startRelay(t, { queue: false, settings });
    await accepted(t, capture, mail('From: a@acme.test', '', 'x'.repeat(5_000)));
    await submit(t, capture, mail('From: ü@acme.test', '', 'x'), {}, '250 2.0.0');
  });
});
