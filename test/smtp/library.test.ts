import assert from 'node:assert/strict';
import { once } from 'node:events';
import net from 'node:net';
import { after, describe, it } from 'node:test';
import { SMTPServer } from 'smtp-server';
import { SMTPConnection } from 'smtp-server/lib/smtp-connection.js';
import { SMTPStream } from 'smtp-server/lib/smtp-stream.js';
import { freePort } from '../../dev/ports.ts';
import { createRegistry } from '../../src/observability/metrics.ts';
import { RelayConnection } from '../../src/smtp/connection.ts';
import { AddressCounts } from '../../src/smtp/incoming-connections.ts';
import { createSmtpMetrics } from '../../src/smtp/metrics.ts';
import { RelayServer } from '../../src/smtp/server.ts';
import { eventually } from '../support/eventually.ts';
import { startRelay } from '../support/relay.ts';
import { emailIdOf, messageFrom, SmtpClient } from '../support/smtp-client.ts';
import { holdTimers } from '../support/time.ts';

/*
 * One test for each member of smtp-server that `src/smtp/connection.ts`, `library-connection.ts` and `server.ts` override or lean on, named after
 * it. Each fails where the override is taken away, or where a new version of the library has moved what it replaces. The
 * behaviour itself is tested in full by the other files of this folder.
 */
const relay = await startRelay({ after }, { queue: false, settings: { pipeline: 'standalone' } });
// Where what is overridden has nothing to do with TLS, and STARTTLS would only be in the way of seeing it.
const clear = await startRelay({ after }, { queue: false, tls: false, settings: { 'limits.connections': 50 } });

const message = { from: 'a@acme.test', to: ['b@example.com'], data: messageFrom('a@acme.test') };

/** The overrides of a class of ours, and of those between it and the library's. */
function overridesOf(type: { readonly prototype: object }, base: { readonly prototype: object }): string[] {
  const names: string[] = [];
  for (let ours = type.prototype; ours !== base.prototype; ours = Object.getPrototypeOf(ours)) {
    names.push(...Object.getOwnPropertyNames(ours));
  }
  return names.filter(name => name !== 'constructor' && name in base.prototype);
}

describe('every override is tested here', () => {
  it('RelayConnection', () => {
    assert.deepEqual(overridesOf(RelayConnection, SMTPConnection).sort(), [
      '_armTimeout',
      '_createParser',
      '_getEnhancedStatusCode',
      '_onClose',
      '_onCommand',
      '_onError',
      'handler_AUTH',
      'handler_DATA',
      'handler_EHLO',
      'handler_HELO',
      'handler_MAIL',
      'handler_RCPT',
      'init',
      'send',
    ]);
  });

  it('RelayServer', () => {
    assert.deepEqual(overridesOf(RelayServer, SMTPServer).sort(), [
      '_expectsProxyHeader',
      '_handleProxy',
      '_upgrade',
      'connect',
      'onClose',
      'onConnect',
      'onSecure',
    ]);
  });
});

