import assert from 'node:assert/strict';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { freePort } from '../../dev/ports.ts';
import { type SettingName, settings } from '../../src/config/schema.ts';
import { CLICK_PATH, createTokens } from '../../src/tracking/token.ts';
import { ChangeableConfig, type Values } from '../support/changeable.ts';
import { eventually } from '../support/eventually.ts';
import { earlyInMinute } from '../support/minute.ts';
import { startRelay, type TestRelay } from '../support/relay.ts';
import { base64, emailIdOf, messageFrom, SmtpClient } from '../support/smtp-client.ts';
import { storeMessage } from '../support/stored.ts';
import { startWorker } from '../support/worker.ts';

/** What shows that a new value is in force, tried before and after the change; `wanted` tells it how long to wait. */
type Probe = (client: SmtpClient, relay: TestRelay, t: TestContext, wanted: unknown) => Promise<unknown>;

interface Case {
  readonly values: Values | ((relay: TestRelay) => Values);
  readonly probe: Probe;
  readonly before: unknown;
  readonly after: unknown;
}

const FROM = 'a@acme.test';
const TWO_PARTS = [
  `From: ${FROM}\r\nSubject: x\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n`,
  '--b\r\nContent-Type: text/plain\r\n\r\nHi\r\n',
  '--b\r\nContent-Type: application/pdf\r\nContent-Disposition: attachment; filename=a.pdf\r\n',
  'Content-Transfer-Encoding: base64\r\n\r\naGVsbG8gd29ybGQsIGhlbGxvIHdvcmxkIQ==\r\n--b--\r\n',
].join('');

/** The code of the last reply to a message. */
const sends =
  (data: string, { from = FROM, to = ['b@example.com'] } = {}): Probe =>
  async client =>
    replyTo(client, data, from, to);

async function replyTo(client: SmtpClient, data: string, from: string, to: readonly string[]): Promise<number> {
  const lines = [`MAIL FROM:<${from}>`, ...to.map(recipient => `RCPT TO:<${recipient}>`), 'DATA'];
  for (const line of lines) {
    client.socket.write(`${line}\r\n`);
    const { code } = await client.reply();
    if (code >= 400) {
      await client.command('RSET', '250 ');
      return code;
    }
  }
  client.socket.write(`${data}\r\n.\r\n`);
  return (await client.reply()).code;
}

/** Milliseconds; and how long to wait to see that something lasts longer. */
const [SHORT, LONGER] = [1_500, 2_500];

type Opens = (t: TestContext, relay: TestRelay) => Promise<SmtpClient>;

/** What becomes of a connection that is opened now and stays silent: the code that it ends by, null while it is open. */
const endsBy =
  (open: Opens): Probe =>
  async (_client, relay, t, wanted) => {
    const client = await open(t, relay);
    const reply = await (wanted === null ? client.reply(LONGER).catch(() => null) : client.reply());
    client.destroy();
    return reply?.code ?? null;
  };

const opensData: Opens = async (t, relay) => {
  const client = await SmtpClient.loggedIn(t, relay);
  await openData(client);
  return client;
};

/** The code that another log-in gets, beside the one that is there. */
const secondLogin: Probe = async (_client, relay, t) => {
  const client = await SmtpClient.connect(t, relay);
  const { code } = await client.reply();
  if (code !== 220) return code;
  await client.command('EHLO client.test', '250 ');
  await client.startTls();
  await client.command('EHLO client.test', '250 ');
  client.socket.write(`AUTH PLAIN ${base64(`\0apikey\0${relay.owner.apiKey}`)}\r\n`);
  const reply = await client.reply();
  client.destroy();
  return reply.code;
};

/** The codes of two messages, one after the other. */
const sendsTwo: Probe = async client => {
  await earlyInMinute();
  const first = await replyTo(client, mail, FROM, ['b@example.com']);
  return [first === 250 || first === 450, await replyTo(client, mail, FROM, ['b@example.com'])];
};

/** The code of a message beside one of the same key that is under way and has 990 bytes. */
const sendsBeside: Probe = async (client, relay, t) => {
  const other = await SmtpClient.loggedIn(t, relay);
  await openData(other);
  await other.send(`${mail}\r\n${'x'.repeat(988 - mail.length)}`);
  const code = await replyTo(client, mail, FROM, ['b@example.com']);
  other.destroy();
  return code;
};

