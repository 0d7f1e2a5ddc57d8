import assert from 'node:assert/strict';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import net from 'node:net';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { freePort } from '../../dev/ports.ts';
import { runCli } from '../cli/run-cli.ts';
import { createDatabase, prepareDatabase } from '../support/database.ts';
import { eventually } from '../support/eventually.ts';
import { createOpenSendTables } from '../support/opensend/tables.ts';
import { type Owner, seedOwner } from '../support/owner.ts';
import { withClient } from '../support/postgres-server.ts';
import { createQueue, sqsEnv } from '../support/queue.ts';
import type { TestContext } from '../support/relay.ts';
import { base64, emailIdOf, messageFrom, SmtpClient } from '../support/smtp-client.ts';
import { makeCertificate } from '../support/tls.ts';
import { startFaultySqs } from './support/faulty-sqs.ts';
import { spawnRelay } from './support/relay-process.ts';

const FROM = 'a@acme.test';
const WAITING = `select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`;
/** For as long as this session holds its lock. */
const HOLD_REMOVALS = `
  select pg_advisory_lock(1);
  create function hold_removals() returns trigger language plpgsql
    as $$ begin perform pg_advisory_xact_lock(1); return null; end $$;
  create trigger hold_removals before delete on smtp_relay_outbox execute function hold_removals()`;
const NO_PORTS = { SMTP_RELAY_PORT: '0', SMTP_RELAY_HTTP_PORT: '0' };
const message = { from: FROM, to: ['b@example.com'], data: messageFrom(FROM) };

async function prepare(t: TestContext): Promise<{ databaseUrl: string; owner: Owner; env: Record<string, string> }> {
  const databaseUrl = await createDatabase(t, { pipeline: 'opensend' });
  const owner = await withClient(databaseUrl, client => seedOwner(client));
  return { databaseUrl, owner, env: { DATABASE_URL: databaseUrl, SMTP_RELAY_PORT: '0', SMTP_RELAY_HOST: '127.0.0.1' } };
}

async function isStored(databaseUrl: string, id: string): Promise<boolean> {
  const found = await withClient(databaseUrl, client => client.query('select 1 from emails where id = $1', [id]));
  return found.rows.length === 1;
}

async function openData(client: SmtpClient): Promise<void> {
  await client.command('MAIL FROM:<a@acme.test>', '250 ');
  await client.command('RCPT TO:<b@example.com>', '250 ');
  await client.command('DATA', '354 ');
}

