import assert from 'node:assert/strict';
import { once } from 'node:events';
import net from 'node:net';
import { describe, it, type TestContext } from 'node:test';
import { freePort } from '../../dev/ports.ts';
import { insertMessages } from '../../src/store/messages/insert.ts';
import { eventually } from '../support/eventually.ts';
import { startFakeSes } from '../support/ses/start.ts';
import { newMessage, storeMessage } from '../support/stored.ts';
import { startWorker } from '../support/worker.ts';
import { type Answer, type Script, startSmarthost } from './support/smarthost.ts';

/** Of A, by the smarthost. */
const MESSAGES = 30;
/** Milliseconds for an answer, where none ever comes: what does come takes a small part of it. */
const PATIENCE = 2_000;
/** The same where the final dot is what is not answered, for which there are ten times as many. */
const BEFORE_DOT = 800;
/** The same where all is answered. */
const UNHURRIED = 30_000;
/** Milliseconds. The machine may have a lot to do; beside a smarthost that holds everything up it would be minutes. */
const AT_ONCE = 55_000;

interface Trouble {
  readonly what: string;
  readonly script: Script;
  readonly reason: string;
  /** Nobody knows of a message whether it was taken. */
  readonly isUnknown?: true;
  readonly login?: true;
  readonly timeout?: number;
}

function at(step: string, answer: Answer): Script {
  return current => (current === step ? answer : undefined);
}

/** No answer at that step, or none that ends; with the time that it is waited for. */
function without(step: string, how: 'hang' | 'drip'): Pick<Trouble, 'script' | 'timeout'> {
  return { script: at(step, how), timeout: step === '.' ? BEFORE_DOT : PATIENCE };
}

/** Takes some messages, and is then worse with each. */
function dying(): Script {
  let messages = 0;
  return (step, line) => {
    if (step === 'MAIL') messages += 1;
    if (messages <= 5) return undefined;
    if (messages <= 7) return at('DATA', 'close')(step, line, 0);
    if (messages <= 9) return at('MAIL', '421 4.3.2 bye')(step, line, 0);
    return step === 'CONNECT' || step === 'MAIL' ? 'hang' : undefined;
  };
}

const TROUBLES: readonly Trouble[] = [
  ...['CONNECT', 'MAIL', 'DATA'].flatMap(step => [
    { what: `drips at ${step}`, ...without(step, 'drip'), reason: 'connect' },
    { what: `closes at ${step}`, script: at(step, 'close'), reason: 'connect' },
    { what: `says 421 to ${step}`, script: at(step, '421 4.3.2 bye'), reason: 'connect' },
  ]),
  { what: 'says nothing at MAIL', ...without('MAIL', 'hang'), reason: 'connect' },
  { what: 'drips at EHLO', ...without('EHLO', 'drip'), reason: 'connect' },
  { what: 'closes at RCPT', script: at('RCPT', 'close'), reason: 'connect' },
  { what: 'drips after the final dot', ...without('.', 'drip'), reason: 'connect', isUnknown: true },
  { what: 'closes after the final dot', script: at('.', 'close'), reason: 'connect', isUnknown: true },
  { what: 'says nothing after the final dot', ...without('.', 'hang'), reason: 'connect', isUnknown: true },
  { what: 'says 421 to the final dot', script: at('.', '421 4.3.2 bye'), reason: 'connect' },
  { what: 'hangs up at the log-in', script: at('AUTH', 'close'), reason: 'connect', login: true },
  { what: 'cannot check the log-in', script: at('AUTH', '454 4.7.0 later'), reason: 'connect', login: true },
  { what: 'refuses the log-in', script: at('AUTH', '535 5.7.8 no'), reason: 'credentials', login: true },
  { what: 'dies slowly', script: dying(), reason: 'connect', timeout: PATIENCE },
];

const LOGIN = { user: 'relay', password: 'pa55word' };

async function startTwoOwners(t: TestContext, smtp: Readonly<Record<string, unknown>>, settings = {}) {
  const ses = await startFakeSes(t);
  const routes = [
    {
      name: 'theirs',
      domains: ['a.test'],
      transport: 'smtp',
      smtp: { host: '127.0.0.1', security: 'none', timeout: PATIENCE, ...smtp },
    },
  ];
  const worker = await startWorker(t, {
    settings: {
      transport: 'ses',
      'ses.sendRate': 100_000,
      'ses.endpoint': ses.endpoint,
      routes,
      'retries.firstPause': 500,
      'retries.longestPause': 1_000,
      httpPort: await freePort(),
      ...settings,
    },
  });
  const { db, httpPort } = worker;
  const messages = Array.from({ length: MESSAGES }, () =>
    newMessage({ userId: 'a', from: 'hello@a.test', messageId: null }),
  );
  await insertMessages(db, messages, { outboxLease: 0 });
  const health = async () => {
    const answer = await fetch(`http://127.0.0.1:${httpPort}/healthz`);
    return (await answer.json()) as {
      readonly status: string;
      readonly shutRoutes: readonly { readonly route: string; readonly reason: string }[];
    };
  };
  const count = async (sql: string): Promise<number> =>
    (await db.query(`select count(*)::integer as n from ${sql}`)).rows[0].n;
  return {
    worker,
    health,
    count,
    /** A message of B's, by SES. @returns milliseconds until it is sent */
    async sendOfB(): Promise<number> {
      const began = performance.now();
      const id = await storeMessage(db, { userId: 'b', from: 'hello@b.test' });
      await eventually(
        async () => (await db.query('select status from emails where id = $1', [id])).rows[0]?.status === 'sent',
      );
      return performance.now() - began;
    },
    sentOfA: () => count("emails where user_id = 'a' and status = 'sent'"),
  };
}