async function openData(client: SmtpClient): Promise<void> {
  await client.command(`MAIL FROM:<${FROM}>`, '250 ');
  await client.command('RCPT TO:<b@example.com>', '250 ');
  await client.command('DATA', '354 ');
}

const mail = messageFrom(FROM);

const CASES: Partial<Record<SettingName, Case>> = {
  recipients: {
    values: { recipients: 'headers' },
    probe: async (client, { db }) => {
      await client.transact({ from: FROM, to: ['b@example.com'], data: mail }, '250 ');
      const { rows } = await db.query('select bcc from emails order by created_at desc limit 1');
      return rows[0].bcc;
    },
    before: ['b@example.com'],
    after: null,
  },
  suppression: {
    values: { suppression: 'recipient' },
    probe: async client => {
      await client.command(`MAIL FROM:<${FROM}>`, '250 ');
      client.socket.write('RCPT TO:<gone@example.com>\r\n');
      const { code } = await client.reply();
      await client.command('RSET', '250 ');
      return code;
    },
    before: 250,
    after: 550,
  },
  senderDomains: {
    values: { senderDomains: 'owned' },
    probe: sends(messageFrom('a@elsewhere.test'), { from: 'a@elsewhere.test' }),
    before: 250,
    after: 550,
  },
  bareLineEndings: {
    values: { bareLineEndings: 'accept' },
    probe: sends(`${mail}\none more`),
    before: 550,
    after: 250,
  },
  maxMessageSizeBytes: {
    values: { maxMessageSizeBytes: 1_000 },
    probe: async client => {
      const { lines } = await client.command('EHLO client.test', '250 ');
      const size = lines.find(line => line.startsWith('SIZE'));
      return [size, await replyTo(client, messageFrom(FROM, { body: 'x'.repeat(990) }), FROM, ['b@example.com'])];
    },
    before: ['SIZE 47185920', 250],
    after: ['SIZE 1000', 552],
  },
  routes: {
    values: { routes: [{ domains: ['acme.test'], transport: 'smtp', smtp: { host: 'mail.test' } }] },
    probe: async client => {
      client.socket.write('MAIL FROM:<ä@acme.test> SMTPUTF8\r\n');
      const { code } = await client.reply();
      await client.command('RSET', '250 ');
      return code;
    },
    before: 553,
    after: 250,
  },
  'limits.recipients': {
    values: { 'limits.recipients': 1 },
    probe: sends(mail, { to: ['b@example.com', 'c@example.com'] }),
    before: 250,
    after: 452,
  },
  'limits.attachmentBytes': {
    values: { 'limits.attachmentBytes': 10 },
    probe: sends(TWO_PARTS),
    before: 250,
    after: 552,
  },
  'limits.mimeParts': { values: { 'limits.mimeParts': 1 }, probe: sends(TWO_PARTS), before: 250, after: 554 },
  'limits.mimeDepth': {
    values: { 'limits.mimeDepth': 1 },
    probe: sends(
      TWO_PARTS.replace('text/plain\r\n\r\nHi', 'multipart/mixed; boundary=c\r\n\r\n--c\r\n\r\nHi\r\n--c--'),
    ),
    before: 250,
    after: 554,
  },
  'limits.headerBytes': {
    values: { 'limits.headerBytes': 100 },
    probe: sends(`X-Long: ${'x'.repeat(200)}\r\n${mail}`),
    before: 250,
    after: 552,
  },
  'limits.bytesInFlight': {
    values: { 'limits.bytesInFlight': 1_000 },
    probe: sendsBeside,
    before: 250,
    after: 452,
  },
  'limits.bytesShare': {
    // A share that is smaller than one message is as large as that.
    values: { 'limits.bytesShare': 1, 'limits.bytesInFlight': 100_000, maxMessageSizeBytes: 1_000 },
    probe: sendsBeside,
    before: 250,
    after: 452,
  },
  'limits.connections': {
    values: { 'limits.connections': 1 },
    probe: async (_client, relay, t) => {
      const client = await SmtpClient.connect(t, relay);
      const { code } = await client.reply();
      client.destroy();
      return code;
    },
    before: 220,
    after: 421,
  },
  'limits.failedLogins': {
    values: { 'limits.failedLogins': 1 },
    probe: async (_client, relay, t) => {
      const client = await SmtpClient.secured(t, relay);
      await client.logIn('wrong', '535 ');
      client.socket.write(`AUTH PLAIN ${base64('\0apikey\0wrong')}\r\n`);
      const { code } = await client.reply();
      client.destroy();
      return code;
    },
    before: 535,
    after: 421,
  },
  'limits.connectionsPerAddress': {
    values: { 'limits.connectionsPerAddress': 1 },
    probe: secondLogin,
    before: 235,
    after: 421,
  },
  'limits.addressShare': {
    values: { 'limits.addressShare': 1, 'limits.connections': 100 },
    // One that has not logged in is there before.
    probe: async (client, relay, t, wanted) => {
      const stranger = await eventually(() => SmtpClient.greeted(t, relay));
      const code = await secondLogin(client, relay, t, wanted);
      stranger.destroy();
      return code;
    },
    before: 235,
    after: 421,
  },
  'limits.sessionsPerKey': { values: { 'limits.sessionsPerKey': 1 }, probe: secondLogin, before: 235, after: 421 },
  'limits.keyShare': {
    values: { 'limits.keyShare': 1, 'limits.connections': 100 },
    probe: secondLogin,
    before: 235,
    after: 421,
  },
  'limits.messagesPerMinute': {
    values: { 'limits.messagesPerMinute': 1 },
    probe: sendsTwo,
    before: [true, 250],
    after: [true, 450],
  },
  'limits.recipientsPerMinute': {
    values: { 'limits.recipientsPerMinute': 1 },
    probe: sendsTwo,
    before: [true, 250],
    after: [true, 450],
  },
  'limits.messagesPerDay': {
    values: { 'limits.messagesPerDay': 1 },
    probe: sendsTwo,
    before: [true, 250],
    after: [true, 450],
  },
  'limits.recipientsPerDay': {
    values: { 'limits.recipientsPerDay': 1 },
    probe: sendsTwo,
    before: [true, 250],
    after: [true, 450],
  },
  recipientAllowList: {
    values: { recipientAllowList: ['acme.test'] },
    probe: sends(mail),
    before: 250,
    after: 550,
  },
  trustedNetworks: {
    values: ({ owner }) => ({ trustedNetworks: [{ network: '127.0.0.0/8', keyId: owner.keyId }] }),
    probe: async (_client, relay, t) => {
      const client = await SmtpClient.greeted(t, relay);
      client.socket.write(`MAIL FROM:<${FROM}>\r\n`);
      const { code } = await client.reply();
      client.destroy();
      return code;
    },
    before: 530,
    after: 250,
  },
  'limits.sessionTimeout': {
    values: { 'limits.sessionTimeout': 1 },
    probe: async (_client, relay, t) => {
      const client = await SmtpClient.connect(t, relay);
      await client.expect('220 ');
      await sleep(20);
      client.socket.write('EHLO client.test\r\n');
      const { code } = await client.reply();
      client.destroy();
      return code;
    },
    before: 250,
    after: 421,
  },
};

