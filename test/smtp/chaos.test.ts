import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import { createTransport } from 'nodemailer';
import { createRegistry } from '../../src/observability/metrics.ts';
import { createSmtpMetrics } from '../../src/smtp/metrics.ts';
import { KeyChaos } from '../../src/smtp/session/chaos.ts';
import { findByHash, hashKey } from '../../src/store/keys/api-keys.ts';
import { setChaos } from '../../src/store/keys/chaos.ts';
import type { Chaos } from '../../src/store/keys/chaos-settings.ts';
import { cliFor } from '../cli/run-cli.ts';
import { eventually } from '../support/eventually.ts';
import { startRelay } from '../support/relay.ts';
import { messageFrom, SmtpClient } from '../support/smtp-client.ts';

const FROM = 'hello@acme.test';
const message = { from: FROM, to: ['ann@example.com'], data: messageFrom(FROM) };

/** A relay whose key `staging` is in sandbox, and has things go wrong from the beginning. */
async function startChaos(t: TestContext, chaos: Chaos, settings: object = {}) {
  const relay = await startRelay(t, {
    queue: false,
    owner: { userId: 'acme', keyDomain: null },
    settings: { pipeline: 'standalone', transport: 'capture', ...settings },
  });
  const cli = cliFor(relay.databaseUrl);
  const { key } = await cli.json('keys', 'create', '--owner', 'acme', '--name', 'staging', '--sandbox');
  await setChaos(relay.db, 'staging', chaos, null);
  const twin = { ...relay, owner: { ...relay.owner, apiKey: key } };
  const stored = async () => (await relay.db.query('select from emails')).rowCount;
  return { relay, twin, cli, key, stored };
}

const always = (stage: NonNullable<Chaos['replies']>[number]['stage'], code: 421 | 450 | 451 | 550): Chaos => ({
  replies: [{ stage, code, percent: 100 }],
});

