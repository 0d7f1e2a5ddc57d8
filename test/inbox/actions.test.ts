import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { describe, it } from 'node:test';
import type { Details, Page, Released, Simulated } from '../../src/inbox/contract.ts';
import { newOrderedId } from '../../src/platform/uuid.ts';
import { createKey } from '../../src/store/keys/api-keys.ts';
import { createWebhook } from '../../src/store/webhooks/webhooks.ts';
import { createSecretBox, newSecret } from '../../src/webhooks/signing.ts';
import { startSmarthost } from '../delivery/support/smarthost.ts';
import { eventually } from '../support/eventually.ts';
import { mail } from '../support/mail.ts';
import { emailIdOf, SmtpClient } from '../support/smtp-client.ts';
import { storeMessage } from '../support/stored.ts';
import { startReceiver } from '../webhooks/receiver.ts';
import { rawRequest, startInbox, type TestInbox } from './inbox.ts';

const KEY = randomBytes(32).toString('base64');
const MESSAGE = mail(
  'From: shop@acme.test',
  'To: ada@example.com, bob@example.com',
  'Subject: Hello',
  'X-OpenSend-Tag: kind=test',
  'Content-Type: text/html; charset=utf-8',
  '',
  '<p>Hi</p><a href="https://shop.example/1">one</a><a href="https://shop.example/2">two</a>',
).toString();
const TO = ['ada@example.com', 'bob@example.com', 'hidden@example.com'];

async function sent(inbox: TestInbox): Promise<string> {
  const id = await inbox.send({ data: MESSAGE, to: TO });
  await eventually(async () => (await inbox.ask<Details>(`/api/messages/${id}`)).message.status === 'sent');
  return id;
}

function post(path: string, json: unknown): readonly [string, RequestInit] {
  return [path, { method: 'POST', body: JSON.stringify(json), headers: { 'content-type': 'application/json' } }];
}

