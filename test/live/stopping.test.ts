import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { freePort } from '../../dev/ports.ts';
import { spawnRelay } from '../faults/support/relay-process.ts';
import { ChangeableConfig } from '../support/changeable.ts';
import { createDatabase } from '../support/database.ts';
import { eventually } from '../support/eventually.ts';
import { seedOwner } from '../support/owner.ts';
import { withClient } from '../support/postgres-server.ts';
import { startRelay } from '../support/relay.ts';
import { emailIdOf, messageFrom, SmtpClient } from '../support/smtp-client.ts';
import { startWorker } from '../support/worker.ts';

/** Milliseconds; all that a test does meanwhile takes a small part of it. */
const DELAY = 8_000;

async function readiness(port: number): Promise<number> {
  return (await fetch(`http://127.0.0.1:${port}/readyz`)).status;
}

describe('drainDelay', { concurrency: true }, () => {
  it('unready at once, still accepting, then closed: DATA under way gets its 250, idle sessions 421, exit 0', async t => {
    const databaseUrl = await createDatabase(t, { pipeline: 'opensend' });
    const owner = await withClient(databaseUrl, client => seedOwner(client));
    const httpPort = await freePort();
    const process = await spawnRelay(t, {
      DATABASE_URL: databaseUrl,
      SMTP_RELAY_HOST: '127.0.0.1',
      SMTP_RELAY_PORT: '0',
      SMTP_RELAY_HTTP_HOST: '127.0.0.1',
      SMTP_RELAY_HTTP_PORT: String(httpPort),
      SMTP_RELAY_DRAIN_DELAY: `${DELAY}ms`,
      SMTP_RELAY_SHUTDOWN_TIMEOUT: '60s',
    }).listening();
    const server = Object.assign(Object.create(process), { owner }) as typeof process & { owner: typeof owner };
    const [idle, sending] = [await SmtpClient.loggedIn(t, server), await SmtpClient.loggedIn(t, server)];
    assert.equal(await readiness(httpPort), 200);

    const began = performance.now();
    process.child.kill('SIGTERM');
    await eventually(async () => (await readiness(httpPort)) === 503);
    // A client that the load balancer still sends here, all of whose business comes after the signal.
    const late = await SmtpClient.loggedIn(t, server);
    const data = messageFrom('a@acme.test');
    await late.transact({ from: 'a@acme.test', to: ['b@example.com'], data }, '250 2.0.0');
    await idle.command('NOOP', '250 ');
    await sending.command('MAIL FROM:<a@acme.test>', '250 ');
    await sending.command('RCPT TO:<b@example.com>', '250 ');
    await sending.command('DATA', '354 ');
    assert.ok(performance.now() - began < DELAY, 'the machine was too slow to show anything');

    await idle.expect('421 4.3.2');
    await late.expect('421 4.3.2');
    await assert.rejects(SmtpClient.connect(t, server), { code: 'ECONNREFUSED' });
    assert.ok(performance.now() - began >= DELAY - 50);
    sending.socket.write(`${data}\r\n.\r\n`);
    const id = emailIdOf(await sending.expect('250 2.0.0'));
    await sending.expect('421 4.3.2');
    for (const client of [idle, late, sending]) client.end();
    assert.equal(await process.ended, 0);
    const rows = await withClient(databaseUrl, async db => (await db.query('select id from emails')).rows);
    assert.ok(rows.some(row => row.id === id) && rows.length === 2);
  });

  it('may change while the relay runs', async t => {
    const config = new ChangeableConfig();
    const relay = await startRelay(t, { queue: false, live: config.live });
    config.change({ drainDelay: 3_000 });
    const began = performance.now();
    const stopped = relay.stop();
    (await SmtpClient.loggedIn(t, relay)).end();
    await stopped;
    assert.ok(performance.now() - began >= 2_950);
  });

  it('keeps the public listener of the worker open', async t => {
    const publicPort = await freePort();
    const worker = await startWorker(t, { settings: { publicPort, drainDelay: 3_000 } });
    const stopped = worker.stop();
    assert.equal((await fetch(`http://127.0.0.1:${publicPort}/t/c/none`)).status, 404);
    await stopped;
    await assert.rejects(fetch(`http://127.0.0.1:${publicPort}/t/c/none`));
  });
});
