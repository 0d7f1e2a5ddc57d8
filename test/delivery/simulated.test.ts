import assert from 'node:assert/strict';
import { randomBytes, randomUUID } from 'node:crypto';
import { describe, it } from 'node:test';
import { fixedConfig, type LiveConfig } from '../../src/config/live.ts';
import type { Config } from '../../src/config/schema.ts';
import { createWebhook } from '../../src/store/webhooks/webhooks.ts';
import { createSecretBox, newSecret } from '../../src/webhooks/signing.ts';
import { eventually } from '../support/eventually.ts';
import { startRelay, type TestContext } from '../support/relay.ts';
import { emailIdOf, messageFrom, SmtpClient } from '../support/smtp-client.ts';
import { storeMessage } from '../support/stored.ts';
import { startWorker, type TestWorker, type WorkerOptions } from '../support/worker.ts';
import { startReceiver } from '../webhooks/receiver.ts';
import { type Story, startSending, storyOf, untilStatus } from './support/sending.ts';
import { startSmarthost } from './support/smarthost.ts';

const KEY = randomBytes(32).toString('base64');
const WEBHOOKS = { 'webhooks.secretKeys': [KEY], 'webhooks.allowedNetworks': ['127.0.0.1/32'] };

interface Told {
  readonly type: string;
  readonly data: Readonly<Record<string, unknown>> & { readonly recipients: readonly string[] };
}

/** A worker whose events go to a receiver. */
async function startTold(t: TestContext, options: WorkerOptions = {}) {
  const receiver = await startReceiver(t);
  const worker = await startWorker(t, { ...options, settings: { ...WEBHOOKS, ...options.settings } });
  const id = randomUUID();
  const secret = createSecretBox([KEY]).seal(newSecret(), id);
  await createWebhook(worker.db, { id, owner: 'acme', url: receiver.url, events: ['*'], secret });
  const told = async (count: number): Promise<Told[]> => {
    await eventually(() => receiver.received.length >= count);
    return receiver.received.map(({ body }) => JSON.parse(body.toString()));
  };
  return { worker, told };
}

function eventsOf({ events }: Story): [string, unknown][] {
  return events.map(({ type, payload }) => [type, payload['recipients']]);
}

async function sentTo({ captured }: TestWorker): Promise<(readonly string[])[]> {
  return (await captured()).map(({ envelope }) => envelope.recipients);
}

const suppressions = ({ db }: Pick<TestWorker, 'db'>) => db.query('select from email_suppressions');