describe('RelayConnection', () => {
  it('init: no pause before the greeting, and a limit of connections of our own', async t => {
    holdTimers(t);
    await (await SmtpClient.connect(t, clear)).expect('220 ');
  });

  it('send, _getEnhancedStatusCode: a text brings its own enhanced status code', async t => {
    const client = await SmtpClient.greeted(t, relay);
    // The library's own for 538 is 5.7.0.
    const { last } = await client.command('AUTH LOGIN', '538 5.7.11 ');
    assert.doesNotMatch(last, /5\.7\.0|5\.7\.11.*5\.7\.11/);
  });

  it('_onCommand: long commands are refused, where the library takes 16 KB', async t => {
    const client = await SmtpClient.loggedIn(t, clear);
    await client.command(`NOOP ${'x'.repeat(3_000)}`, '500 5.5.2 Command line is too long');
  });

  it('_createParser: DATA passes through our decoder, which refuses a bare LF', async t => {
    const client = await SmtpClient.loggedIn(t, clear);
    await client.transact({ ...message, data: `${message.data}\nbare` }, '550 5.6.11');
  });

  it('_createParser: commands are cut by our own stream, which takes no bare LF for their end', async t => {
    const client = await SmtpClient.secured(t, relay);
    await client.send('NOOP\n');
    await client.expect('500 5.5.2 Commands must end with CR LF');
  });

  it('_armTimeout, _onClose: our own clock, where each byte would put the library off', async t => {
    const settings = { 'limits.idleTimeout': 3_000 };
    const impatient = await startRelay(t, { queue: false, settings });
    const client = await SmtpClient.secured(t, impatient);
    const sending = setInterval(() => client.socket.write('N'), 50);
    t.after(() => clearInterval(sending));
    await client.expect('421 4.4.2 The connection was silent');
  });

  it('_onError, _onClose: a handshake that fails is reported, once', async t => {
    const client = await SmtpClient.greeted(t, relay);
    await client.command('STARTTLS', '220 ');
    await client.send('this is no ClientHello\r\n');
    await client.closed;
    const lines = () => relay.logs.filter(({ msg }) => msg === 'TLS handshake failed');
    await eventually(() => lines().length > 0);
    assert.deepEqual(
      lines().map(({ reason, client: address }) => [reason, address]),
      [['not_tls', '127.0.0.1']],
    );
  });

  it('handler_EHLO: no AUTH before STARTTLS, and an empty name is taken', async t => {
    const client = await SmtpClient.connect(t, relay);
    await client.expect('220 ');
    const { lines } = await client.command('EHLO', '250 ');
    assert.ok(!lines.some(line => line.startsWith('AUTH')), lines.join());
  });

  it('handler_HELO: an empty name is taken', async t => {
    const client = await SmtpClient.connect(t, relay);
    await client.expect('220 ');
    await client.command('HELO', '250 ');
  });

  it('handler_RCPT: domains stay A-labels, and no angle brackets are needed', async t => {
    const client = await SmtpClient.loggedIn(t, relay);
    await client.command('MAIL FROM:<a@acme.test>', '250 ');
    await client.command('RCPT TO:b@xn--bcher-kva.example', '250 ');
    await client.command('DATA', '354 ');
    const id = emailIdOf(await client.command(`${message.data}\r\n.`, '250 '));
    const { rows } = await relay.db.query('select recipients from smtp_relay_messages where email_id = $1', [id]);
    assert.deepEqual(rows, [{ recipients: ['b@xn--bcher-kva.example'] }]);
  });

  it('handler_MAIL: a MAIL inherits nothing from one that was refused', async t => {
    const client = await SmtpClient.loggedIn(t, relay);
    await client.command('MAIL FROM:<jürgen@acme.test> BODY=8BITMIME', '553 ');
    const id = emailIdOf(await client.transact(message, '250 '));
    const { rows } = await relay.db.query('select body_type from smtp_relay_messages where email_id = $1', [id]);
    assert.deepEqual(rows, [{ body_type: '7bit' }]);
  });

  it('handler_MAIL, handler_RCPT: an unknown parameter gets 555, also one that the library knows', async t => {
    const client = await SmtpClient.loggedIn(t, relay);
    for (const parameter of ['RET', 'RET=HDRS', 'ENVID=1', 'REQUIRETLS=1', 'FOO', 'FOO=', 'FOO=1 FOO=2']) {
      await client.command(`MAIL FROM:<a@acme.test> ${parameter}`, '555 5.5.4');
    }
    await client.command('MAIL FROM:<a@acme.test> SIZE=', '501 ');
    await client.command('MAIL FROM:<a@acme.test>', '250 ');
    for (const parameter of ['NOTIFY', 'NOTIFY=NEVER', 'AUTH=<>']) {
      await client.command(`RCPT TO:<b@example.com> ${parameter}`, '555 5.5.4');
    }
  });

  it('handler_MAIL, handler_RCPT: a session of ours is asked', async t => {
    const client = await SmtpClient.loggedIn(t, clear);
    await client.command('MAIL FROM:<a@acme.test> FOO=1', '555 5.5.4 Parameter FOO');
    await client.command('MAIL FROM:<a@acme.test>', '250 ');
    await client.command('RCPT TO:<b@example.com> FOO=1', '555 5.5.4 Parameter FOO');
  });

  it('handler_AUTH: what is not Base64 gets 501, where the library takes it', async t => {
    const client = await SmtpClient.secured(t, relay);
    await client.command('AUTH PLAIN !!!', '501 5.5.2 The response is not Base64');
    // The library takes no empty user name.
    await client.command('AUTH LOGIN =', '334 ');
    await client.command(Buffer.from(relay.owner.apiKey).toString('base64'), '235 ');
  });

  it('handler_DATA: the reply names the id of the row', async t => {
    const client = await SmtpClient.loggedIn(t, clear);
    emailIdOf(await client.transact(message, '250 2.0.0 Ok: queued as '));
  });
});

