import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { freePort } from '../../dev/ports.ts';
import { hashKey } from '../../src/store/keys/api-keys.ts';
import { scrape } from '../support/metrics.ts';
import { earlyInMinute } from '../support/minute.ts';
import { startRelay, type TestRelay } from '../support/relay.ts';
import { messageFrom, type Reply, SmtpClient } from '../support/smtp-client.ts';
import { countEmails } from './submit.ts';

const base = { queue: false } as const;
const data = messageFrom('a@acme.test');

/** Sends on a session; a refusal of any command is the answer. */
async function send(client: SmtpClient, to: readonly string[] = ['b@example.com']): Promise<Reply> {
  const commands = ['MAIL FROM:<a@acme.test>', ...to.map(address => `RCPT TO:<${address}>`), 'DATA', `${data}\r\n.`];
  let reply: Reply | undefined;
  for (const command of commands) {
    reply = await client.command(command, '');
    if (reply.code >= 400) return reply;
  }
  return reply as Reply;
}

function people(count: number): string[] {
  return Array.from({ length: count }, (_, n) => `p${n}@example.com`);
}

describe('messages and recipients of a key', () => {
  for (const [name, limit, rule, to] of [
    ['limits.messagesPerMinute', 2, 'messages_per_minute', 1],
    ['limits.messagesPerDay', 2, 'messages_per_day', 1],
    ['limits.recipientsPerMinute', 6, 'recipients_per_minute', 3],
    ['limits.recipientsPerDay', 6, 'recipients_per_day', 3],
  ] as const) {
    it(`${name}: past it 450 4.7.1 with when to try again, and nothing is stored`, async t => {
      const settings = { [name]: limit, httpHost: '127.0.0.1', httpPort: await freePort() };
      const relay = await startRelay(t, { ...base, settings });
      await earlyInMinute();
      const client = await SmtpClient.loggedIn(t, relay);
      for (let count = 0; count < 2; count += 1) assert.equal((await send(client, people(to))).code, 250);
      const { last } = await send(client, people(to));
      assert.match(
        last,
        /^450 4\.7\.1 This API key may send \d (messages|recipients) a (minute|day): try again in \d+ s$/,
      );
      // By now the relay knows, and says so before the message is sent.
      await client.command('RSET', '250 ');
      await client.command('MAIL FROM:<a@acme.test>', '450 4.7.1 ');
      assert.equal(await countEmails(relay), 2);
      const metrics = await scrape(relay);
      assert.equal(metrics.get(`smtp_relay_refusals_total{step="DATA",rule="${rule}"}`), 1);
      assert.equal(metrics.get(`smtp_relay_refusals_total{step="MAIL",rule="${rule}"}`), 1);
      assert.equal(metrics.get('smtp_relay_messages_total{result="queued"}'), 2);
      assert.equal(metrics.get('smtp_relay_messages_total{result="deferred"}'), 1);
    });
  }

  it('counts are exact over relays and sessions that race', async t => {
    const settings = { 'limits.messagesPerDay': 25 };
    const first = await startRelay(t, { ...base, settings });
    const second = await startRelay(t, { ...base, settings, shareWith: first });
    const clients = await Promise.all(
      Array.from({ length: 12 }, (_, n) => SmtpClient.loggedIn(t, n % 2 ? first : second)),
    );
    const replies = await Promise.all(
      clients.map(async client => {
        const codes = [];
        for (let count = 0; count < 4; count += 1) {
          codes.push((await send(client)).code);
          await client.command('RSET', '250 ');
        }
        return codes;
      }),
    );
    const codes = replies.flat();
    assert.deepEqual([codes.filter(code => code === 250).length, codes.filter(code => code === 450).length], [25, 23]);
    assert.equal(await countEmails(first), 25);
  });

  it('a message with more recipients than a key may have at all is split by 452', async t => {
    const relay = await startRelay(t, { ...base, settings: { 'limits.recipientsPerMinute': 2 } });
    await earlyInMinute();
    const client = await SmtpClient.loggedIn(t, relay);
    assert.match((await send(client, people(3))).last, /^452 4\.5\.3 /);
    await client.command('RSET', '250 ');
    assert.equal((await send(client, people(2))).code, 250);
  });

  for (const limit of ['recipientsPerMinute', 'recipientsPerDay']) {
    it(`${limit} of a key alone splits a message as well, which then goes`, async t => {
      const relay = await startRelay(t, base);
      await limitKey(relay, { [limit]: 10 });
      await earlyInMinute();
      const client = await SmtpClient.loggedIn(t, relay);
      await client.command('MAIL FROM:<a@acme.test>', '250 ');
      for (const address of people(10)) await client.command(`RCPT TO:<${address}>`, '250 ');
      await client.command('RCPT TO:<P3@EXAMPLE.com>', '250 ');
      await client.command('RCPT TO:<p10@example.com>', '452 4.5.3 Too many recipients: send to at most 10');
      await client.command('DATA', '354 ');
      await client.command(`${data}\r\n.`, '250 ');
    });
  }

  it('a key that may send to more than is configured for all may do so in one message', async t => {
    const relay = await startRelay(t, { ...base, settings: { 'limits.recipientsPerDay': 2 } });
    await limitKey(relay, { recipientsPerDay: 0 });
    const client = await SmtpClient.loggedIn(t, relay);
    assert.equal((await send(client, people(5))).code, 250);
  });

  it('where headers decide, more recipients than may be are 554, since nobody could split them', async t => {
    const relay = await startRelay(t, { ...base, settings: { recipients: 'headers' } });
    const named = (count: number) =>
      `From: a@acme.test\r\nTo: ${people(count).join(',\r\n ')}\r\nSubject: x\r\n\r\nx\r\n.`;
    const client = await SmtpClient.loggedIn(t, relay);
    const commands = ['MAIL FROM:<a@acme.test>', ...people(51).map(to => `RCPT TO:<${to}>`)];
    for (const command of commands) await client.command(command, '250 ');
    await client.command('DATA', '354 ');
    await client.command(named(51), '554 5.5.3 The To, Cc and Bcc headers name too many recipients: name at most 50');
    await client.command('MAIL FROM:<a@acme.test>', '250 ');
    await client.command('RCPT TO:<b@example.com>', '250 ');
    await client.command('DATA', '354 ');
    await client.command(named(50), '250 ');
    const limited = await startRelay(t, { ...base, settings: { recipients: 'headers' } });
    await limitKey(limited, { recipientsPerMinute: 3 });
    const other = await SmtpClient.loggedIn(t, limited);
    for (const command of ['MAIL FROM:<a@acme.test>', 'RCPT TO:<b@example.com>']) await other.command(command, '250 ');
    await other.command('DATA', '354 ');
    await other.command(named(4), '554 5.5.3');
  });

  it('what is declared for a key stands above what is configured for all', async t => {
    const relay = await startRelay(t, { ...base, settings: { 'limits.messagesPerDay': 1 } });
    await limitKey(relay, { messagesPerDay: 3, sessions: 1 });
    const client = await SmtpClient.loggedIn(t, relay);
    for (let count = 0; count < 3; count += 1) assert.equal((await send(client)).code, 250);
    assert.equal((await send(client)).code, 450);
    const second = await SmtpClient.secured(t, relay);
    await second.logIn(relay.owner.apiKey, '421 4.7.0');
  });

  it('another key has its own count', async t => {
    const relay = await startRelay(t, { ...base, settings: { 'limits.messagesPerDay': 1 } });
    const other = await addKey(relay);
    for (const owner of [relay.owner, other]) {
      const client = await SmtpClient.loggedIn(t, { ...relay, owner });
      assert.equal((await send(client)).code, 250);
      assert.equal((await send(client)).code, 450);
    }
  });
});