describe('simulating', () => {
  it('has events, webhooks, the status and suppressions follow, as they do of what SES tells', async t => {
    const receiver = await startReceiver(t);
    const settings = { 'webhooks.secretKeys': [KEY], 'webhooks.allowedNetworks': ['127.0.0.1/32'] };
    const inbox = await startInbox(t, { settings });
    const { worker, relay } = inbox;
    const events = [
      'email.delivered',
      'email.bounced',
      'email.complained',
      'email.delivery_delayed',
      'email.opened',
      'email.clicked',
    ];
    const webhook = newOrderedId();
    const secret = createSecretBox([KEY]).seal(newSecret(), webhook);
    await createWebhook(worker.db, { id: webhook, url: receiver.url, owner: relay.owner.userId, events, secret });
    const id = await sent(inbox);
    const simulate = (json: object) => inbox.ask<Simulated>(...post(`/api/messages/${id}/events`, json));
    assert.deepEqual(await simulate({ type: 'delayed', recipient: 'BOB@example.com' }), {
      recipients: ['bob@example.com'],
    });
    assert.deepEqual(await simulate({ type: 'delivered' }), { recipients: TO });
    await simulate({ type: 'opened' });
    await simulate({ type: 'clicked', link: 'https://shop.example/2' });
    await simulate({ type: 'bounced', recipient: 'bob@example.com' });
    await simulate({ type: 'complained', recipient: 'ada@example.com' });

    const told = () =>
      receiver.received.map(({ body }) => JSON.parse(body.toString()) as { type: string; data: object });
    await eventually(() => told().length === 8);
    const types = told().map(({ type }) => type);
    assert.deepEqual(types.toSorted(), [...events, 'email.delivered', 'email.delivered'].toSorted());
    const clicked = told().find(({ type }) => type === 'email.clicked')?.data as { click: { link: string } };
    assert.equal(clicked.click.link, 'https://shop.example/2');

    const details = await inbox.ask<Details>(`/api/messages/${id}`);
    assert.equal(details.message.status, 'complained');
    assert.deepEqual(
      details.envelope.recipients.map(({ outcome }) => outcome),
      ['complained', 'bounced', 'delivered'],
    );
    assert.equal(details.timeline.filter(({ stage }) => stage === 'webhook').length, 8);
    const { rows } = await worker.db.query('select email, reason from email_suppressions order by email');
    assert.deepEqual(rows, [
      { email: 'ada@example.com', reason: 'complained' },
      { email: 'bob@example.com', reason: 'bounced' },
    ]);
    const client = await SmtpClient.loggedIn(t, relay);
    await client.transact({ from: 'shop@acme.test', to: ['bob@example.com'], data: MESSAGE }, '550 5.7.1');
  });

  it('puts nobody on the suppression list for a message in sandbox', async t => {
    const inbox = await startInbox(t);
    const { relay, worker } = inbox;
    const { key } = await createKey(relay.db, { owner: relay.owner.userId, name: 'Staging app', sandbox: true });
    const client = await SmtpClient.secured(t, relay);
    await client.logIn(key);
    const id = emailIdOf(await client.transact({ from: 'shop@acme.test', to: TO, data: MESSAGE }, '250 '));
    const status = async () => (await inbox.ask<Details>(`/api/messages/${id}`)).message.status;
    await eventually(async () => (await status()) === 'delivered' || (await status()) === 'sent');
    for (const type of ['bounced', 'complained', 'opened'])
      await inbox.ask<Simulated>(...post(`/api/messages/${id}/events`, { type }));
    assert.equal(await status(), 'complained');
    assert.equal((await worker.db.query('select from email_suppressions')).rowCount, 0);
    const { rows } = await worker.db.query<{ type: string; payload: { sandbox?: true; provider?: object } }>(
      `select type, payload from email_events where type in ('bounced', 'complained', 'opened')`,
    );
    assert.equal(rows.length, 7);
    for (const { type, payload } of rows) {
      assert.equal(payload.sandbox, true, type);
      if (type !== 'opened') assert.match(JSON.stringify(payload.provider), /"transport":"simulated"/);
    }
  });

  it('refuses what the message does not have', async t => {
    const inbox = await startInbox(t);
    const id = await inbox.send({ data: mail('From: shop@acme.test', 'To: ada@example.com', '', 'Hi').toString() });
    const status = async (json: unknown) => {
      const answer = await fetch(
        ...([`${inbox.url}${post(`/api/messages/${id}/events`, json)[0]}`, post('', json)[1]] as const),
      );
      return [answer.status, ((await answer.json()) as { error: string }).error] as const;
    };
    assert.deepEqual(await status({ type: 'clicked' }), [400, 'the message has no link']);
    assert.deepEqual(await status({ type: 'clicked', link: 'https://shop.example/9' }), [
      400,
      '"https://shop.example/9" is no link of the message: it has none',
    ]);
    assert.deepEqual(await status({ type: 'bounced', recipient: 'x@example.com' }), [
      400,
      'x@example.com is no recipient: ada@example.com',
    ]);
    const types = 'delivered, bounced, complained, delayed, opened, clicked';
    assert.deepEqual(await status({ type: 'exploded' }), [400, `type has to be one of ${types}`]);
    assert.deepEqual(await status({}), [400, "the body must have required property 'type'"]);
    assert.match(String(await status({ type: 'bounced', to: 'ada@example.com' })), /^400,there is no to/);
  });

  it('knows a recipient as people write it, with an internationalised domain', async t => {
    const inbox = await startInbox(t);
    const to = 'ada@xn--bcher-kva.example';
    const id = await inbox.send({ data: mail('From: shop@acme.test', `To: ${to}`, '', 'Hi').toString(), to: [to] });
    const json = { type: 'delayed', recipient: 'Ada@Bücher.example' };
    assert.deepEqual(await inbox.ask<Simulated>(...post(`/api/messages/${id}/events`, json)), { recipients: [to] });
  });
});

