import { after, describe, it } from 'node:test';
import type { SettingName } from '../../src/config/schema.ts';
import { startRelay } from '../support/relay.ts';
import { messageFrom, SmtpClient } from '../support/smtp-client.ts';

const REFUSED = '550 5.7.1 MAIL FROM is at victim.test, which is not one of your domains';
const data = messageFrom('a@acme.test');
const context = { after };

/** A relay, and whether MAIL FROM has to be one of its owner's. */
async function relayWith(settings: Partial<Record<SettingName, unknown>>, keyDomain: string | null = null) {
  return startRelay(context, {
    queue: false,
    owner: { keyDomain },
    settings: { pipeline: 'standalone', 'smtp.host': 'smarthost.test', ...settings },
  });
}

const smarthost = await relayWith({ transport: 'smtp' });

describe('known defect: any key has bounces sent to anyone: MAIL FROM is at an owned domain, where bounces go to it', () => {
  for (const [name, settings, keyDomain] of [
    ['the transport is smtp', { transport: 'smtp' }, null],
    ['failure notices are on', { transport: 'ses', failureNotices: 'on' }, null],
    ['both, and captured by another route', { transport: 'capture', failureNotices: 'on' }, null],
    ['a key has a domain, whatever others may', { transport: 'smtp', senderDomains: 'any' }, 'acme.test'],
    [
      'a route leads to a smarthost',
      { transport: 'ses', routes: [{ domains: ['acme.test'], transport: 'smtp', smtp: { host: 'smarthost.test' } }] },
      null,
    ],
  ] as const) {
    it(`550 where ${name}`, async t => {
      const relay = await relayWith(settings, keyDomain);
      const client = await SmtpClient.loggedIn(t, relay);
      await client.transact({ from: 'someone@victim.test', to: ['b@example.com'], data }, REFUSED);
      await client.transact({ from: 'bounces@acme.test', to: ['b@example.com'], data }, '250 ');
      await client.transact({ from: '', to: ['b@example.com'], data }, '250 ');
    });
  }

  it('any domain of the owner will do, as far as the key may', async t => {
    await smarthost.db.query("insert into domains (name, status, user_id) values ('Bounces.test', 'verified', $1)", [
      smarthost.owner.userId,
    ]);
    const client = await SmtpClient.loggedIn(t, smarthost);
    await client.transact({ from: 'v+1@bounces.test', to: ['b@example.com'], data }, '250 ');
    for (const from of ['someone@acme.test.victim.test', 'someone@xacme.test', 'someone@[192.0.2.1]']) {
      await client.transact({ from, to: ['b@example.com'], data }, '550 5.7.1 MAIL FROM is at');
    }
  });

  for (const [name, settings] of [
    ['SES has an address of its own for bounces', { transport: 'ses' }],
    ['any sender is allowed', { transport: 'smtp', senderDomains: 'any' }],
    [
      'the message is captured',
      { transport: 'smtp', recipientAllowList: ['acme.test'], recipientsElsewhere: 'capture' },
    ],
  ] as const) {
    it(`it is nobody's business where ${name}`, async t => {
      const client = await SmtpClient.loggedIn(t, await relayWith(settings));
      await client.transact({ from: 'someone@victim.test', to: ['b@example.com'], data }, '250 ');
    });
  }
});