/** As a document declares it. */
async function limitKey({ db, owner }: TestRelay, limits: Readonly<Record<string, number>>): Promise<void> {
  const declare = 'insert into smtp_relay_credentials (api_key_id, limits) values ($1, $2)';
  await db.query(declare, [owner.keyId, JSON.stringify(limits)]);
}

async function addKey({ db, owner }: TestRelay) {
  const apiKey = 'os_live_another';
  await db.query('insert into api_keys (name, token_hash, user_id) values ($1, $2, $3)', [
    'other',
    hashKey(apiKey),
    owner.userId,
  ]);
  return { ...owner, apiKey };
}

describe('recipientAllowList', () => {
  const list = { recipientAllowList: ['example.com', '*.staging.test', 'qa@acme.com'] };

  it('others are refused at RCPT with 550 5.7.1; the message goes to the rest', async t => {
    const relay = await startRelay(t, { ...base, settings: list });
    const client = await SmtpClient.loggedIn(t, relay);
    await client.command('MAIL FROM:<a@acme.test>', '250 ');
    await client.command('RCPT TO:<customer@elsewhere.test>', '550 5.7.1 customer@elsewhere.test is not among those');
    for (const to of ['b@Example.com', 'x@app.staging.test', 'QA@acme.com']) {
      await client.command(`RCPT TO:<${to}>`, '250 ');
    }
    await client.command('RCPT TO:<other@acme.com>', '550 5.7.1');
    await client.command('DATA', '354 ');
    await client.command(`${data}\r\n.`, '250 ');
    const { rows } = await relay.db.query('select jsonb_array_length("bcc") as count from emails');
    assert.deepEqual(rows, [{ count: 3 }]);
  });

  it('where headers decide, one outside refuses the message', async t => {
    const relay = await startRelay(t, { ...base, settings: { ...list, recipients: 'headers' } });
    const client = await SmtpClient.loggedIn(t, relay);
    const message = { from: 'a@acme.test', to: ['b@example.com'] };
    const mail = (to: string) => `From: a@acme.test\r\nTo: ${to}\r\nSubject: x\r\n\r\nHi`;
    const reply = await client.transact(
      { ...message, data: mail('b@example.com, c@elsewhere.test, d@elsewhere.test') },
      '',
    );
    assert.match(reply.last, /^550 5\.7\.1 c@elsewhere\.test and 1 more are not among those/);
    await client.transact({ ...message, data: mail('b@example.com') }, '250 ');
  });

  it('capture: the message is accepted, marked and logged', async t => {
    const settings = { ...list, pipeline: 'standalone', recipientsElsewhere: 'capture' };
    const relay = await startRelay(t, { ...base, settings });
    const client = await SmtpClient.loggedIn(t, relay);
    assert.equal((await send(client, ['b@example.com'])).code, 250);
    assert.equal((await send(client, ['b@example.com', 'c@elsewhere.test'])).code, 250);
    const { rows } = await relay.db.query('select captured from smtp_relay_messages order by created_at');
    assert.deepEqual(rows, [{ captured: false }, { captured: true }]);
    assert.ok(relay.logs.some(({ msg }) => msg === 'message captured'));
  });
});