describe('a simulated recipient', () => {
  for (const [address, status, types] of [
    ['delivered@resend.dev', 'delivered', ['email.sent', 'email.delivered']],
    ['Bounced+signup@Resend.dev', 'bounced', ['email.sent', 'email.bounced']],
    ['complained@resend.dev', 'complained', ['email.sent', 'email.delivered', 'email.complained']],
    ['suppressed+1@resend.dev', 'suppressed', ['email.suppressed']],
    ['success@simulator.amazonses.com', 'delivered', ['email.sent', 'email.delivered']],
    ['ooto@simulator.amazonses.com', 'delivered', ['email.sent', 'email.delivered']],
    ['bounce@simulator.amazonses.com', 'bounced', ['email.sent', 'email.bounced']],
    ['complaint@simulator.amazonses.com', 'complained', ['email.sent', 'email.delivered', 'email.complained']],
    ['suppressionlist+a@simulator.amazonses.com', 'bounced', ['email.sent', 'email.bounced']],
  ] as const) {
    it(`${address}: ${status}, told as SES tells it, and nothing goes out`, async t => {
      const { worker, told } = await startTold(t);
      const id = await storeMessage(worker.db, { recipients: [address], tags: [{ name: 'order', value: '7' }] });
      const { row, attempts } = await untilStatus(worker.db, id, status);
      const webhooks = await told(types.length);
      assert.deepEqual(webhooks.map(({ type }) => type).sort(), [...types].sort());
      for (const { data } of webhooks) {
        assert.equal(data['email_id'], id);
        assert.deepEqual(data.recipients, [address]);
        assert.deepEqual(data['tags'], { order: '7' });
        assert.equal(data['message_id'], '1@acme.test');
      }
      assert.deepEqual(
        attempts.map(({ outcome, transport }) => [outcome, transport]),
        [[status === 'suppressed' ? 'suppressed' : 'sent', 'simulated']],
      );
      assert.equal(row['sent_at'] === null, status === 'suppressed');
      assert.deepEqual(await sentTo(worker), []);
      assert.equal((await suppressions(worker)).rowCount, 0, 'the test can be repeated');
    });
  }

  it('has the details that SES would tell', async t => {
    const worker = await startWorker(t);
    const recipients = ['bounced@resend.dev', 'suppressionlist@simulator.amazonses.com', 'complained@resend.dev'];
    const id = await storeMessage(worker.db, { recipients });
    const { events } = await untilStatus(worker.db, id, 'complained');
    const about = (type: string, recipient: string) => {
      const found = events.find(
        event => event.type === type && (event.payload['recipients'] as string[]).includes(recipient),
      );
      return { ...found?.payload };
    };
    const [bounced = '', refused = '', complained = ''] = recipients;
    const hard = { type: 'Permanent', sub_type: 'General', message: 'smtp; 550 5.1.1 simulated: user unknown' };
    assert.deepEqual(about('bounced', bounced)['bounce'], hard);
    assert.partialDeepStrictEqual(about('bounced', refused), {
      bounce: { type: 'Permanent', sub_type: 'Suppressed' },
    });
    assert.deepEqual(about('complained', complained)['complaint'], { type: 'abuse', sub_type: null });
    assert.deepEqual(about('delivered', complained)['delivered'], {
      smtp_response: '250 2.0.0 simulated: message accepted',
    });
    assert.deepEqual(about('sent', bounced)['recipients'], recipients);
    const provider = { transport: 'simulated', message_id: `simulated-${id}-0` };
    for (const { payload } of events) assert.deepEqual(payload['provider'], provider);
    assert.ok(Date.parse(String(about('bounced', bounced)['occurred_at'])) > Date.now() - 60_000);
  });

  it('among others: those are sent to, and the row shows the gravest', async t => {
    const worker = await startWorker(t);
    const recipients = ['ann@example.com', 'bounced@resend.dev', 'suppressed@resend.dev', 'bob@example.com'];
    const id = await storeMessage(worker.db, { recipients });
    const story = await untilStatus(worker.db, id, 'bounced');
    assert.deepEqual(await sentTo(worker), [['ann@example.com', 'bob@example.com']]);
    assert.deepEqual(
      eventsOf(story).sort(),
      [
        ['bounced', ['bounced@resend.dev']],
        ['sent', ['ann@example.com', 'bob@example.com']],
        ['sent', ['bounced@resend.dev']],
        ['suppressed', ['suppressed@resend.dev']],
      ].sort(),
    );
  });

  it('among others whose transport fails for now: is done at the first try, and once', async t => {
    const { ses, db, store, makeDue, received, until } = await startSending(t, {
      'retries.firstPause': 3_600_000,
      'retries.longestPause': 3_600_000,
    });
    ses.faults.plan({ kind: 'throttle' });
    const id = await store({ recipients: ['delivered@resend.dev', 'ann@example.com'] });
    await eventually(async () => (await storyOf(db, id)).row['provider_next_retry_at'] !== null);
    const waiting = await storyOf(db, id);
    assert.equal(waiting.row.status, 'queued');
    assert.deepEqual(eventsOf(waiting), [
      ['sent', ['delivered@resend.dev']],
      ['delivered', ['delivered@resend.dev']],
      ['delayed', ['ann@example.com']],
    ]);
    await makeDue(id);
    const { events } = await until(id, 'delivered');
    assert.deepEqual(received(id), [['ann@example.com']]);
    assert.deepEqual(
      events.map(({ type }) => type),
      ['sent', 'delivered', 'delayed', 'sent'],
    );
  });

  it('is told of once, however often its job comes', async t => {
    const first = await startWorker(t);
    const second = await startWorker(t, { databaseUrl: first.databaseUrl });
    const stored = Array.from({ length: 20 }, () =>
      storeMessage(first.db, { recipients: ['bounced@resend.dev'], outboxLease: null }),
    );
    const ids = await Promise.all(stored);
    await first.db.query(
      `insert into smtp_relay_outbox (email_id, user_id, try, correlation_id, traceparent)
       select id, 'acme', try, replace(id::text, '-', ''), '' from unnest($1::uuid[]) as id, generate_series(0, 4) as try`,
      [ids],
    );
    for (const id of ids) {
      const { events, attempts } = await untilStatus(first.db, id, 'bounced');
      assert.deepEqual([events.length, attempts.length], [2, 1]);
    }
    await eventually(async () => (await first.db.query('select from smtp_relay_outbox')).rowCount === 0);
    const { rows } = await first.db.query('select count(*)::integer as events from email_events');
    assert.equal(rows[0].events, 40);
    assert.deepEqual([...(await sentTo(first)), ...(await sentTo(second))], []);
  });

  it('is none where `simulatedRecipients` is off, which counts from the next message', async t => {
    let simulatedRecipients: Config['simulatedRecipients'] = 'off';
    const live = (config: Config): LiveConfig => ({
      ...fixedConfig(config),
      get current() {
        return { ...config, simulatedRecipients };
      },
    });
    const worker = await startWorker(t, { live });
    const first = await storeMessage(worker.db, { recipients: ['bounced@resend.dev'] });
    await untilStatus(worker.db, first, 'sent');
    assert.deepEqual(await sentTo(worker), [['bounced@resend.dev']]);
    simulatedRecipients = 'on';
    const second = await storeMessage(worker.db, { recipients: ['bounced@resend.dev'] });
    await untilStatus(worker.db, second, 'bounced');
    assert.equal((await sentTo(worker)).length, 1);
  });
});

