import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import type { Key, KeyVerdict, Verdicts } from '../../src/inbox/keys-contract.ts';
import { createKey } from '../../src/store/keys/api-keys.ts';
import { blockKey } from '../../src/store/keys/blocked-keys.ts';
import { setChaos } from '../../src/store/keys/chaos.ts';
import { setSandbox } from '../../src/store/keys/sandbox.ts';
import { addSuppression } from '../../src/store/owners/suppressions.ts';
import { startSmarthost } from '../delivery/support/smarthost.ts';
import { mail } from '../support/mail.ts';
import { emailIdOf, SmtpClient } from '../support/smtp-client.ts';
import { startInbox, type TestInbox } from './inbox.ts';

const MESSAGE = mail(
  'From: shop@acme.test',
  'To: ada@example.com',
  'Subject: Hello',
  '',
  '.A line that begins with a dot',
).toString();

/** A key of the owner of acme.test, or of somebody else. */
async function keyOf({ relay }: TestInbox, name: string, more: { owner?: string; domain?: string } = {}) {
  return createKey(relay.db, { owner: relay.owner.userId, name, ...more });
}

async function verdictsOf(inbox: TestInbox, id: string, key?: string): Promise<Map<string, KeyVerdict>> {
  const query = key === undefined ? '' : `?${new URLSearchParams({ key })}`;
  const { verdicts, left } = await inbox.ask<Verdicts>(`/api/messages/${id}/keys${query}`);
  assert.equal(left, 0);
  return new Map(verdicts.map(verdict => [verdict.key.name, verdict]));
}

/** What a real client is told that sends the same message with the key. */
async function toldToClient(t: TestContext, { relay }: TestInbox, key: string): Promise<string> {
  const client = await SmtpClient.secured(t, relay);
  await client.logIn(key);
  return (await client.transact({ from: 'shop@acme.test', to: ['ada@example.com'], data: MESSAGE }, '')).last;
}

