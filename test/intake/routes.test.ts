import assert from 'node:assert/strict';
import { after, it } from 'node:test';
import { startRelay } from '../support/relay.ts';
import { SmtpClient } from '../support/smtp-client.ts';
import { submit } from './submit.ts';

const routes = [
  { domains: ['local.test', '*.local.test'], transport: 'capture' },
  { domains: ['host.test'], transport: 'smtp', smtp: { host: '127.0.0.1' } },
];
const common = { queue: false, owner: { keyDomain: null } } as const;
const relay = await startRelay(
  { after },
  {
    ...common,
    settings: { pipeline: 'standalone', senderDomains: 'any', routes },
  },
);

function mail(from: string, body = 'x'): Buffer {
  return Buffer.from(`From: ${from}\r\nContent-Transfer-Encoding: x-own\r\n\r\n${body}\r\n`);
}

/** Nobody knows how to shorten it. */
const LONG = 'x'.repeat(999);

it('judges the length of lines by the route of the sender', async t => {
  await submit(t, relay, mail('a@local.test', LONG), {}, '250 2.0.0');
  await submit(t, relay, mail('a@Sub.LOCAL.test', LONG), {}, '250 2.0.0');
  await submit(t, relay, mail('a@elsewhere.test', LONG), {}, '554 5.6.0 A line of the body is longer');
});

it('lets local parts with other characters in at RCPT, and judges them by the route of the sender', async t => {
  for (const [from, reply] of [
    ['a@local.test', '250 2.0.0'],
    ['a@elsewhere.test', '553 5.6.7'],
  ] as const) {
    const client = await SmtpClient.loggedIn(t, relay);
    await client.command(`MAIL FROM:<${from}> SMTPUTF8`, '250 ');
    await client.command('RCPT TO:<jürgen@example.com>', '250 ');
    await client.command('DATA', '354 ');
    await client.send(`${mail(from)}.\r\n`);
    await client.expect(reply);
  }
});

/** What SES refuses, and what the reply to it begins with. */
const REFUSED_BY_SES = [
  ['Subject: a\r\nsubject: b', '550 5.6.0 Header subject is there twice'],
  ['Cc: c@example.com\r\nCc: d@example.com', '550 5.6.0 Header Cc is there twice'],
  ['Reply-To: Acme, Inc. <h@acme.test>', '554 5.6.0 Header Reply-To cannot be read'],
  [
    'ARC-Message-Signature: i=1\r\nContent-Type: text/plain; name=my file.txt',
    '554 5.6.0 A Content-Type header is not of the form',
  ],
  ['Content-Disposition: attachment; filename="a.exe"', '554 5.6.0 Amazon SES carries no .exe files'],
] as const;

it('refuses what SES would refuse, where the route of the sender leads there', async t => {
  for (const [fields, reply] of REFUSED_BY_SES) {
    const raw = (from: string) => Buffer.from(`From: ${from}\r\n${fields}\r\n\r\nx\r\n`);
    await submit(t, relay, raw('a@elsewhere.test'), {}, reply);
    await submit(t, relay, raw('a@local.test'), {}, '250 2.0.0');
    await submit(t, relay, raw('a@host.test'), {}, '250 2.0.0');
  }
});

it('takes it for a recipient whose mail goes to nobody', async t => {
  const settings = {
    pipeline: 'standalone',
    senderDomains: 'any',
    recipientAllowList: ['example.org'],
    recipientsElsewhere: 'capture',
  };
  const staging = await startRelay(t, { ...common, settings });
  const [[fields, reply]] = REFUSED_BY_SES;
  const raw = Buffer.from(`From: a@elsewhere.test\r\n${fields}\r\n\r\n${LONG}\r\n`);
  await submit(t, staging, raw, { to: ['b@example.com'] }, '250 2.0.0');
  const short = Buffer.from(`From: a@elsewhere.test\r\n${fields}\r\n\r\nx\r\n`);
  await submit(t, staging, short, { to: ['b@example.org'] }, reply);
});

it('refuses beside OpenSend the files that its worker could not send, and leaves the rest to it', async t => {
  const opensend = await startRelay(t, { ...common, settings: { routes } });
  for (const [fields, reply] of REFUSED_BY_SES) {
    const isFile = fields.includes('.exe');
    const raw = Buffer.from(`From: a@local.test\r\n${fields}\r\n\r\nx\r\n`);
    await submit(t, opensend, raw, {}, isFile ? reply : '250 2.0.0');
  }
});

it('does not look at routes beside OpenSend', async t => {
  const opensend = await startRelay(t, { ...common, settings: { routes } });
  await submit(t, opensend, mail('jürgen@local.test'), {}, '553 5.6.7');
  const { rows } = await opensend.db.query('select count(*)::integer as count from emails');
  assert.deepEqual(rows, [{ count: 0 }]);
});