describe('SES', () => {
  it('plays its own simulator, and what it tells of it suppresses nobody', async t => {
    const { worker, store, until, received, tell, ses } = await startSending(t);
    const recipients = ['bounce+x@simulator.amazonses.com', 'delivered@resend.dev'];
    const id = await store({ recipients });
    await until(id, 'delivered');
    assert.deepEqual(received(id), [['bounce+x@simulator.amazonses.com']]);
    const messageId = ses.mailbox.messages[0]?.messageId ?? '';
    const timestamp = new Date().toISOString();
    const bouncedRecipients = ['bounce+x@simulator.amazonses.com', 'ann@example.com'].map(emailAddress => ({
      emailAddress,
    }));
    const bounce = { bounceType: 'Permanent', bounceSubType: 'General', timestamp, bouncedRecipients };
    await tell({ eventType: 'Bounce', bounce, mail: { messageId, timestamp, destination: [recipients[0]] } });
    await until(id, 'bounced');
    const { rows } = await worker.db.query('select email from email_suppressions');
    assert.deepEqual(rows, [{ email: 'ann@example.com' }]);
  });

  it('has no simulator where the route of the message goes elsewhere', async t => {
    const smarthost = await startSmarthost(t);
    const { worker, store, until, received } = await startSending(t, {
      routes: [
        {
          domains: ['elsewhere.test'],
          transport: 'smtp',
          smtp: { host: '127.0.0.1', port: smarthost.port, security: 'none' },
        },
      ],
    });
    const recipients = ['complaint@simulator.amazonses.com', 'ann@example.com'];
    const id = await store({ from: 'a@elsewhere.test', recipients });
    await until(id, 'complained');
    assert.deepEqual(
      smarthost.messages.map(message => message.recipients),
      [['ann@example.com']],
    );
    assert.deepEqual(received(id), []);
    const by = await store({ recipients });
    await until(by, 'sent');
    assert.deepEqual(received(by), [recipients]);
    assert.equal((await suppressions(worker)).rowCount, 0);
  });
});

