import assert from 'node:assert/strict';
import { after, it } from 'node:test';
import { startRelay } from '../support/relay.ts';
import { SmtpClient } from '../support/smtp-client.ts';
import { submit } from './submit.ts';

const routes = [{ domains: ['local.test', '*.local.test'], transport: 'capture' }];
const common = { queue: false, owner: { keyDomain: null } } as const;
const relay = await startRelay(
  { after },
  {
    ...common,
    settings: { pipeline: 'standalone', senderDomains: 'any', routes },
  },
);

function mail(from: string, body = 'x'): Buffer {
  return Buffer.from(`From: ${from}\r\n\r\n${body}\r\n`);
}

const LONG = 'x'.repeat(999);

it('judges the length of lines by the route of the sender', async t => {
  await submit(t, relay, mail('a@local.test', LONG), {}, '250 2.0.0');
  await submit(t, relay, mail('a@Sub.LOCAL.test', LONG), {}, '250 2.0.0');
  await submit(t, relay, mail('a@elsewhere.test', LONG), {}, '554 5.6.0 A line is longer');
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

it('does not look at routes beside OpenSend', async t => {
  const opensend = await startRelay(t, { ...common, settings: { routes } });
  await submit(t, opensend, mail('jürgen@local.test'), {}, '553 5.6.7');
  const { rows } = await opensend.db.query('select count(*)::integer as count from emails');
  assert.deepEqual(rows, [{ count: 0 }]);
});