describe('RelayServer', () => {
  it('connect: connections are ours', async t => {
    const server = new RelayServer({ ...dependencies(), isProxy: () => false });
    t.after(() => server.drain(0));
    const port = await server.open(0, '127.0.0.1');
    await SmtpClient.greeted(t, { host: '127.0.0.1', port, ca: '' });
    assert.ok([...server.connections].every(connection => connection instanceof RelayConnection));
    assert.equal(server.connections.size, 1);
  });

  it('_expectsProxyHeader, _handleProxy: the second version of the protocol, from networks', async t => {
    const asked: string[] = [];
    const opened: string[] = [];
    class Spy extends RelayServer {
      override openSession(id: string, clientAddress: string) {
        opened.push(clientAddress);
        return super.openSession(id, clientAddress);
      }
    }
    const isProxy = (address: string) => Boolean(asked.push(address));
    const server = new Spy({ ...dependencies(), isProxy });
    t.after(() => server.drain(0));
    const port = await server.open(0, '127.0.0.1');
    const preamble = Buffer.from('0d0a0d0a000d0a515549540a2111000cc0000207c6336402d9030a1b', 'hex');
    const client = await SmtpClient.connect(t, { host: '127.0.0.1', port, ca: '' }, { preamble });
    await client.expect('220 ');
    assert.deepEqual(opened, ['192.0.2.7']);
    assert.ok(asked.length > 0 && asked.every(address => address === '127.0.0.1'));
  });

  it('_upgrade: a handshake of implicit TLS that fails is reported with the client of the PROXY header', async t => {
    const settings = { 'tls.implicitPort': await freePort(), 'proxyProtocol.networks': ['127.0.0.0/8'] };
    const proxied = await startRelay(t, { queue: false, settings });
    const preamble = 'PROXY TCP4 192.0.2.7 198.51.100.2 55555 2465\r\nEHLO early.test\r\n';
    const client = await SmtpClient.connect(t, proxied, { port: proxied.implicitTlsPort, preamble });
    await client.closed;
    const line = await eventually(() => proxied.logs.find(({ msg }) => msg === 'TLS handshake failed'));
    assert.deepEqual([line?.['reason'], line?.['client']], ['not_tls', '192.0.2.7']);
  });

  it('onClose: a client that never closes its side does not outlast the deadline', async t => {
    const server = new RelayServer({ ...dependencies(), isProxy: () => false });
    const port = await server.open(0, '127.0.0.1');
    const socket = net.connect({ port, host: '127.0.0.1', allowHalfOpen: true });
    socket.on('error', () => {});
    t.after(() => socket.destroy());
    await once(socket, 'data');
    const started = performance.now();
    await server.drain(200);
    // The library alone would wait five seconds.
    assert.ok(performance.now() - started < 5_000);
  });

  it('onConnect: the greeting is on its way before anything is read', async t => {
    const server = new RelayServer({ ...dependencies(), isProxy: () => false });
    t.after(() => server.drain(0));
    let greeted = false;
    server.onConnect(null as never, () => (greeted = true));
    assert.ok(greeted, 'not in the same turn');
    server.onSecure({ getProtocol: () => 'TLSv1.3' } as never, null as never, () => (greeted = false));
    assert.ok(!greeted, 'not in the same turn');
  });

  function dependencies() {
    const intake = { sessions: { isHeard: false } };
    const connectChaos = { refusalOf: () => null };
    const session = { settings: {}, intake, connectChaos, logger: { child: () => ({ info() {} }) } };
    const logger = { debug() {}, info() {} };
    const times = { loginTimeout: 60_000, idleTimeout: 60_000, sessionTimeout: 60_000, proxyHeaderTimeout: 60_000 };
    const settings = { name: 'relay.test', connections: 5, connectionsPerAddress: 0, strangersPerAddress: 5, ...times };
    return {
      settings: () => settings,
      tls: null,
      session,
      budget: null,
      countConnections: () => 0,
      trustedKey: () => null,
      counts: new AddressCounts(),
      handshakes: { secured() {}, failed() {} },
      metrics: createSmtpMetrics(createRegistry()),
      logger,
    } as never as ConstructorParameters<typeof RelayServer>[0];
  }
});