describe('what a message would be answered with another key', () => {
  it('is what a client is told: by domain, owner, suppression, limit and whether the key is valid', async t => {
    const inbox = await startInbox(t);
    const { relay } = inbox;
    const id = await inbox.send({ data: MESSAGE });
    const keys = {
      same: await keyOf(inbox, 'same'),
      elsewhere: await keyOf(inbox, 'elsewhere', { domain: 'billing.test' }),
      stranger: await keyOf(inbox, 'stranger', { owner: 'other' }),
      limited: await keyOf(inbox, 'limited'),
      blocked: await keyOf(inbox, 'blocked'),
    };
    await relay.db.query(
      `insert into smtp_relay_credentials (api_key_id, limits) values ($1, '{"messagesPerDay": 1}')`,
      [keys.limited.id],
    );
    await blockKey(relay.db, 'blocked');
    const before = (await relay.db.query('select from emails')).rowCount;

    const found = await verdictsOf(inbox, id);
    const reply = (name: string) => found.get(name)?.refusals[0]?.reply ?? 'accepted';
    assert.equal(reply('same'), 'accepted');
    assert.equal(found.get('same')?.accepted, true);
    assert.match(reply('elsewhere'), /^550 5\.7\.1 This API key may only send from billing\.test/);
    assert.deepEqual(
      [found.get('elsewhere')?.refusals[0]?.step, found.get('elsewhere')?.refusals[0]?.rule],
      ['DATA', 'key_domain'],
    );
    assert.match(String(found.get('elsewhere')?.refusals[0]?.change), /Send from the key's domain/);
    assert.match(reply('stranger'), /^550 5\.7\.1 acme\.test is not one of your domains/);
    assert.equal(reply('limited'), 'accepted');
    assert.deepEqual(
      [reply('blocked'), found.get('blocked')?.refusals[0]?.step],
      ['535 5.7.8 Authentication failed', 'AUTH'],
    );
    // Nothing of all that is stored, or counted.
    assert.equal((await relay.db.query('select from emails')).rowCount, before);
    assert.equal(
      (await relay.db.query('select from smtp_relay_key_usage where key_id = $1', [keys.limited.id])).rowCount,
      0,
    );
    assert.equal((await relay.db.query('select from smtp_relay_arrivals where email_id <> $1', [id])).rowCount, 0);

    for (const name of ['elsewhere', 'stranger'] as const)
      assert.equal(await toldToClient(t, inbox, keys[name].key), reply(name), name);
    assert.match(await toldToClient(t, inbox, keys.limited.key), /^250 /);
    const [limited] = (await verdictsOf(inbox, id, keys.limited.id)).values();
    assert.match(String(limited?.refusals[0]?.reply), /^450 4\.7\.1 This API key may send 1 messages a day/);
    await addSuppression(relay.db, { owner: relay.owner.userId, email: 'ada@example.com', reason: 'manual' });
    const [suppressed] = (await verdictsOf(inbox, id, 'same')).values();
    assert.match(String(suppressed?.refusals[0]?.reply), /^550 5\.7\.1 .*ada@example\.com/);
    assert.equal(await toldToClient(t, inbox, keys.same.key), suppressed?.refusals[0]?.reply);
  });

  it('tells of recipients that are refused one by one, and of the message for the others', async t => {
    const refuse = { suppression: 'recipient' };
    const inbox = await startInbox(t, { settings: refuse, relaySettings: refuse });
    const { relay } = inbox;
    const id = await inbox.send({ data: MESSAGE, to: ['ada@example.com', 'bob@example.com'] });
    await keyOf(inbox, 'same');
    await addSuppression(relay.db, { owner: relay.owner.userId, email: 'bob@example.com', reason: 'bounced' });
    const one = (await verdictsOf(inbox, id, 'same')).get('same');
    assert.equal(one?.accepted, true);
    assert.deepEqual(
      one.refusals.map(({ step, recipient, reply }) => [step, recipient, reply]),
      [['RCPT', 'bob@example.com', '550 5.1.1 bob@example.com is on your suppression list']],
    );
    await addSuppression(relay.db, { owner: relay.owner.userId, email: 'ada@example.com', reason: 'bounced' });
    const both = (await verdictsOf(inbox, id, 'same')).get('same');
    assert.deepEqual([both?.accepted, both?.refusals.length], [false, 2]);
  });

  it('is under the settings as they are, and without what goes wrong on purpose', async t => {
    const inbox = await startInbox(t, { settings: { maxMessageSizeBytes: 100_000 } });
    const { relay } = inbox;
    const large = await inbox.send({
      data: mail(
        'From: shop@acme.test',
        'To: ada@example.com',
        '',
        'x'.repeat(70).concat('\r\n').repeat(3_000),
      ).toString(),
    });
    const small = await inbox.send({ data: MESSAGE });
    await keyOf(inbox, 'same');
    await setSandbox(relay.db, 'same', true);
    await setChaos(relay.db, 'same', { replies: [{ stage: 'MAIL', code: 451, percent: 100 }], slowSeconds: 600 }, null);
    const replyTo = async (id: string) => (await verdictsOf(inbox, id, 'same')).get('same')?.refusals[0]?.reply;
    assert.match(String(await replyTo(large)), /^552 5\.3\.4 The message is larger than 100000 bytes/);
    assert.equal(await replyTo(small), undefined);
    const status = async (query: string) => (await fetch(`${inbox.url}/api/messages/${small}/keys?${query}`)).status;
    assert.equal(await status('key=nobody'), 404);
    assert.equal(await status('kye=same'), 400);
  });

  it('tells nothing of keys of other owners where mail goes to people', async t => {
    const smarthost = await startSmarthost(t);
    const smtp = { transport: 'smtp', 'smtp.host': '127.0.0.1', 'smtp.port': smarthost.port, 'smtp.security': 'none' };
    const inbox = await startInbox(t, { settings: smtp, relaySettings: smtp });
    const { relay } = inbox;
    const { key } = await createKey(relay.db, { owner: relay.owner.userId, name: 'staging', sandbox: true });
    await keyOf(inbox, 'production');
    const stranger = await keyOf(inbox, 'stranger', { owner: 'other' });
    const client = await SmtpClient.secured(t, relay);
    await client.logIn(key);
    const sent = await client.transact({ from: 'shop@acme.test', to: ['ada@example.com'], data: MESSAGE }, '250 ');
    const id = emailIdOf(sent);
    const mine = ['production', 'staging', 'test'];
    assert.deepEqual([...(await verdictsOf(inbox, id)).keys()].toSorted(), mine);
    assert.deepEqual((await inbox.ask<Key[]>('/api/keys')).map(({ name }) => name).toSorted(), mine);
    for (const wanted of ['stranger', stranger.id])
      assert.equal((await fetch(`${inbox.url}/api/messages/${id}/keys?key=${wanted}`)).status, 404, wanted);
  });
});
