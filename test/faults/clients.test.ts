import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import net from 'node:net';
import { after, describe, it } from 'node:test';
import { freePort } from '../../dev/ports.ts';
import { createDatabase } from '../support/database.ts';
import { eventually } from '../support/eventually.ts';
import { seedOwner } from '../support/owner.ts';
import { withClient } from '../support/postgres-server.ts';
import { base64, emailIdOf, messageFrom, SmtpClient } from '../support/smtp-client.ts';
import { makeCertificate } from '../support/tls.ts';
import { spawnRelay } from './support/relay-process.ts';

// A process of its own: what nobody catches would end it, or be logged as fatal.
const databaseUrl = await createDatabase({ after });
const owner = await withClient(databaseUrl, client => seedOwner(client));
const certificate = await makeCertificate({ after });
const implicitTlsPort = await freePort();
const relay = await spawnRelay(
  { after },
  {
    DATABASE_URL: databaseUrl,
    SMTP_RELAY_PIPELINE: 'standalone',
    SMTP_RELAY_PORT: '0',
    SMTP_RELAY_HOST: '127.0.0.1',
    SMTP_RELAY_TLS_IMPLICIT_PORT: `${implicitTlsPort}`,
    SMTP_RELAY_TLS_CERT_PATH: certificate.certPath,
    SMTP_RELAY_TLS_KEY_PATH: certificate.keyPath,
  },
).listening();
const server = { host: relay.host, port: relay.port, ca: certificate.ca, owner };
const message = { from: 'a@acme.test', to: ['b@example.com'], data: messageFrom('a@acme.test') };

interface TestContext {
  after(fn: () => void): void;
}

/** The process lives, serves the next client, and has caught whatever happened. */
async function assertUnharmed(t: TestContext): Promise<void> {
  const client = await SmtpClient.loggedIn(t, server);
  emailIdOf(await client.transact(message, '250 2.0.0'));
  client.destroy();
  assert.equal(relay.child.exitCode, null);
  assert.deepEqual(
    relay.logs.filter(({ level }) => level >= 50),
    [],
  );
}

async function openData(client: SmtpClient): Promise<void> {
  await client.command('MAIL FROM:<a@acme.test>', '250 ');
  await client.command('RCPT TO:<b@example.com>', '250 ');
  await client.command('DATA', '354 ');
}

async function secure(client: SmtpClient): Promise<void> {
  await client.startTls();
  await client.command('EHLO client.test', '250 ');
}

async function logIn(client: SmtpClient): Promise<void> {
  await secure(client);
  await client.logIn(owner.apiKey);
}

/** The beginning of a TLS record that announces 512 bytes of ClientHello. */
const HALF_A_HELLO = Buffer.from([0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00, 0x01, 0xfc, 0x03, 0x03, 0x00]);

const STATES: readonly (readonly [name: string, reach: (client: SmtpClient) => Promise<unknown>])[] = [
  ['behind EHLO', async () => {}],
  ['in the middle of a command', client => client.send('MAIL FR')],
  ['behind STARTTLS', client => client.command('STARTTLS', '220 ')],
  [
    'in the TLS handshake',
    async client => {
      await client.command('STARTTLS', '220 ');
      await client.send(HALF_A_HELLO);
    },
  ],
  ['behind the TLS handshake', secure],
  [
    'in AUTH',
    async client => {
      await secure(client);
      await client.command('AUTH LOGIN', '334 ');
    },
  ],
  [
    'while its key is looked up',
    async client => {
      await secure(client);
      client.socket.write(`AUTH PLAIN ${base64(`\0apikey\0os_live_${randomBytes(16).toString('hex')}`)}\r\n`);
    },
  ],
  [
    'behind MAIL',
    async client => {
      await logIn(client);
      await client.command('MAIL FROM:<a@acme.test>', '250 ');
    },
  ],
  [
    'in DATA',
    async client => {
      await logIn(client);
      await openData(client);
      await client.send(message.data.slice(0, 30));
    },
  ],
  [
    'before the reply to its message',
    async client => {
      await logIn(client);
      await openData(client);
      client.socket.write(`${message.data}\r\n.\r\n`);
    },
  ],
  [
    'with many replies unread',
    async client => {
      await logIn(client);
      client.socket.write('NOOP\r\n'.repeat(5_000));
    },
  ],
];

describe('a client that resets its connection', () => {
  for (const [name, reach] of STATES) {
    it(`${name} harms nobody`, async t => {
      for (const finish of ['resetAndDestroy', 'destroy'] as const) {
        const client = await SmtpClient.greeted(t, server);
        const tcp = client.socket;
        await reach(client);
        tcp[finish]();
      }
      await assertUnharmed(t);
    });
  }

  it('at once, many times over, harms nobody', async t => {
    for (const port of [relay.port, implicitTlsPort]) {
      for (let count = 0; count < 50; count += 1) {
        const socket = net.connect(port, relay.host);
        socket.on('error', () => {});
        await once(socket, 'connect');
        socket.resetAndDestroy();
      }
    }
    await assertUnharmed(t);
  });
});

describe('a client that sends garbage', () => {
  const GARBAGE: readonly (readonly [name: string, bytes: Buffer])[] = [
    ['random bytes', randomBytes(65_536)],
    ['NUL bytes', Buffer.alloc(10_000)],
    ['a line without an end', Buffer.alloc(1_000_000, 'A')],
    ['thousands of unknown commands', Buffer.from('FOO bar\r\n'.repeat(5_000))],
    ['an HTTP request', Buffer.from('POST / HTTP/1.1\r\nHost: relay\r\nContent-Length: 4\r\n\r\nMAIL')],
    ['half a TLS hello', HALF_A_HELLO],
    ['bytes that are no UTF-8', Buffer.from('EHLO \xff\xfe\xc0\r\nMAIL FROM:<\xff@\xfe>\r\n', 'latin1')],
  ];

  for (const [name, bytes] of GARBAGE) {
    it(`(${name}) harms nobody`, async t => {
      for (const port of [relay.port, implicitTlsPort]) {
        const socket = net.connect(port, relay.host);
        const closed = new Promise(resolve => socket.on('close', resolve));
        socket.on('error', () => {});
        socket.resume();
        socket.end(bytes);
        await closed;
      }
      await assertUnharmed(t);
    });

    it(`(${name}) in place of a TLS handshake harms nobody`, async t => {
      const client = await SmtpClient.greeted(t, server);
      await client.command('STARTTLS', '220 ');
      client.socket.end(bytes);
      await client.closed;
      await assertUnharmed(t);
    });

    it(`(${name}) where a command is awaited of one who is logged in harms nobody`, async t => {
      const client = await SmtpClient.loggedIn(t, server);
      client.socket.end(bytes);
      await client.closed;
      await assertUnharmed(t);
    });
  }
});

describe('a database that ends idle connections', () => {
  it('harms nobody', async t => {
    const terminate =
      "select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and application_name = 'smtp-relay'";
    const { rows } = await withClient(databaseUrl, client => client.query(terminate));
    assert.ok(rows.length > 0);
    await eventually(() => relay.logs.some(({ msg }) => msg === 'idle database connection lost'));
    await assertUnharmed(t);
  });
});