/** Those that take their time to show; each on a relay of its own, side by side. */
const TIMES: Partial<Record<SettingName, Case>> = {
  'limits.dataRate': {
    values: { 'limits.dataRate': 1_000_000, 'limits.dataGrace': SHORT },
    probe: endsBy(opensData),
    before: null,
    after: 421,
  },
  'limits.dataTimeout': { values: { 'limits.dataTimeout': SHORT }, probe: endsBy(opensData), before: null, after: 421 },
  'limits.idleTimeout': {
    values: { 'limits.idleTimeout': SHORT },
    probe: endsBy(SmtpClient.loggedIn),
    before: null,
    after: 421,
  },
  'limits.loginTimeout': {
    values: { 'limits.loginTimeout': SHORT },
    probe: endsBy(SmtpClient.greeted),
    before: null,
    after: 421,
  },
};

const OPTIONS = {
  queue: false,
  owner: { keyDomain: null },
  settings: { pipeline: 'standalone', senderDomains: 'any' },
} as const;

async function showsChange(t: TestContext, relay: TestRelay, config: ChangeableConfig, shown: Case): Promise<void> {
  // Open all the time: what counts for messages counts for those of this connection, too.
  const client = await SmtpClient.loggedIn(t, relay);
  const { probe, values } = shown;
  const changed = typeof values === 'function' ? values(relay) : values;
  const former = Object.fromEntries(Object.keys(changed).map(key => [key, settingIn(relay, key)]));
  const shows = async (wanted: unknown): Promise<void> => {
    assert.deepEqual(await probe(client, relay, t, wanted), wanted);
  };
  await shows(shown.before);
  config.change(changed);
  await shows(shown.after);
  config.change(former);
  await shows(shown.before);
  client.destroy();
}