// They wait more than they work.
describe('the relay as a process', { concurrency: 3 }, () => {
  it('killed between commit and publishing: another relay on the same database publishes when the lease has ended', async t => {
    const { databaseUrl, owner, env } = await prepare(t);
    const queue = await createQueue(t);
    const sqs = await startFaultySqs(t, sqsEnv().AWS_ENDPOINT_URL_SQS);
    sqs.behaviour = 'hangs';
    const publishing = { ...env, ...sqsEnv(), BACKGROUND_JOBS_QUEUE_URL: queue.url };
    const first = await spawnRelay(t, { ...publishing, AWS_ENDPOINT_URL_SQS: sqs.endpoint }).listening();
    const client = await SmtpClient.loggedIn(t, { host: first.host, port: first.port, ca: '', owner });
    const id = emailIdOf(await client.transact(message, '250 2.0.0'));
    await eventually(() => sqs.calls === 1);

    assert.equal(await first.end('SIGKILL'), null);
    await spawnRelay(t, publishing).listening();
    const job = await eventually(async () => (await queue.receiveAll())[0]);
    assert.equal(JSON.parse(job?.Body ?? '').emailId, id);
    assert.ok(await isStored(databaseUrl, id));
  });

  it('killed between publishing and removing: the job is published once more, and the entry is removed', async t => {
    const { databaseUrl, owner, env } = await prepare(t);
    const queue = await createQueue(t);
    const publishing = { ...env, ...sqsEnv(), BACKGROUND_JOBS_QUEUE_URL: queue.url };
    await withClient(databaseUrl, async client => {
      await client.query(HOLD_REMOVALS);
      const first = await spawnRelay(t, publishing).listening();
      const session = await SmtpClient.loggedIn(t, { host: first.host, port: first.port, ca: '', owner });
      const id = emailIdOf(await session.transact(message, '250 2.0.0'));
      const nextJob = () => eventually(async () => (await queue.receiveAll())[0]);
      assert.equal(JSON.parse((await nextJob())?.Body ?? '').emailId, id);
      await eventually(async () => (await client.query(WAITING)).rows.length === 1);

      assert.equal(await first.end('SIGKILL'), null);
      await client.query(
        `select pg_terminate_backend(pid) from (${WAITING.replace('select', 'select pid')}) as left_behind`,
      );
      await client.query('select pg_advisory_unlock_all()');
      await spawnRelay(t, publishing).listening();
      assert.equal(JSON.parse((await nextJob())?.Body ?? '').emailId, id);
      await eventually(async () => (await client.query('select from smtp_relay_outbox')).rows.length === 0);
      assert.ok(await isStored(databaseUrl, id));
    });
  });

  it('SIGHUP: configuration and certificate are looked at again, and nobody is cut off', async t => {
    const { owner, env } = await prepare(t);
    const [pair, next] = [await makeCertificate(t), await makeCertificate(t)];
    const configPath = join(pair.directory, 'relay.yaml');
    await writeFile(configPath, 'limits: {recipients: 7}\n');
    const relay = await spawnRelay(t, {
      ...env,
      SMTP_RELAY_CONFIG: configPath,
      SMTP_RELAY_TLS_CERT_PATH: pair.certPath,
      SMTP_RELAY_TLS_KEY_PATH: pair.keyPath,
    }).listening();
    const server = { host: relay.host, port: relay.port, ca: pair.ca, owner };
    const client = await SmtpClient.loggedIn(t, server);
    await writeFile(configPath, 'limits: {recipients: 8}\n');
    // One after the other, as a script copies them.
    await writeFile(pair.certPath, next.cert);
    relay.child.kill('SIGHUP');
    await eventually(() => relay.logs.some(({ msg }) => msg.startsWith('SIGHUP: ')));
    await writeFile(pair.keyPath, next.key);
    relay.child.kill('SIGHUP');
    await eventually(() => relay.logs.some(({ msg }) => msg === 'new configuration in force'));
    await eventually(() => relay.logs.some(({ msg }) => msg === 'TLS certificate renewed'));
    assert.ok(!relay.logs.some(({ msg }) => msg.startsWith('new TLS certificate cannot be used')));
    await SmtpClient.secured(t, { ...server, ca: next.ca });
    await client.transact(message, '250 ');
    client.destroy();
    assert.equal(await relay.end('SIGTERM'), 0);
  });

  it('told to end while a message arrives: 250 after its commit, 421 for all else, exit code 0', async t => {
    const { databaseUrl, owner, env } = await prepare(t);
    const relay = await spawnRelay(t, env).listening();
    const server = { host: relay.host, port: relay.port, ca: '', owner };
    const busy = await SmtpClient.loggedIn(t, server);
    const idle = await SmtpClient.loggedIn(t, server);
    await openData(busy);
    await busy.send(message.data.slice(0, 40));
    relay.child.kill('SIGTERM');
    await idle.expect('421 4.3.2 ');
    await idle.closed;
    await assert.rejects(SmtpClient.connect(t, server), { code: 'ECONNREFUSED' });

    await busy.send(`${message.data.slice(40)}\r\n.\r\n`);
    const id = emailIdOf(await busy.expect('250 2.0.0'));
    await busy.expect('421 4.3.2 ');
    assert.equal(await relay.ended, 0);
    assert.ok(await isStored(databaseUrl, id));
  });

  it('told to end while a client sits in the middle of a message: ends within its time, and exits with 0', async t => {
    const { owner, env } = await prepare(t);
    const relay = await spawnRelay(t, { ...env, SMTP_RELAY_SHUTDOWN_TIMEOUT: '1s' }).listening();
    const client = await SmtpClient.loggedIn(t, { host: relay.host, port: relay.port, ca: '', owner });
    await openData(client);
    const began = performance.now();
    relay.child.kill('SIGTERM');
    await client.expect('421 4.3.2 ');
    assert.equal(await relay.ended, 0);
    // By default it would have 25 s, and the message 20 of them.
    assert.ok(performance.now() - began < 15_000);
  });

  it('told to end while a lock holds up what clients wait for: 421, and exits with 0 in its time', async t => {
    const { databaseUrl, owner, env } = await prepare(t);
    // A statement may take longer than a test may last.
    const times = { SMTP_RELAY_SHUTDOWN_TIMEOUT: '3s', SMTP_RELAY_DATABASE_STATEMENT_TIMEOUT: '10m' };
    const relay = await spawnRelay(t, { ...env, ...times }).listening();
    const server = { host: relay.host, port: relay.port, ca: '', owner };
    const [login, message] = [await SmtpClient.secured(t, server), await SmtpClient.loggedIn(t, server)];
    await openData(message);
    await withClient(databaseUrl, async other => {
      await other.query('begin; lock table api_keys, email_suppressions in access exclusive mode');
      login.socket.write(`AUTH PLAIN ${base64('\0apikey\0another key')}\r\n`);
      message.socket.write(`${messageFrom(FROM)}\r\n.\r\n`);
      await eventually(() =>
        withClient(databaseUrl, async client => Number((await client.query(WAITING)).rowCount) >= 2),
      );
      relay.child.kill('SIGTERM');
      for (const client of [login, message]) await client.expect('421 4.3.2 ');
      assert.equal(await relay.ended, 0);
    });
    assert.deepEqual((await withClient(databaseUrl, client => client.query('select from emails'))).rows, []);
  });

  it('told to end while Postgres is away: exits with 0', async t => {
    const port = await freePort();
    const relay = await spawnRelay(t, {
      DATABASE_URL: `postgres://nobody@127.0.0.1:${port}/nothing`,
      SMTP_RELAY_PORT: '0',
    }).listening();
    assert.equal(await relay.end('SIGTERM'), 0);
  });

  it('given the port by number, listens there; with that port taken, says so and ends', async t => {
    const { env } = await prepare(t);
    const port = await freePort();
    const relay = await spawnRelay(t, { ...env, SMTP_RELAY_PORT: `${port}` }).listening();
    assert.equal(relay.port, port);
    const { code, stderr } = await runCli(['relay'], { ...env, SMTP_RELAY_PORT: `${port}` });
    assert.equal(code, 1);
    assert.match(stderr, new RegExp(`${port}`));
  });

  it('needs the three variables of the contract and no more, beside an OpenSend database and queue', async t => {
    const databaseUrl = await createDatabase(t, { empty: true });
    const owner = await withClient(databaseUrl, async client => {
      await createOpenSendTables(client);
      return seedOwner(client);
    });
    const queue = await createQueue(t);
    // Credentials are the AWS SDK's own matter; the queue is found by its URL.
    const { AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY } = sqsEnv();
    const relay = await spawnRelay(t, {
      DATABASE_URL: databaseUrl,
      BACKGROUND_JOBS_QUEUE_URL: queue.url,
      SMTP_RELAY_PORT: `${await freePort()}`,
      AWS_ACCESS_KEY_ID,
      AWS_SECRET_ACCESS_KEY,
    }).listening();
    const client = await SmtpClient.loggedIn(t, { host: relay.host, port: relay.port, ca: '', owner });
    const id = emailIdOf(await client.transact(message, '250 2.0.0'));
    assert.ok(await isStored(databaseUrl, id));
    const job = await eventually(async () => (await queue.receiveAll())[0]);
    assert.equal(job?.MessageAttributes?.['jobId']?.StringValue, `email.send:${id}`);
    assert.equal(await relay.end('SIGTERM'), 0);
  });

  it("finds SQS by AWS_ENDPOINT_URL alone, where the host of the queue's URL does not resolve", async t => {
    const { owner, env } = await prepare(t);
    const queue = await createQueue(t);
    const { AWS_ENDPOINT_URL_SQS, ...credentials } = sqsEnv();
    const relay = await spawnRelay(t, {
      ...env,
      ...credentials,
      AWS_ENDPOINT_URL: AWS_ENDPOINT_URL_SQS,
      BACKGROUND_JOBS_QUEUE_URL: `http://sqs.us-east-1.nowhere.invalid:4566${new URL(queue.url).pathname}`,
    }).listening();
    const client = await SmtpClient.loggedIn(t, { host: relay.host, port: relay.port, ca: '', owner });
    await client.transact(message, '250 2.0.0');
    await eventually(async () => (await queue.receiveAll()).length === 1);
  });

  it('with the credentials of nobody still takes mail', async t => {
    const { databaseUrl, owner, env } = await prepare(t);
    const queue = await createQueue(t);
    const relay = await spawnRelay(t, {
      ...env,
      BACKGROUND_JOBS_QUEUE_URL: queue.url,
      AWS_EC2_METADATA_DISABLED: 'true',
    }).listening();
    const client = await SmtpClient.loggedIn(t, { host: relay.host, port: relay.port, ca: '', owner });
    assert.ok(await isStored(databaseUrl, emailIdOf(await client.transact(message, '250 2.0.0'))));
    await eventually(() => relay.logs.some(({ msg }) => msg.startsWith('queue unreachable')));
    assert.equal(await relay.end('SIGTERM'), 0);
  });
});

