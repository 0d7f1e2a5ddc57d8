import assert from 'node:assert/strict';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { createTransport } from 'nodemailer';
import { createLogger } from '../../src/observability/log.ts';
import { createRegistry } from '../../src/observability/metrics.ts';
import { adviceOn } from '../../src/smtp/session/advice.ts';
import { createKey, revokeKey } from '../../src/store/keys/api-keys.ts';
import { blockKey } from '../../src/store/keys/blocked-keys.ts';
import { Onlookers } from '../../src/store/sessions/onlookers.ts';
import { createSessionLogMetrics, SessionLog } from '../../src/store/sessions/session-log.ts';
import { deleteOldSessions, type KeptSession, listSessions, writeSessions } from '../../src/store/sessions/sessions.ts';
import { cliFor } from '../cli/run-cli.ts';
import { createDatabase } from '../support/database.ts';
import { eventually } from '../support/eventually.ts';
import { openPool } from '../support/pool.ts';
import { startRelay, type TestRelay } from '../support/relay.ts';
import { emailIdOf, messageFrom, SmtpClient } from '../support/smtp-client.ts';

const SILENT = createLogger({ level: 'silent', format: 'json' });
const FROM = 'hello@acme.test';
const SECRET = 'os_live_ffffffffffffffffffffffffffffffff';

async function kept(relay: Pick<TestRelay, 'db'>, is: (session: KeptSession) => boolean): Promise<KeptSession> {
  const found = await eventually(async () => (await listSessions(relay.db, { limit: 1_000 })).find(is));
  return found as KeptSession;
}

const textOf = ({ lines }: KeptSession): string => lines.map(([, by, text]) => `${by} ${text}`).join('\n');