describe('a time that is reloadable is in force at once, and again as it was', { concurrency: true }, () => {
  for (const [name, shown] of Object.entries(TIMES)) {
    it(name, async t => {
      const config = new ChangeableConfig();
      await showsChange(t, await startRelay(t, { ...OPTIONS, live: config.live }), config, shown);
    });
  }
});

describe('a setting that is reloadable is in force at once, and again as it was', () => {
  const config = new ChangeableConfig();
  const ends: (() => Promise<void>)[] = [];
  let relay: TestRelay;

  before(async () => {
    const context = { after: (end: () => Promise<void>) => void ends.push(end) };
    relay = await startRelay(context, { ...OPTIONS, live: config.live });
    await relay.db.query('insert into email_suppressions (user_id, email, reason) values ($1, $2, $3)', [
      relay.owner.userId,
      'gone@example.com',
      'manual',
    ]);
  });
  after(async () => {
    for (const end of ends) await end();
  });

  for (const [name, shown] of Object.entries(CASES)) it(name, t => showsChange(t, relay, config, shown));
});

it('longLines, of a relay whose messages leave as they were received', async t => {
  const config = new ChangeableConfig();
  const relay = await startRelay(t, { queue: false, settings: { pipeline: 'standalone' }, live: config.live });
  const client = await SmtpClient.loggedIn(t, relay);
  const reply = () => replyTo(client, `${mail}\r\n${'x '.repeat(500)}`, FROM, ['b@example.com']);
  assert.equal(await reply(), 250);
  config.change({ longLines: 'refuse' });
  assert.equal(await reply(), 554);
  config.change({ longLines: 'encode' });
  assert.equal(await reply(), 250);
});

function settingIn({ config }: TestRelay, name: string): unknown {
  return name.split('.').reduce<unknown>((node, key) => (node as Record<string, unknown>)[key], config);
}

describe('the worker takes over', () => {
  it('tracking.secrets: links signed by a new one are good, and those of one that is gone are not', async t => {
    const [first, second] = ['first secret of 24 bytes', 'second secret of 24 bytes'] as const;
    const config = new ChangeableConfig();
    const worker = await startWorker(t, {
      settings: { publicPort: await freePort(), 'tracking.secrets': [first] },
      live: config.live,
    });
    const id = await storeMessage(worker.db);
    const follow = async (secret: string): Promise<number> => {
      const token = createTokens([secret]).sign(
        { kind: 'click', emailId: id, url: 'https://shop.test/' },
        { host: '127.0.0.1', owner: 'acme' },
      );
      const url = `http://127.0.0.1:${worker.publicPort}${CLICK_PATH}${token}`;
      return (await fetch(url, { redirect: 'manual' })).status;
    };
    assert.deepEqual([await follow(first), await follow(second)], [302, 404]);
    config.change({ 'tracking.secrets': [second, first] });
    assert.deepEqual([await follow(first), await follow(second)], [302, 302]);
    config.change({ 'tracking.secrets': [second] });
    assert.deepEqual([await follow(first), await follow(second)], [404, 302]);
  });

  it('tracking.secrets: links are signed by the first one', async t => {
    const config = new ChangeableConfig();
    const settings = { 'tracking.secrets': ['first secret of 24 bytes'], 'tracking.baseUrl': 'https://t.test' };
    const worker = await startWorker(t, { settings, live: config.live });
    const signedBy = async (secret: string): Promise<boolean> => {
      const raw = 'From: hello@acme.test\r\nContent-Type: text/html\r\n\r\n<a href="https://shop.test/">x</a>\r\n';
      const id = await storeMessage(worker.db, { raw, trackClicks: true });
      const captured = await eventually(async () => {
        const all = await worker.captured();
        return all.find(({ envelope }) => envelope.emailId === id);
      });
      assert.ok(captured);
      const text = String(captured.raw).replaceAll('=\r\n', '');
      const [, token = ''] = /\/t\/c\/([A-Za-z0-9_-]+)/.exec(text) ?? [];
      return createTokens([secret]).verify(token, 't.test')?.emailId === id;
    };
    assert.equal(await signedBy('first secret of 24 bytes'), true);
    config.change({ 'tracking.secrets': ['second secret of 24 bytes', 'first secret of 24 bytes'] });
    assert.equal(await signedBy('second secret of 24 bytes'), true);
  });

  it('events.snsTopics: the first one opens the path, and none closes it', async t => {
    const config = new ChangeableConfig();
    const worker = await startWorker(t, { settings: { publicPort: await freePort() }, live: config.live });
    const post = async (): Promise<number> => {
      const url = `http://127.0.0.1:${worker.publicPort}/events/sns`;
      const headers = { 'content-type': 'text/plain; charset=UTF-8' };
      return (await fetch(url, { method: 'POST', headers, body: '{}' })).status;
    };
    assert.equal(await post(), 404);
    config.change({ 'events.snsTopics': ['arn:aws:sns:eu-west-1:123456789012:events'] });
    assert.equal(await post(), 400);
    config.change({ 'events.snsTopics': [] });
    assert.equal(await post(), 404);
  });

  it('receivedHeader: the next message has it, or has it not', async t => {
    const config = new ChangeableConfig();
    const relay = await startRelay(t, { queue: false, settings: { pipeline: 'standalone' } });
    const worker = await startWorker(t, { databaseUrl: relay.databaseUrl, live: config.live });
    const client = await SmtpClient.loggedIn(t, relay);
    const isReceived = async (): Promise<boolean> => {
      const id = emailIdOf(await client.transact({ from: FROM, to: ['b@example.com'], data: mail }, '250 '));
      const captured = await eventually(async () => {
        return (await worker.captured()).find(({ envelope }) => envelope.emailId === id);
      });
      return String(captured?.raw).startsWith('Received: ');
    };
    assert.equal(await isReceived(), true);
    config.change({ receivedHeader: 'off' });
    assert.equal(await isReceived(), false);
  });

  it('routes: the next message goes by the new one', async t => {
    const config = new ChangeableConfig();
    const worker = await startWorker(t, { live: config.live });
    const directory = await mkdtemp(join(tmpdir(), 'smtp-relay-routed-'));
    t.after(() => rm(directory, { recursive: true, force: true }));
    await storeMessage(worker.db);
    await eventually(async () => (await worker.captured()).length === 1);
    config.change({ routes: [{ domains: ['acme.test'], transport: 'capture', capture: { directory } }] });
    await storeMessage(worker.db);
    await eventually(async () => (await readdir(directory)).some(name => name.endsWith('.json')));
    assert.equal((await worker.captured()).length, 1);
    config.change({ routes: [] });
    await storeMessage(worker.db);
    await eventually(async () => (await worker.captured()).length === 2);
  });
});