describe('releasing', () => {
  it('sends a message to the smarthost, without what is for the relay alone', async t => {
    const smarthost = await startSmarthost(t);
    const settings = { 'smtp.host': '127.0.0.1', 'smtp.port': smarthost.port, 'smtp.security': 'none' };
    const inbox = await startInbox(t, { settings });
    const id = await sent(inbox);
    assert.equal((await inbox.ask<Details>(`/api/messages/${id}`)).canRelease, true);
    const all = await inbox.ask<Released>(...post(`/api/messages/${id}/release`, {}));
    assert.deepEqual(all.recipients, TO);
    await inbox.ask<Released>(...post(`/api/messages/${id}/release`, { to: ['me@example.com'] }));
    const unsaid = await inbox.ask<Released>(`/api/messages/${id}/release`, { method: 'POST' });
    assert.deepEqual(unsaid.recipients, TO);
    assert.deepEqual(
      smarthost.messages.map(({ from, recipients }) => [from, recipients]),
      [
        ['shop@acme.test', TO],
        ['shop@acme.test', ['me@example.com']],
        ['shop@acme.test', TO],
      ],
    );
    const raw = String(smarthost.messages[0]?.raw);
    assert.match(raw, /^Message-ID: /m);
    assert.doesNotMatch(raw, /X-OpenSend-Tag/);
  });

  it('says why the smarthost did not take it, or that there is none', async t => {
    const smarthost = await startSmarthost(t, step => (step === 'RCPT' ? '550 5.1.1 no such user' : undefined));
    const settings = { 'smtp.host': '127.0.0.1', 'smtp.port': smarthost.port, 'smtp.security': 'none' };
    const [inbox, without] = await Promise.all([startInbox(t, { settings }), startInbox(t)]);
    const refused = async (of: TestInbox) => {
      const [path, init] = post(`/api/messages/${await sent(of)}/release`, {});
      const answer = await fetch(`${of.url}${path}`, init);
      return [answer.status, ((await answer.json()) as { error: string }).error] as const;
    };
    assert.match(String(await refused(inbox)), /^409,127\.0\.0\.1 did not take it: 550.*no such user/);
    assert.match(String(await refused(without)), /^409,no smarthost is configured.*SMTP_RELAY_SMTP_HOST/);
  });
});

describe('beside a transport that sends', () => {
  it('shows only what goes to nobody', async t => {
    const smarthost = await startSmarthost(t);
    const smtp = { transport: 'smtp', 'smtp.host': '127.0.0.1', 'smtp.port': smarthost.port, 'smtp.security': 'none' };
    const inbox = await startInbox(t, { settings: smtp, relaySettings: smtp });
    const { worker, url } = inbox;
    const real = await storeMessage(worker.db, { recipients: ['person@example.com'] });
    await worker.db.query("insert into smtp_relay_credentials (api_key_id, limits, sandbox) values ($1, '{}', true)", [
      inbox.relay.owner.keyId,
    ]);
    const id = await inbox.send({ data: MESSAGE, to: TO });
    await eventually(() => smarthost.messages.length === 1);
    const { messages, total } = await inbox.ask<Page>('/api/messages');
    assert.deepEqual(
      messages.map(message => [message.id, message.sandbox]),
      [[id, true]],
    );
    assert.equal(total, undefined);
    for (const path of ['', '/source', '/html', '/text', '/parts/1'])
      assert.equal((await rawRequest(`${url}/api/messages/${real}${path}`)).status, 404, path);
    assert.equal((await rawRequest(`${url}/api/messages/${real}`, { method: 'DELETE' })).status, 404);
    for (const [path, json] of [
      ['events', { type: 'delivered' }],
      ['release', {}],
    ] as const)
      assert.equal((await fetch(`${url}/api/messages/${real}/${path}`, post('', json)[1])).status, 404, path);
    assert.deepEqual(await inbox.ask('/api/messages', { method: 'DELETE' }), { removed: 1 });
    assert.equal((await worker.db.query('select from emails where id = $1', [real])).rowCount, 1);
    assert.equal(smarthost.messages.length, 1);
  });
});
