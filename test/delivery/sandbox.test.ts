import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import { createTransport } from 'nodemailer';
import { fixedConfig, type LiveConfig } from '../../src/config/live.ts';
import type { Config } from '../../src/config/schema.ts';
import { cliFor } from '../cli/run-cli.ts';
import { eventually } from '../support/eventually.ts';
import { startRelay, type TestRelay } from '../support/relay.ts';
import { emailIdOf, messageFrom, SmtpClient } from '../support/smtp-client.ts';
import { startWorker, type WorkerOptions } from '../support/worker.ts';
import { storyOf, untilStatus } from './support/sending.ts';
import { startSmarthost } from './support/smarthost.ts';

const FROM = 'hello@acme.test';

/** A relay and a worker whose mail goes to a smarthost, with a key in sandbox beside the owner's own. */
async function startTwin(t: TestContext, worker: WorkerOptions = {}, settings: object = {}) {
  const smarthost = await startSmarthost(t);
  const route = {
    transport: 'smtp',
    'smtp.host': '127.0.0.1',
    'smtp.port': smarthost.port,
    'smtp.security': 'none',
  };
  const owner = { userId: 'acme', keyDomain: null };
  const relay = await startRelay(t, {
    queue: false,
    owner,
    settings: { pipeline: 'standalone', ...route, ...settings },
  });
  const cli = cliFor(relay.databaseUrl);
  const env = ['keys', 'create', '--owner', 'acme', '--name', 'staging'];
  const { key } = await cli.json(...env, '--sandbox');
  const twin = { ...relay, owner: { ...relay.owner, apiKey: key } };
  const start = () =>
    startWorker(t, { ...worker, databaseUrl: relay.databaseUrl, settings: { ...route, ...worker.settings } });
  return { relay, twin, cli, smarthost, start };
}

async function send(t: TestContext, relay: TestRelay, ...to: string[]): Promise<string> {
  const client = await SmtpClient.loggedIn(t, relay);
  return emailIdOf(await client.transact({ from: FROM, to, data: messageFrom(FROM) }, '250 '));
}

const eventsOf = async (relay: TestRelay, id: string) => {
  const { events } = await storyOf(relay.db, id);
  return events.map(({ type, payload }) => [type, payload['recipients']]);
};