describe('the relay and the database it finds', () => {
  it('migrates it, also when two relays start at once', async t => {
    const databaseUrl = await createDatabase(t, { empty: true });
    const env = {
      DATABASE_URL: databaseUrl,
      SMTP_RELAY_PIPELINE: 'standalone',
      SMTP_RELAY_PORT: '0',
      SMTP_RELAY_HOST: '127.0.0.1',
    };
    const relays = await Promise.all([spawnRelay(t, env), spawnRelay(t, env)].map(relay => relay.listening()));
    const migrated = relays.filter(({ logs }) => logs.some(({ msg }) => msg === 'database migrated'));
    assert.equal(migrated.length, 1);
    const owner = await withClient(databaseUrl, client => seedOwner(client));
    for (const { host, port } of relays) {
      const client = await SmtpClient.loggedIn(t, { host, port, ca: '', owner });
      assert.ok(await isStored(databaseUrl, emailIdOf(await client.transact(message, '250 2.0.0'))));
    }
  });

  it('refuses a schema that is too old where it may not migrate, and says what to do', async t => {
    const databaseUrl = await createDatabase(t, { empty: true });
    const env = { DATABASE_URL: databaseUrl, ...NO_PORTS, SMTP_RELAY_MIGRATIONS: 'none' };
    const { code, stderr } = await runCli(['relay'], env);
    assert.notEqual(code, 0);
    assert.match(stderr, /schema version 0.*needs \d+.*smtp-relay migrate.*SMTP_RELAY_MIGRATIONS=auto/s);
    await prepareDatabase(databaseUrl, 'opensend');
    await spawnRelay(t, env).listening();
  });

  it('refuses a database of the other pipeline with exit code 2, and says the way out', async t => {
    const databaseUrl = await createDatabase(t);
    for (const migrations of ['auto', 'none']) {
      const env = { DATABASE_URL: databaseUrl, ...NO_PORTS, SMTP_RELAY_MIGRATIONS: migrations };
      const { code, stderr } = await runCli(['relay'], env);
      assert.equal(code, 2);
      assert.match(stderr, /SMTP_RELAY_PIPELINE=standalone.*migrate --set-pipeline opensend/s);
    }
  });

  it('refuses one that it may not log in to, and says so', async t => {
    const url = new URL(await createDatabase(t, { pipeline: 'opensend' }));
    url.password = 'wrong';
    const { code, stderr } = await runCli(['relay'], { DATABASE_URL: url.href, ...NO_PORTS });
    assert.equal(code, 3);
    assert.match(stderr, /password authentication failed/);
    assert.doesNotMatch(stderr, / {4}at /);
  });
});

describe('a silent Postgres', () => {
  it('does not hold up the start: the relay listens, and log-ins get 454', async t => {
    const sockets = new Set<net.Socket>();
    const blackHole = net.createServer(socket => void sockets.add(socket)).listen(0, '127.0.0.1');
    await once(blackHole, 'listening');
    t.after(() => {
      for (const socket of sockets) socket.destroy();
      blackHole.close();
    });
    const { port } = blackHole.address() as net.AddressInfo;
    const relay = await spawnRelay(t, {
      DATABASE_URL: `postgres://nobody@127.0.0.1:${port}/nothing`,
      SMTP_RELAY_PORT: '0',
      SMTP_RELAY_DATABASE_CONNECT_TIMEOUT: '500ms',
    }).listening();
    const client = await SmtpClient.secured(t, relay);
    await client.logIn('os_live_any', '454 4.7.0');
    assert.equal(await relay.end('SIGTERM'), 0);
  });
});