describe('chaos of a key in sandbox', () => {
  for (const [code, reply] of [
    [421, '421 4.3.2'],
    [450, '450 4.2.0'],
    [451, '451 4.3.0'],
    [550, '550 5.7.1'],
  ] as const) {
    it(`refuses connections with ${code} in place of the greeting, of addresses that the key has logged in from`, async t => {
      const { twin, key } = await startChaos(t, always('connect', code));
      // Nobody knows the address as yet.
      const first = await SmtpClient.secured(t, twin);
      await first.logIn(key);
      await first.transact(message, '250 ');
      const refused = async () => {
        const client = await SmtpClient.connect(t, twin);
        await client.expect(
          `${reply} Chaos: the API key that logs in from here is in sandbox, and 100 % are told so here`,
        );
        await client.closed;
      };
      await refused();
      // Never two in a row.
      await SmtpClient.greeted(t, twin);
      await refused();
      await first.transact(message, '250 ');
      await setChaos(twin.db, 'staging', null, null);
      let inARow = 0;
      await eventually(async () => {
        const { code: greeting } = await (await SmtpClient.connect(t, twin)).reply();
        inARow = greeting === 220 ? inARow + 1 : 0;
        return inARow === 5;
      });
    });
  }

  it('leaves connections alone of an address that another key sends from, too', async t => {
    const { relay, key } = await startChaos(t, always('connect', 421));
    const staging = await SmtpClient.secured(t, relay);
    await staging.logIn(key);
    await (await SmtpClient.connect(t, relay)).expect('421 ');
    // Another program at the same address gets in at its next try, and spoils it.
    await SmtpClient.loggedIn(t, relay);
    await staging.transact(message, '250 ');
    const again = await SmtpClient.secured(t, relay);
    await again.logIn(key);
    for (let nth = 0; nth < 5; nth += 1) await SmtpClient.loggedIn(t, relay);
  });

  it('refuses at AUTH, with which a 421 ends the connection', async t => {
    const { twin, key } = await startChaos(t, always('AUTH', 421));
    const client = await SmtpClient.secured(t, twin);
    await client.logIn(key, '421 4.3.2 Chaos: this API key is in sandbox, and 100 % are told so here');
    await client.closed;
  });

  it('refuses at MAIL, RCPT and DATA, and the session goes on', async t => {
    const { twin, stored } = await startChaos(t, {
      replies: [
        { stage: 'RCPT', code: 450, percent: 100 },
        { stage: 'DATA', code: 451, percent: 100 },
      ],
    });
    const client = await SmtpClient.loggedIn(t, twin);
    await client.command(`MAIL FROM:<${FROM}>`, '250 ');
    await client.command('RCPT TO:<ann@example.com>', '450 4.2.0 Chaos: ');
    await client.command('DATA', '503 ');
    await setChaos(twin.db, 'staging', always('DATA', 451), null);
    await eventually(async () => {
      await client.command('RSET', '250 ');
      await client.command(`MAIL FROM:<${FROM}>`, '250 ');
      return (await client.command('RCPT TO:<ann@example.com>', '')).code === 250;
    });
    await client.command('DATA', '451 4.3.0 Chaos: ');
    assert.equal(await stored(), 0);
  });

  it('refuses a message after the dot, and stores nothing', async t => {
    const { relay, twin, stored } = await startChaos(t, always('message', 550));
    const { host, port, ca } = twin;
    const tls = { ca, servername: 'localhost' };
    const mailer = createTransport({
      host,
      port,
      requireTLS: true,
      tls,
      auth: { user: 'apikey', pass: twin.owner.apiKey },
    });
    t.after(() => mailer.close());
    const sent = mailer.sendMail({ from: FROM, to: 'ann@example.com', text: 'Hello' });
    await assert.rejects(sent, { responseCode: 550, response: /^550 5\.7\.1 Chaos: this API key is in sandbox/ });
    assert.equal(await stored(), 0);
    // That of other keys goes on.
    const other = await SmtpClient.loggedIn(t, relay);
    await other.transact(message, '250 ');
    assert.equal(await stored(), 1);
  });

  it('limits the rate over all pods, and says that it is chaos', async t => {
    const { twin, stored } = await startChaos(t, { messagesPerMinute: 2 });
    const client = await SmtpClient.loggedIn(t, twin);
    for (let nth = 0; nth < 2; nth += 1) await client.transact(message, '250 ');
    const reply = await client.command(`MAIL FROM:<${FROM}>`, '');
    if (reply.code === 250) {
      await client.command('RSET', '250 ');
      await client.transact(message, '450 4.7.1 Chaos: this API key may send 2 messages a minute');
    } else {
      assert.match(reply.last, /^450 4\.7\.1 Chaos: this API key may send 2 messages a minute: try again in \d+ s$/);
    }
    assert.equal(await stored(), 2);
  });

  it('cuts the connection in the middle of DATA, whatever came of it, and stores nothing', async t => {
    const { twin, stored, cli } = await startChaos(t, { cutPercent: 100 });
    for (const data of [messageFrom(FROM), messageFrom(FROM, { body: 'x'.repeat(100_000) })]) {
      const client = await SmtpClient.loggedIn(t, twin);
      await client.command(`MAIL FROM:<${FROM}>`, '250 ');
      await client.command('RCPT TO:<ann@example.com>', '250 ');
      await client.command('DATA', '354 ');
      client.socket.write(`${data}\r\n.\r\n`);
      await client.closed;
      assert.equal(client.unread, '');
    }
    assert.equal(await stored(), 0);
    await eventually(async () => (await cli.json('sessions', 'list', '--key', 'staging')).length === 2);
    assert.match(await cli.text('sessions', 'show', '--key', 'staging'), /^Why: +The key is in sandbox, and set to/m);
  });

  it('says 250 after the client has given up, and the message is stored', async t => {
    const { twin, stored } = await startChaos(t, { late: { percent: 100, seconds: 600 } });
    const { host, port, ca } = twin;
    const tls = { ca, servername: 'localhost' };
    const auth = { user: 'apikey', pass: twin.owner.apiKey };
    const mailer = createTransport({ host, port, requireTLS: true, tls, auth, socketTimeout: 3_000 });
    t.after(() => mailer.close());
    await assert.rejects(mailer.sendMail({ from: FROM, to: 'ann@example.com', text: 'Hello' }), { code: 'ETIMEDOUT' });
    assert.equal(await stored(), 1);
    // Nobody waits for the 250 any more, and neither does the end of the relay.
    await twin.stop();
  });

  it('lets replies take long', async t => {
    const { twin } = await startChaos(t, { slowSeconds: 1 });
    const client = await SmtpClient.secured(t, twin);
    const began = performance.now();
    await client.logIn(twin.owner.apiKey);
    await client.transact(message, '250 ');
    // AUTH, MAIL, RCPT, DATA and the message; timers fire a little early.
    assert.ok(performance.now() - began > 4_990);
  });

  it('ends by itself, and with the sandbox', async t => {
    const { relay, cli, key } = await startChaos(t, always('MAIL', 451));
    const found = async () => (await findByHash(relay.db, hashKey(key)))?.chaos;
    assert.deepEqual(await found(), always('MAIL', 451));
    assert.match(
      await cli.text('keys', 'show', 'staging'),
      /^Chaos: +100 % get 451 to MAIL; until it is switched off$/m,
    );
    const shown = await cli.text('keys', 'chaos', 'staging', '--late', '90s:10', '--cut', '5', '--for', '1h');
    assert.match(shown, /5 % of connections are cut in the middle of DATA; 10 % of the 250s come 90 s late; until 20/);
    assert.deepEqual(await found(), { cutPercent: 5, late: { percent: 10, seconds: 90 } });
    assert.match(
      await cli.text('keys', 'chaos', 'staging', '--fail', 'connect=421:5', '--for', '1h'),
      /5 % get 421 when they connect, from where keys in sandbox alone have logged in for a day; until 20/,
    );
    await relay.db.query("update smtp_relay_credentials set chaos_until = now() - interval '1 second'");
    assert.equal(await found(), undefined);
    assert.match(await cli.text('keys', 'chaos', 'staging'), /: nothing goes wrong on purpose\.$/m);
    await cli.text(
      'keys',
      'chaos',
      'staging',
      '--fail',
      'rcpt=450:20',
      '--fail',
      'message=550',
      '--rate',
      '10',
      '--slow',
      '2s',
    );
    assert.deepEqual(await found(), {
      replies: [
        { stage: 'RCPT', code: 450, percent: 20 },
        { stage: 'message', code: 550, percent: 100 },
      ],
      slowSeconds: 2,
      messagesPerMinute: 10,
    });
    await cli.text('keys', 'chaos', 'staging', '--off');
    assert.equal(await found(), undefined);
    await setChaos(relay.db, 'staging', always('MAIL', 451), null);
    await cli.text('keys', 'set', 'staging', '--no-sandbox');
    assert.equal(await found(), undefined);
    await cli.text('keys', 'set', 'staging', '--sandbox');
    assert.equal(await found(), undefined, 'it does not come back with the sandbox');
  });

  it('is for keys in sandbox alone', async t => {
    const { relay, cli } = await startChaos(t, {});
    const { code, stderr } = await cli.run('keys', 'chaos', 'test', '--fail', 'MAIL=451');
    assert.equal(code, 1);
    assert.match(stderr, /the key is not in sandbox, and nothing goes wrong on purpose for one that is not/);
    // Whatever the table says.
    await relay.db.query(
      `insert into smtp_relay_credentials (api_key_id, limits, chaos)
       values ($1, '{}', '{"replies": [{"stage": "MAIL", "code": 451, "percent": 100}]}')`,
      [relay.owner.keyId],
    );
    const client = await SmtpClient.loggedIn(t, relay);
    await client.transact(message, '250 ');
    for (const args of [
      ['--fail', 'MAIL=452'],
      ['--fail', 'QUIT=451'],
      ['--fail', 'MAIL=451:101'],
      ['--fail', 'MAIL=451:60', '--fail', 'MAIL=550:41'],
      ['--slow', '11m'],
      ['--late', '2h'],
      ['--for', '1h'],
      ['--off', '--cut', '5'],
    ]) {
      assert.equal((await cli.run('keys', 'chaos', 'staging', ...args)).code, 2, args.join(' '));
    }
  });
});

it('the shares of one stage are drawn once', async () => {
  const drawn = { now: 0 };
  const chaos = new KeyChaos(createSmtpMetrics(createRegistry()), () => drawn.now);
  chaos.use({
    chaos: {
      replies: [
        { stage: 'MAIL', code: 421, percent: 10 },
        { stage: 'RCPT', code: 550, percent: 90 },
        { stage: 'MAIL', code: 450, percent: 20 },
      ],
    },
  });
  const codeAt = (share: number) => {
    drawn.now = share;
    return chaos.refusalOf('MAIL')?.code ?? null;
  };
  assert.deepEqual([0, 0.09, 0.1, 0.29, 0.3, 0.99].map(codeAt), [421, 421, 450, 450, null, null]);
  chaos.use({});
  assert.equal(codeAt(0), null);
});
