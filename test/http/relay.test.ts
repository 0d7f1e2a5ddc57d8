import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { freePort } from '../../dev/ports.ts';
import { fixedConfig, type LiveConfig } from '../../src/config/live.ts';
import type { Config } from '../../src/config/schema.ts';
import { shared } from '../support/environment.ts';
import { eventually } from '../support/eventually.ts';
import { withClient } from '../support/postgres-server.ts';
import { type RelayOptions, startRelay, type TestContext } from '../support/relay.ts';
import { messageFrom, SmtpClient } from '../support/smtp-client.ts';

/** A relay with an operational listener. */
async function start(t: TestContext, options: RelayOptions = {}) {
  const httpPort = await freePort();
  const settings = { httpPort, httpHost: '127.0.0.1', ...options.settings };
  const relay = await startRelay(t, { ...options, settings });
  const get = async (path: string) => {
    const response = await fetch(`http://127.0.0.1:${httpPort}${path}`);
    return { status: response.status, body: JSON.parse(await response.text()) };
  };
  return { relay, httpPort, get };
}

/** Takes a database away from everybody, or gives it back. */
async function letConnect(databaseUrl: string, allowed: boolean): Promise<void> {
  const name = new URL(databaseUrl).pathname.slice(1);
  await withClient(shared('postgresUrl'), async client => {
    await client.query(`alter database ${name} allow_connections ${allowed}`);
    if (!allowed)
      await client.query('select pg_terminate_backend(pid) from pg_stat_activity where datname = $1', [name]);
  });
}

describe('the operational listener of the relay', () => {
  it('says that all is well, and how its dependencies are', async t => {
    const { get, httpPort } = await start(t);
    assert.deepEqual(await get('/livez'), { status: 200, body: { ok: true, reasons: [] } });
    assert.deepEqual(await get('/readyz'), { status: 200, body: { ok: true, reasons: [] } });
    const { body } = await get('/healthz');
    assert.deepEqual([body.status, body.role, Object.keys(body.dependencies)], ['ok', 'relay', ['postgres', 'sqs']]);
    const metrics = await (await fetch(`http://127.0.0.1:${httpPort}/metrics`)).text();
    assert.match(metrics, /^smtp_relay_build_info\{/m);
  });

  it('goes unready with the stop, while messages under way still finish', async t => {
    const { relay, get } = await start(t, { settings: { shutdownTimeout: 60_000 } });
    const from = `a@${relay.owner.domain}`;
    const client = await SmtpClient.loggedIn(t, relay);
    await client.command(`MAIL FROM:<${from}>`, '250 ');
    await client.command('RCPT TO:<b@example.com>', '250 ');
    await client.command('DATA', '354 ');
    const stopped = relay.stop();
    assert.deepEqual(await get('/readyz'), { status: 503, body: { ok: false, reasons: ['stopping'] } });
    assert.equal((await get('/livez')).status, 200);
    client.socket.write(`${messageFrom(from)}\r\n.\r\n`);
    await client.expect('250 ');
    await stopped;
    await assert.rejects(get('/livez'));
  });

  it('names the port that is taken', async t => {
    const { httpPort } = await start(t, { queue: false });
    const second = startRelay(t, { queue: false, settings: { httpPort, httpHost: '127.0.0.1' } });
    await assert.rejects(second, /operational listener.*port is taken.*SMTP_RELAY_HTTP_PORT/);
  });

  it('is done without where nobody chose its port and another process has it', async t => {
    const { httpPort } = await start(t, { queue: false });
    const live = (config: Config): LiveConfig => ({ ...fixedConfig(config), isGiven: () => false });
    const settings = { httpPort, httpHost: '127.0.0.1' };
    const relay = await startRelay(t, { queue: false, settings, live });
    await (await SmtpClient.loggedIn(t, relay)).command('NOOP', '250 ');
    const warning = relay.logs.find(({ msg }) => msg.startsWith('no health and no metrics'));
    assert.match(JSON.stringify(warning), /port is taken.*SMTP_RELAY_HTTP_PORT/);
    await relay.stop();
  });

  it('reports an outage of SQS, and stays ready and alive', async t => {
    const sqsEndpoint = `http://127.0.0.1:${await freePort()}`;
    const { get } = await start(t, { settings: { sqsEndpoint } });
    const { status, body } = await get('/healthz');
    assert.deepEqual([status, body.status, body.dependencies.postgres.ok], [200, 'degraded', true]);
    assert.deepEqual([body.dependencies.sqs.ok, body.dependencies.sqs.lastError.class], [false, 'ECONNREFUSED']);
    assert.equal((await get('/readyz')).status, 200);
    assert.equal((await get('/livez')).status, 200);
  });

  it('reports an outage of Postgres, and stays ready and alive', async t => {
    const { relay, get } = await start(t, { queue: false });
    await letConnect(relay.databaseUrl, false);
    const { dependencies, ready } = await eventually(async () => {
      const { body } = await get('/healthz');
      return body.status === 'degraded' ? body : null;
    });
    assert.deepEqual([dependencies.postgres.ok, ready.ok], [false, true]);
    assert.match(dependencies.postgres.lastError.class, /^[A-Z0-9]{5}$/);
    assert.equal((await get('/readyz')).status, 200);
    assert.equal((await get('/livez')).status, 200);
    await letConnect(relay.databaseUrl, true);
    await eventually(async () => (await get('/healthz')).body.status === 'ok');
  });

  it('is alive and not ready where Postgres is away from the start', async t => {
    const owner = { userId: 'u', domain: 'acme.test', apiKey: 'os_live_x', keyId: 'k' };
    const databaseUrl = `postgres://nobody@127.0.0.1:${await freePort()}/nothing`;
    const { get } = await start(t, { queue: false, shareWith: { databaseUrl, owner } });
    assert.equal((await get('/livez')).status, 200);
    assert.deepEqual(await get('/readyz'), {
      status: 503,
      body: { ok: false, reasons: ['the database is not prepared yet'] },
    });
  });
});