describe('what we lean on without overriding it', () => {
  it('SMTPStream: _dataMode, _feedDataStream, _continueCallback, continue', () => {
    const stream = new SMTPStream() as SMTPStream & Record<string, unknown>;
    assert.equal(stream['_dataMode'], false);
    assert.equal(stream['_continueCallback'], false);
    const fed: string[] = [];
    stream['_feedDataStream'] = (chunk: Buffer, done: () => void) => {
      fed.push(chunk.toString());
      done();
    };
    stream['_dataMode'] = true;
    stream.write('text');
    assert.deepEqual(fed, ['text']);
    let continued = 0;
    stream['_continueCallback'] = () => (continued += 1);
    stream.continue();
    assert.equal(continued, 1);
  });

  it('SMTPConnection: _rejectInvalidParams and _validateMailParams tell what is wrong with a parameter, in our replies', async t => {
    const client = await SmtpClient.loggedIn(t, clear);
    await client.command('MAIL FROM:<a@acme.test> SIZE=1 SIZE=2', '501 5.5.4 Error: duplicate SIZE parameter');
    await client.command('MAIL FROM:<a@acme.test> BODY', '501 5.5.4 Error: BODY parameter requires a value');
    await client.command('MAIL FROM:<a@acme.test> BODY=BINARYMIME', '501 5.5.4 Invalid BODY parameter value');
    await client.command('MAIL FROM:<a@acme.test> SIZE=99999999999', '552 5.3.4 Error: message exceeds');
    await client.command('MAIL FROM:<a@acme.test>', '250 2.1.0 Accepted');
    await client.command('MAIL FROM:<a@acme.test>', '503 5.5.1 Error: nested MAIL command');
    await client.command('RCPT TO:<b@example.com>', '250 2.1.5 Accepted');
    await client.command('RCPT TO:<>', '501 5.1.3 Error: Bad recipient address syntax');
    await client.command('RSET', '250 ');
    await client.command('RCPT TO:<b@example.com>', '503 5.5.1 Error: need MAIL command');
    await client.command('MAIL FROM:<a b>', '501 5.1.7 Error: Bad sender address syntax');
  });

  it('SMTPConnection: _handlerPending and _dataStream tell that something is being worked on', () => {
    const connection = new SMTPConnection(new SMTPServer({ logger: false }), new net.Socket());
    assert.equal(connection._handlerPending, false);
    assert.equal(connection._dataStream, false);
  });

  it('SMTPServer: _pendingSockets holds connections without a session', () => {
    assert.ok(new SMTPServer({ logger: false })._pendingSockets instanceof Map);
  });
});