/** Shown by other files; each file's name, so that it is found. */
const ELSEWHERE: Partial<Record<SettingName, string>> = {
  databaseUrl: 'test/live/database.test.ts',
  'tracking.secrets': 'here, of the worker',
  'events.snsTopics': 'here, of the worker',
  logLevel: 'test/config/live.test.ts',
  drainDelay: 'test/live/stopping.test.ts',
  receivedHeader: 'here, of the worker',
  'limits.dataGrace': 'here, with limits.dataRate',
  recipientsElsewhere: 'read like recipientAllowList; test/intake/limits.test.ts',
  simulatedRecipients: 'test/delivery/simulated.test.ts',
  'sessions.kept': 'asked for at each session; test/smtp/sessions.test.ts',
  simulatedDelay: 'test/delivery/sandbox.test.ts',
  longLines: 'here, of a standalone relay',
  'tracking.hitsPerHour': 'test/http/hits.test.ts',
  'resources.allowEmpty': 'test/declared/reconciler.test.ts',
  'resources.byHand': 'test/declared/unreconciled.test.ts',
  'limits.failedLoginsPerAddress': 'test/smtp/login-guard.test.ts',
  'limits.failedLoginsPerKey': 'test/smtp/login-guard.test.ts',
  'limits.failedLoginsPeriod': 'test/smtp/login-guard.test.ts',
  'limits.loginDelay': 'test/smtp/login-guard.test.ts',
  migrationsDatabaseUrl: 'read like databaseUrl',
  'database.user': 'read like databaseUrl; test/postgres/client.test.ts',
  'database.password': 'read like databaseUrl; test/postgres/client.test.ts',
  'database.passwordFile': 'read like databaseUrl; test/postgres/client.test.ts',
};

it('every reloadable setting is shown to be so', () => {
  const reloadable = settings.filter(setting => setting.reloadable).map(({ name }) => name);
  const shown = [CASES, TIMES, ELSEWHERE].flatMap(Object.keys);
  assert.deepEqual(
    reloadable.filter(name => !shown.includes(name)),
    [],
  );
});