describe('the relay', () => {
  it('takes mail for test addresses outside the allow list, in the standalone pipeline and while they are simulated', async t => {
    const settings = { transport: 'capture', recipientAllowList: ['acme.test'] };
    for (const [more, reply] of [
      [{ pipeline: 'standalone' }, '250 '],
      [{ pipeline: 'standalone', simulatedRecipients: 'off' }, '550 5.7.1 '],
      [{ pipeline: 'opensend' }, '550 5.7.1 '],
    ] as const) {
      const relay = await startRelay(t, { queue: false, settings: { ...settings, ...more } });
      const client = await SmtpClient.loggedIn(t, relay);
      await client.command('MAIL FROM:<hello@acme.test>', '250 ');
      await client.command('RCPT TO:<ann@example.com>', '550 5.7.1 ');
      await client.command('RCPT TO:<suppressed@resend.dev>', reply);
    }
  });

  it('accepts suppressed@resend.dev, also twice', async t => {
    const relay = await startRelay(t, { queue: false, settings: { pipeline: 'standalone', transport: 'capture' } });
    const worker = await startWorker(t, { databaseUrl: relay.databaseUrl });
    const client = await SmtpClient.loggedIn(t, relay);
    for (const to of ['suppressed@resend.dev', 'bounced@resend.dev', 'suppressed@resend.dev', 'bounced@resend.dev']) {
      const message = { from: 'hello@acme.test', to: [to], data: messageFrom('hello@acme.test') };
      const id = emailIdOf(await client.transact(message, '250 '));
      await untilStatus(worker.db, id, to.split('@')[0] ?? '');
    }
  });

  it('tells by email.suppressed who was refused at RCPT while the others got the message', async t => {
    const settings = { pipeline: 'standalone', transport: 'capture', suppression: 'recipient' };
    const relay = await startRelay(t, { queue: false, settings, owner: { userId: 'acme' } });
    const { worker, told } = await startTold(t, { databaseUrl: relay.databaseUrl });
    for (const email of ['no@example.com', 'never@example.com']) {
      await relay.db.query("insert into email_suppressions (user_id, email, reason) values ('acme', $1, 'bounced')", [
        email,
      ]);
    }
    const client = await SmtpClient.loggedIn(t, relay);
    await client.command('MAIL FROM:<hello@acme.test>', '250 ');
    await client.command('RCPT TO:<never@example.com>', '550 5.1.1 ');
    await client.command('RSET', '250 ');
    await client.command('MAIL FROM:<hello@acme.test>', '250 ');
    for (const refused of ['No@example.com', 'No@example.com']) await client.command(`RCPT TO:<${refused}>`, '550 ');
    await client.command('RCPT TO:<ann@example.com>', '250 ');
    await client.command('DATA', '354 ');
    const id = emailIdOf(await client.command(`${messageFrom('hello@acme.test')}\r\n.`, '250 '));
    const story = await untilStatus(worker.db, id, 'sent');
    assert.deepEqual(eventsOf(story), [
      ['suppressed', ['No@example.com']],
      ['sent', ['ann@example.com']],
    ]);
    const suppressed = (await told(2)).find(({ type }) => type === 'email.suppressed');
    assert.deepEqual(suppressed?.data['suppressed'], { message: 'refused at RCPT TO: on the suppression list' });
    assert.deepEqual(await sentTo(worker), [['ann@example.com']]);
    const next = { from: 'hello@acme.test', to: ['ann@example.com'], data: messageFrom('hello@acme.test') };
    const other = emailIdOf(await client.transact(next, '250 '));
    assert.deepEqual(eventsOf(await untilStatus(worker.db, other, 'sent')), [['sent', ['ann@example.com']]]);
  });
});