describe('beside a smarthost that', { concurrency: 8 }, () => {
  for (const { what, script, reason, isUnknown = false, login = false, timeout = UNHURRIED } of TROUBLES) {
    it(`${what}, another's mail goes out at once; its own waits, and none of it is lost`, async t => {
      let isIll = true;
      const host = await startSmarthost(t, (...said) => (isIll ? script(...said) : undefined), {
        allowInsecureAuth: true,
      });
      const owners = await startTwoOwners(t, { port: host.port, timeout, ...(login && LOGIN) });
      await eventually(async () => (await owners.health()).shutRoutes[0]?.reason === reason);
      for (let nth = 0; nth < 3; nth += 1) {
        const took = await owners.sendOfB();
        assert.ok(took < AT_ONCE, `took ${Math.round(took)} ms`);
      }
      const { status, shutRoutes } = await owners.health();
      if (shutRoutes.length > 0) assert.deepEqual([status, shutRoutes[0]?.route], ['degraded', 'theirs']);
      assert.ok((await owners.count('smtp_relay_claims')) <= 8);
      const attempts = await owners.count("smtp_relay_attempts where transport = 'smtp'");
      assert.ok(attempts <= MESSAGES, `${attempts} attempts`);
      const unknown = () => owners.count("smtp_relay_attempts where outcome = 'unknown'");
      // On a machine with a lot to do, the first do not come as far as the final dot.
      if (isUnknown) await eventually(async () => (await unknown()) > 0);
      isIll = false;
      await eventually(async () => (await owners.sentOfA()) === MESSAGES);
      await eventually(async () => (await owners.health()).shutRoutes.length === 0);
      // A message that was taken says so once, and again only where nobody could know.
      const twice = await unknown();
      // But where the machine stood still, and an answer came too late.
      if (!isUnknown)
        assert.equal(await owners.count("smtp_relay_attempts where outcome = 'unknown' and code <> 'ETIMEDOUT'"), 0);
      assert.ok(host.messages.length >= MESSAGES && host.messages.length <= MESSAGES + twice);
      assert.equal(await owners.count("emails where status = 'failed'"), 0);
    });
  }
});

describe('beside a smarthost whose TLS', { concurrency: 4 }, () => {
  for (const [what, answerTo] of [
    ['is not offered', null],
    ['is refused', (socket: net.Socket) => void socket.write('454 4.7.0 TLS not available\r\n')],
    ['is no TLS', (socket: net.Socket) => void socket.write('220 go ahead\r\nnonsense and more nonsense\r\n')],
    ['breaks off', (socket: net.Socket) => void socket.end('220 go ahead\r\n')],
    ['says nothing', (socket: net.Socket) => void socket.write('220 go ahead\r\n')],
  ] as const) {
    it(`${what}, another's mail goes out at once, and its own waits without being tried again and again`, async t => {
      const port = await startWithoutTls(t, answerTo);
      const owners = await startTwoOwners(t, { port, security: 'starttls' });
      await eventually(async () => (await owners.health()).shutRoutes[0]?.reason === 'connect');
      for (let nth = 0; nth < 3; nth += 1) {
        const took = await owners.sendOfB();
        assert.ok(took < AT_ONCE, `took ${Math.round(took)} ms`);
      }
      const attempts = await owners.count("smtp_relay_attempts where transport = 'smtp'");
      assert.ok(attempts <= MESSAGES, `${attempts} attempts`);
      assert.equal(await owners.sentOfA(), 0);
    });
  }
});

/** Speaks SMTP as far as STARTTLS. */
async function startWithoutTls(t: TestContext, answerTo: ((socket: net.Socket) => void) | null): Promise<number> {
  const server = net.createServer(socket => {
    socket.on('error', () => {});
    socket.write('220 smarthost.test ESMTP\r\n');
    let isTls = false;
    socket.on('data', chunk => {
      if (isTls) return;
      const line = chunk.toString();
      if (line.startsWith('EHLO'))
        socket.write(`250-smarthost.test\r\n${answerTo ? '250-STARTTLS\r\n' : ''}250 8BITMIME\r\n`);
      else if (line.startsWith('STARTTLS') && answerTo) {
        isTls = true;
        answerTo(socket);
      } else socket.write('502 5.5.1 no\r\n');
    });
    t.after(() => socket.destroy());
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => server.close());
  return (server.address() as net.AddressInfo).port;
}