describe('a session in which something is refused', () => {
  for (const pipeline of ['standalone', 'opensend'] as const) {
    it(`is kept for its key, without its secrets and its message (${pipeline})`, async t => {
      const relay = await startRelay(t, { queue: false, settings: { pipeline } });
      const client = await SmtpClient.loggedIn(t, relay);
      await client.transact({ from: FROM, to: ['ann@example.com'], data: messageFrom(FROM) }, '250 ');
      await client.transact(
        {
          from: FROM,
          to: ['ann@example.com'],
          data: messageFrom('hello@elsewhere.test').replace(/\r\n\r\n/, '\r\nX-A: secret\r\n\r\n'),
        },
        '550 5.7.1 ',
      );
      // A client that goes on with its message, though it was told not to.
      await client.command('DATA', '503 ');
      await client.command('my password is hunter2', '500 ');
      await client.command(`VRFY ${SECRET}`, '252 ');
      await client.command('QUIT', '221 ');
      const session = await kept(relay, ({ refusals }) => refusals === 3);
      assert.equal(session.subject, relay.owner.keyId);
      assert.deepEqual([session.step, session.rule, session.clientAddress], ['session', 'syntax', '127.0.0.1']);
      const lines = textOf(session).split('\n');
      assert.equal(lines[0], '- logged in; 1 message accepted until then');
      for (const line of [
        `C MAIL FROM:<${FROM}>`,
        'C RCPT TO:<ann@example.com>',
        'C DATA',
        'S 503 5.5.1 Give MAIL and RCPT first',
        'C (22 bytes that are no command)',
        'C VRFY (hidden)',
        'C QUIT',
      ]) {
        assert.ok(lines.includes(line), `${line} in ${lines.join('\n')}`);
      }
      assert.match(
        textOf(session),
        /^- a message of \d+ bytes\nS 550 5\.7\.1 This API key may only send from acme\.test/m,
      );
      const stored = JSON.stringify((await relay.db.query('select * from smtp_relay_sessions')).rows);
      for (const secret of ['hunter2', SECRET, relay.owner.apiKey, 'X-A', 'os_live_'])
        assert.ok(!stored.includes(secret));
    });
  }

  it('is shown under the address where nobody has logged in, with what to change', async t => {
    const relay = await startRelay(t, { queue: false });
    const cli = cliFor(relay.databaseUrl);
    const { host, port, ca } = relay;
    const mailer = (tls: object, pass: string) =>
      createTransport({ host, port, requireTLS: true, tls, auth: { user: 'apikey', pass } });
    const message = { from: FROM, to: 'ann@example.com', text: 'Hello' };
    await assert.rejects(mailer({ ca, servername: 'localhost' }, SECRET).sendMail(message), { responseCode: 535 });
    await kept(relay, ({ rule }) => rule === 'auth');
    const shown = await cli.text('sessions', 'show', '--client', '127.0.0.1');
    assert.match(shown, /^Key: +none: it has not logged in$/m);
    assert.match(shown, /^Why: +The password is no valid API key/m);
    assert.match(shown, /^Change: +Give an API key as the password/m);
    assert.match(shown, /C {2}EHLO .*\n.*S {2}250-relay\.test/);
    assert.match(shown, /C {2}AUTH PLAIN \(hidden\)\n.*S {2}535 5\.7\.8 Authentication failed/);
    assert.ok(!shown.includes(Buffer.from(SECRET).toString('base64').slice(0, 20)));

    await assert.rejects(mailer({}, relay.owner.apiKey).sendMail(message));
    const untrusted = await kept(relay, ({ rule }) => rule.startsWith('tls_'));
    assert.match(adviceOn(untrusted.rule).change, /name that is in the certificate/);

    const unsecured = await SmtpClient.greeted(t, relay);
    const told = await unsecured.command(`MAIL FROM:<${FROM}>`, '530 ');
    const { why, change, reply } = await eventually(async () => {
      const newest = await cli.json('sessions', 'show', '--client', '127.0.0.1');
      return newest.rule === 'login_required' && newest;
    });
    assert.equal(reply, told.last, 'as the client saw it');
    assert.match(`${why} ${change}`, /without logging in\. Set user name and password/);
    const listed = await cli.json('sessions', 'list');
    assert.equal(listed.length, 3);
    assert.equal((await cli.run('sessions', 'show', 'unknown')).code, 1);
    assert.equal((await cli.run('sessions', 'show')).code, 2);
  });

  it('hides what LOGIN answers, and what comes as a command by mistake', async t => {
    const relay = await startRelay(t, { queue: false });
    const client = await SmtpClient.secured(t, relay);
    await client.command('AUTH LOGIN', '334 ');
    await client.command(Buffer.from('apikey').toString('base64'), '334 ');
    await client.command(Buffer.from(SECRET).toString('base64'), '535 ');
    await client.command(`AUTH ${SECRET}`, '504 ');
    await client.command(`EHLO ${SECRET}`, '250 ');
    await client.command(SECRET, '500 ');
    const session = await kept(relay, ({ refusals }) => refusals === 3);
    assert.match(textOf(session), /C AUTH LOGIN\nS 334 .*\nC \(hidden\)\nS 334 .*\nC \(hidden\)\nS 535/);
    assert.ok(!textOf(session).includes('os_live_f'));
    assert.ok(!textOf(session).includes(Buffer.from(SECRET).toString('base64')));
  });

  it('is written while it goes on, and has the beginning and the end of what is long', async t => {
    const relay = await startRelay(t, { queue: false });
    const client = await SmtpClient.loggedIn(t, relay);
    for (let nth = 0; nth < 200; nth += 1) await client.command('MAIL FROM:<nobody', '501 ');
    await client.command(`MAIL FROM:<${FROM}>`, '250 ');
    await client.command('RCPT TO:<nobody', '501 ');
    const session = await kept(relay, ({ refusals }) => refusals === 201);
    assert.ok(session.lines.length <= 121);
    assert.match(textOf(session), /^- \d+ lines left out$/m);
    assert.match(textOf(session), /RCPT TO:<nobody\nS 501 5\.1\.3 /);
  });

  it('is one only where something was: what goes well, or is idle, leaves nothing', async t => {
    const relay = await startRelay(t, { queue: false, settings: { 'limits.idleTimeout': 500 } });
    const well = await SmtpClient.loggedIn(t, relay);
    emailIdOf(await well.transact({ from: FROM, to: ['a@example.com'], data: messageFrom(FROM) }, '250 '));
    await well.expect('421 4.4.2 ');
    await well.closed;
    const ill = await SmtpClient.loggedIn(t, relay);
    await ill.command('RCPT TO:<a@example.com>', '503 ');
    await kept(relay, ({ rule }) => rule === 'order');
    assert.equal((await listSessions(relay.db, { limit: 10 })).length, 1);
  });

  it('is not kept where that is switched off', async t => {
    const relay = await startRelay(t, { queue: false, settings: { 'sessions.kept': 0 } });
    const client = await SmtpClient.loggedIn(t, relay);
    await client.command('RCPT TO:<a@example.com>', '503 ');
    await relay.stop();
    assert.deepEqual(await listSessions(relay.db, { limit: 10 }), []);
  });
});