describe('a key in sandbox', () => {
  it('sends to nobody by any transport, and all is told as if it had', async t => {
    const { relay, twin, cli, smarthost, start } = await startTwin(t);
    await start();
    const { host, port, ca } = twin;
    const mailer = createTransport({
      host,
      port,
      requireTLS: true,
      tls: { ca, servername: 'localhost' },
      auth: { user: 'apikey', pass: twin.owner.apiKey },
    });
    t.after(() => mailer.close());
    const to = ['ann@example.com', 'bounced@resend.dev'];
    const { response } = await mailer.sendMail({ from: FROM, to, subject: 'Order 7', text: 'Hello' });
    const id = response.split(' ').at(-1) ?? '';
    const { events, attempts, row } = await untilStatus(relay.db, id, 'bounced');
    assert.deepEqual(
      attempts.map(({ transport, outcome }) => [transport, outcome]),
      [['simulated', 'sent']],
    );
    assert.deepEqual(
      events.map(({ type, payload }) => [type, payload['recipients'], payload['sandbox']]),
      [
        ['sent', to, true],
        ['delivered', ['ann@example.com'], true],
        ['bounced', ['bounced@resend.dev'], true],
      ],
    );
    assert.notEqual(row['sent_at'], null);
    // That of the other key goes out, so that it is known that this one would have.
    const real = await send(t, relay, 'bob@example.com');
    await untilStatus(relay.db, real, 'sent');
    assert.deepEqual(
      smarthost.messages.map(({ recipients }) => recipients),
      [['bob@example.com']],
    );
    const listed = await cli.json('emails', 'list');
    assert.deepEqual(
      listed.map((email: { id: string; sandbox: boolean }) => [email.id, email.sandbox]),
      [
        [real, false],
        [id, true],
      ],
    );
    assert.match(await cli.text('emails', 'list'), / {2}bounced, sandbox {2}/);
    assert.match(await cli.text('emails', 'show', id), /^Status: +bounced, in sandbox: nothing has gone out$/m);
    // Also when the message itself is not kept any more.
    await relay.db.query('delete from smtp_relay_messages');
    assert.equal((await cli.json('emails', 'show', id)).sandbox, true);
    assert.equal((await cli.json('emails', 'show', real)).sandbox, false);
  });

  it('stays so for copies, and where a worker knows nothing of sandboxes', async t => {
    const { relay, twin, cli, smarthost, start } = await startTwin(t);
    const id = await send(t, twin, 'ann@example.com');
    // What an earlier version reads of it.
    const { rows } = await relay.db.query('select captured from smtp_relay_messages');
    assert.deepEqual(rows, [{ captured: true }]);
    await start();
    await untilStatus(relay.db, id, 'delivered');
    const copy = await cli.json('emails', 'resend', id, '--yes');
    await untilStatus(relay.db, copy.id, 'delivered');
    assert.equal((await cli.json('emails', 'show', copy.id)).sandbox, true);
    assert.deepEqual(smarthost.messages, []);
  });

  it('has suppressions, limits and rules like any other', async t => {
    const limits = { 'limits.messagesPerDay': 1 };
    const { relay, twin, start } = await startTwin(t, {}, limits);
    await start();
    await relay.db.query(
      "insert into email_suppressions (user_id, email, reason) values ('acme', 'no@b.test', 'manual')",
    );
    const client = await SmtpClient.loggedIn(t, twin);
    const about = (from: string, to: string) => ({ from, to: [to], data: messageFrom(from) });
    await client.transact(about(FROM, 'no@b.test'), '550 5.7.1 no@b.test is on');
    await client.transact(about('hello@elsewhere.test', 'yes@b.test'), '550 5.7.1 ');
    await client.transact(about(FROM, 'yes@b.test'), '250 ');
    await client.transact(about(FROM, 'yes@b.test'), '450 4.7.1 ');
    const { rows } = await relay.db.query('select count(*)::integer as n from email_suppressions');
    assert.equal(rows[0].n, 1);
  });

  it('is one from the next message on, and none any more', async t => {
    const { relay, twin, cli, smarthost, start } = await startTwin(t);
    await start();
    const shown = async () => (await cli.text('keys', 'list', '--owner', 'acme')).includes('sending_access, sandbox');
    assert.ok(await shown());
    assert.match(await cli.text('keys', 'show', 'staging'), /^Sandbox: +yes/m);
    await cli.text('keys', 'set', 'staging', '--no-sandbox');
    assert.ok(!(await shown()));
    const first = await send(t, twin, 'ann@example.com');
    await untilStatus(relay.db, first, 'sent');
    assert.equal(smarthost.messages.length, 1);
    await cli.text('keys', 'set', 'staging', '--sandbox');
    // A key that is known is asked for again after nine seconds.
    await eventually(async () => {
      const id = await send(t, twin, 'bounced@resend.dev');
      return (await cli.json('emails', 'show', id)).sandbox;
    });
    assert.equal((await cli.run('keys', 'set', 'staging')).code, 2);
    await cli.text('keys', 'revoke', 'staging');
    assert.equal((await relay.db.query('select from smtp_relay_credentials')).rowCount, 0);
  });

  it('does not exist beside OpenSend, whose worker would send', async t => {
    const relay = await startRelay(t, { queue: false });
    const cli = cliFor(relay.databaseUrl);
    for (const args of [
      ['create', '--owner', 'acme', '--sandbox'],
      ['set', 'test', '--sandbox'],
    ]) {
      const { code, stderr } = await cli.run('keys', ...args);
      assert.equal(code, 2);
      assert.match(stderr, /beside OpenSend a key cannot be in sandbox: its own worker delivers/);
    }
    const { keyId } = relay.owner;
    await relay.db.query("insert into smtp_relay_credentials (api_key_id, limits, sandbox) values ($1, '{}', true)", [
      keyId,
    ]);
    const client = await SmtpClient.loggedIn(t, relay);
    await client.transact(
      { from: FROM, to: ['a@b.test'], data: messageFrom(FROM) },
      '451 4.7.0 This API key is in sandbox',
    );
    assert.equal((await relay.db.query('select from emails')).rowCount, 0);
  });
});

describe('what is played', () => {
  it('is told of after a while, in order, by whichever worker is there then', async t => {
    let simulatedDelay = 3_600_000;
    const live = (config: Config): LiveConfig => ({
      ...fixedConfig(config),
      get current() {
        return { ...config, simulatedDelay };
      },
    });
    const { relay, twin, start } = await startTwin(t, { live });
    const first = await start();
    const waiting = await send(t, twin, 'complained@resend.dev');
    await untilStatus(relay.db, waiting, 'sent');
    assert.deepEqual(await eventsOf(relay, waiting), [['sent', ['complained@resend.dev']]]);
    const { rows } = await relay.db.query(
      `select extract(epoch from due_at - now())::float8 as seconds from smtp_relay_later_events order by due_at`,
    );
    assert.equal(rows.length, 2);
    assert.ok(rows[0].seconds > 1_500 && rows[0].seconds < 5_500, `${rows[0].seconds}`);
    assert.ok(rows[1].seconds > rows[0].seconds + 1_500);
    await first.stop();
    await relay.db.query("update smtp_relay_later_events set due_at = due_at - interval '4 hours'");
    simulatedDelay = 300;
    await start();
    await untilStatus(relay.db, waiting, 'complained');
    assert.deepEqual((await eventsOf(relay, waiting)).map(([type]) => type).sort(), [
      'complained',
      'delivered',
      'sent',
    ]);
    const quick = await send(t, twin, 'complained@resend.dev');
    await untilStatus(relay.db, quick, 'complained');
    const { events } = await storyOf(relay.db, quick);
    const times = events.map(({ payload }) => Date.parse(String(payload['occurred_at'])));
    assert.ok(Number(times[1]) - Number(times[0]) >= 149, 'the answer takes half of the delay at least');
    assert.ok(Number(times[2]) - Number(times[1]) >= 149, 'and so does the complaint');
    assert.equal((await relay.db.query('select from smtp_relay_later_events')).rowCount, 0);
  });
});