function session(id: string, subject: string, lastAt = new Date()): KeptSession {
  const text = { step: 'MAIL', rule: 'syntax', reply: '501 no', refusals: 1, lines: [[0, 'C', 'MAIL']] as const };
  return { id, subject, clientAddress: '192.0.2.1', pod: 'a', beganAt: lastAt, lastAt, ...text };
}

async function database(t: { after(fn: () => Promise<void>): void }) {
  const db = openPool(await createDatabase(t), 2);
  t.after(() => db.end());
  return db;
}

describe('the sessions that are kept', () => {
  it('are 200 of one subject, the newest, and go after their time', async t => {
    const db = await database(t);
    const ago = (minutes: number) => new Date(Date.now() - minutes * 60_000);
    const many = Array.from({ length: 150 }, (_, nth) => session(`first-${nth}`, 'one', ago(100 + nth)));
    await writeSessions(db, many);
    await writeSessions(db, [session('other', 'two', ago(2_000))]);
    await writeSessions(
      db,
      Array.from({ length: 100 }, (_, nth) => session(`next-${nth}`, 'one', ago(nth / 10))),
    );
    const left = await listSessions(db, { subject: 'one', limit: 1_000 });
    assert.equal(left.length, 200);
    assert.equal(left.filter(({ id }) => id.startsWith('next')).length, 100);
    assert.equal(left.at(-1)?.id, 'first-99');
    await deleteOldSessions(db, 24 * 3_600_000);
    assert.deepEqual(await listSessions(db, { subject: 'two', limit: 10 }), []);
    await writeSessions(db, [{ ...session('next-0', 'key', new Date()), refusals: 7 }]);
    const [again] = await listSessions(db, { limit: 1 });
    assert.deepEqual([again?.subject, again?.refusals], ['key', 7]);
  });

  it('are dropped where they are too many, of one who fails all the time first, and nobody waits', async () => {
    const metrics = createSessionLogMetrics(createRegistry());
    const written: string[] = [];
    let fails = false;
    const log = new SessionLog({
      async write(sessions) {
        if (fails) throw new Error('away');
        written.push(...sessions.map(({ subject }) => subject));
      },
      period: () => 1,
      pod: 'a',
      onlookers: new Onlookers({ find: async () => [], write: async () => {}, pod: 'a', logger: SILENT }),
      metrics,
      logger: SILENT,
    });
    const offer = (subject: string, nth: number) => {
      const id = `${subject}-${nth}`;
      log.offer({ id, subject, snapshot: () => session(id, subject) });
    };
    for (let nth = 0; nth < 100; nth += 1) offer('loud', nth);
    for (let nth = 0; nth < 3; nth += 1) offer('quiet', nth);
    await log.flush();
    assert.deepEqual(written, [...Array(5).fill('loud'), ...Array(3).fill('quiet')]);
    for (let nth = 0; nth < 100; nth += 1) offer(`many-${nth}`, nth);
    await log.flush();
    assert.equal(written.length, 58);
    fails = true;
    offer('lost', 1);
    await log.flush();
    const counts = (await metrics.sessions.get()).values.map(({ labels, value }) => [labels.result, value]);
    assert.deepEqual(counts, [
      ['kept', 58],
      ['dropped', 145],
      ['failed', 1],
    ]);
  });
});

it('every rule that refuses has its advice, or a text that says what to change', async () => {
  const root = fileURLToPath(new URL('../../src', import.meta.url));
  const files = (await readdir(root, { recursive: true })).filter(name => name.endsWith('.ts'));
  const sources = await Promise.all(files.map(name => readFile(join(root, name), 'utf8')));
  const rules = new Set(
    sources.flatMap(text => [...text.matchAll(/(?:rule: |\b\w+Refusal\()'([a-z_]+)'/g)].map(([, rule = '']) => rule)),
  );
  assert.ok(rules.size > 50, `${rules.size}`);
  const ofMessage = [...rules].filter(rule => adviceOn(rule) === adviceOn('no such rule'));
  const texts = `address_syntax content_field_syntax control_header empty_multipart encoded_address field_length from_ambiguous
    from_missing header_size header_twice line_length list_unsubscribe_length mime_depth mime_parts no_recipient nul
    recipient_syntax reply_to_syntax transfer_encoding`;
  assert.deepEqual(ofMessage.sort(), texts.split(/\s+/));
});

it('a key that is known by its name shows its sessions', async t => {
  const relay = await startRelay(t, { queue: false, settings: { pipeline: 'standalone' } });
  const { key } = await createKey(relay.db, { owner: 'acme', name: 'shop' });
  const client = await SmtpClient.secured(t, relay);
  await client.logIn(key);
  await client.command('RCPT TO:<a@example.com>', '503 ');
  const cli = cliFor(relay.databaseUrl);
  await eventually(async () => (await cli.json('sessions', 'list', '--key', 'shop')).length === 1);
  assert.match(await cli.text('sessions', 'show', '--key', 'shop'), /^Why: +A command came out of its order/m);
});

describe('a key that was revoked', () => {
  it('shows why its client is refused, where it is blocked', async t => {
    const relay = await startRelay(t, { queue: false, settings: { pipeline: 'standalone' } });
    const { key } = await createKey(relay.db, { owner: 'acme', name: 'shop' });
    await blockKey(relay.db, 'shop');
    await (await SmtpClient.secured(t, relay)).logIn(key, '535 5.7.8 ');
    await (await SmtpClient.secured(t, relay)).logIn(`${key}x`, '535 5.7.8 ');
    const cli = cliFor(relay.databaseUrl);
    await eventually(async () => (await cli.json('sessions', 'list')).length === 2);
    const [session, ...others] = await cli.json('sessions', 'list', '--key', 'shop');
    assert.deepEqual([session.rule, others], ['auth', []]);
    assert.match(await cli.text('sessions', 'show', '--key', key), /^Why: .* blocked/m);
  });

  it('shows by its id what is left of it, where its row is gone', async t => {
    const relay = await startRelay(t, { queue: false, settings: { pipeline: 'standalone' } });
    const { id, key } = await createKey(relay.db, { owner: 'acme', name: 'shop' });
    const client = await SmtpClient.secured(t, relay);
    await client.logIn(key);
    await client.command('RCPT TO:<a@example.com>', '503 ');
    await revokeKey(relay.db, 'shop');
    const cli = cliFor(relay.databaseUrl);
    await eventually(async () => (await cli.run('sessions', 'list', '--key', id)).code === 0);
    await (await SmtpClient.secured(t, relay)).logIn('wrong', '535 5.7.8 ');
    await eventually(async () => (await cli.json('sessions', 'list', '--client', '127.0.0.1')).length === 2);
    assert.equal((await cli.run('sessions', 'list', '--key', '127.0.0.1')).code, 1, 'an address is no key');
    const { code, stderr } = await cli.run('sessions', 'list', '--key', 'shop');
    assert.equal(code, 1);
    assert.match(
      stderr,
      /no key has .*; sessions of a revoked one are found by its id, or by --client; see: smtp-relay keys list$/m,
    );
  });
});
