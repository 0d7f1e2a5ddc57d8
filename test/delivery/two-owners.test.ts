import assert from 'node:assert/strict';
import { once } from 'node:events';
import net from 'node:net';
import { describe, it, type TestContext } from 'node:test';
import { freePort } from '../../dev/ports.ts';
import type { Queryable } from '../../src/postgres/pool.ts';
import { insertMessages } from '../../src/store/messages/insert.ts';
import { eventually } from '../support/eventually.ts';
import { createQueue } from '../support/queue.ts';
import { startFakeSes } from '../support/ses/start.ts';
import { newMessage, storeMessage } from '../support/stored.ts';
import { startWorker } from '../support/worker.ts';
import { startSending } from './support/sending.ts';
import { startSmarthost } from './support/smarthost.ts';

const SES = { transport: 'ses', 'ses.sendRate': 100_000 };

/** Milliseconds. Beside the other's trouble it took minutes; the machine may have a lot to do. */
const AT_ONCE = 50_000;

/** Takes every connection, and never says a word. */
async function startSilent(t: TestContext): Promise<number> {
  const sockets = new Set<net.Socket>();
  const server = net.createServer(socket => {
    sockets.add(socket);
    socket.on('error', () => {});
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return (server.address() as net.AddressInfo).port;
}

function smarthost(name: string, domain: string, port: number) {
  return { name, domains: [domain], transport: 'smtp', smtp: { host: '127.0.0.1', port, security: 'none' } };
}

async function storeMany(db: Queryable, count: number, userId: string, domain: string): Promise<void> {
  for (let left = count; left > 0; left -= 100) {
    const messages = Array.from({ length: Math.min(left, 100) }, () =>
      newMessage({ userId, from: `hello@${domain}`, messageId: null }),
    );
    await insertMessages(db, messages, { outboxLease: 0 });
  }
}

/** Milliseconds until it is sent. */
async function timeOf(db: Queryable, id: string): Promise<number> {
  const began = performance.now();
  await eventually(
    async () => (await db.query('select status from emails where id = $1', [id])).rows[0]?.status === 'sent',
  );
  return performance.now() - began;
}

async function counts(db: Queryable, userId: string) {
  const { rows } = await db.query(
    `select (select count(*)::integer from smtp_relay_claims c join emails e on e.id = c.email_id where user_id = $1) as claims,
            (select count(*)::integer from smtp_relay_attempts a join emails e on e.id = a.email_id where user_id = $1) as attempts,
            (select count(*)::integer from emails where user_id = $1 and status = 'sent') as sent`,
    [userId],
  );
  return rows[0] as { readonly claims: number; readonly attempts: number; readonly sent: number };
}

describe('beside an owner whose smarthost says nothing', { concurrency: true }, () => {
  for (const byQueue of [false, true]) {
    it(`another's mail goes out at once, ${byQueue ? 'by a queue' : 'straight from the outbox'}`, async t => {
      const ses = await startFakeSes(t);
      const queue = byQueue ? await createQueue(t) : null;
      const routes = [smarthost('silent', 'a.test', await startSilent(t))];
      const worker = await startWorker(t, { queue, settings: { ...SES, 'ses.endpoint': ses.endpoint, routes } });
      const { db } = worker;
      await storeMany(db, 400, 'a', 'a.test');
      await eventually(async () => (await counts(db, 'a')).claims > 0);
      for (let nth = 0; nth < 3; nth += 1) {
        const id = await storeMessage(db, { userId: 'b', from: 'hello@b.test' });
        const took = await timeOf(db, id);
        assert.ok(took < AT_ONCE, `took ${Math.round(took)} ms`);
      }
      const { claims } = await counts(db, 'a');
      assert.ok(claims <= 10, `${claims} messages are held for a smarthost that says nothing`);
    });
  }
});

describe('an account that may not send', () => {
  const paused = { kind: 'error', status: 400, name: 'SendingPausedException', message: 'Sending is paused.' } as const;

  it('gets one call at a time, while all else waits without an attempt, and another region sends', async t => {
    const sending = await startSending(t, {
      'ses.region': 'us-east-1',
      'retries.firstPause': 1_000,
      httpPort: await freePort(),
    });
    const { db, ses, worker } = sending;
    // Both leave by the route `default`.
    await db.query(
      `insert into domains (id, user_id, name, region, status) values (gen_random_uuid(), 'a', 'a.test', 'eu-west-1', 'verified')`,
    );
    ses.faults.plan({ ...paused, times: Number.POSITIVE_INFINITY });
    await storeMany(db, 60, 'a', 'a.test');
    const health = async () =>
      (await fetch(`http://127.0.0.1:${worker.httpPort}/healthz`)).json() as Promise<{
        readonly status: string;
        readonly shutRoutes: readonly { readonly route: string; readonly reason: string }[];
      }>;
    await eventually(async () => (await health()).shutRoutes[0]?.reason === 'paused');
    const { status, shutRoutes } = await health();
    assert.deepEqual([status, shutRoutes[0]?.route], ['degraded', 'default eu-west-1']);
    await new Promise(resolve => setTimeout(resolve, 1_000));
    const { attempts, claims } = await counts(db, 'a');
    assert.ok(attempts <= 10, `${attempts} attempts`);
    assert.ok(claims <= 10, `${claims} claims`);
    ses.faults.clear();
    await eventually(async () => (await counts(db, 'a')).sent === 60);
    const { rows } = await db.query('select count(*)::integer as messages from smtp_relay_messages where put_off > 0');
    assert.ok(rows[0].messages >= 40, `${rows[0].messages} were put off`);
    assert.equal(new Set(ses.mailbox.messages.map(({ tags }) => tags['smtp-relay-email-id'])).size, 60);
    assert.equal(ses.mailbox.messages.length, 60, 'nothing is doubled');
  });
});

describe('a configuration set that may not send', () => {
  it('holds up the mail of its owner, and none that leaves by the same account', async t => {
    const sending = await startSending(t, { 'retries.firstPause': 1_000, httpPort: await freePort() });
    const { db, ses, worker } = sending;
    for (const [owner, domain] of [
      ['a', 'a.test'],
      ['b', 'b.test'],
    ])
      await db.query(
        `insert into domains (id, user_id, name, region, ses_configuration_set_name, status)
         values (gen_random_uuid(), $1, $2, 'us-east-1', $3, 'verified')`,
        [owner, domain, owner],
      );
    ses.account.pausedSets.add('a');
    await storeMany(db, 60, 'a', 'a.test');
    const shut = async () => {
      const answer = await fetch(`http://127.0.0.1:${worker.httpPort}/healthz`);
      return ((await answer.json()) as { shutRoutes: { route: string; reason: string }[] }).shutRoutes;
    };
    await eventually(async () => (await shut()).length > 0);
    for (let nth = 0; nth < 5; nth += 1) {
      const id = await storeMessage(db, { userId: 'b', from: 'hello@b.test' });
      assert.ok((await timeOf(db, id)) < AT_ONCE);
      assert.deepEqual(
        (await shut()).map(({ route, reason }) => [route, reason]),
        [['default us-east-1 a', 'paused']],
      );
    }
    const { attempts } = await counts(db, 'a');
    assert.ok(attempts <= 40, `${attempts} attempts`);
    ses.account.pausedSets.clear();
    await eventually(async () => (await counts(db, 'a')).sent === 60);
    assert.equal(ses.mailbox.messages.length, 65, 'nothing is doubled');
    assert.deepEqual(await shut(), []);
  });
});

describe('a smarthost that refuses the log-in', () => {
  it("is tried with few messages, while its owner's mail by another way goes on, and is well in time", async t => {
    let isRefused = true;
    const host = await startSmarthost(t, step => (step === 'AUTH' && isRefused ? '535 5.7.8 no' : undefined));
    const ses = await startFakeSes(t);
    const login = { user: 'relay', password: 'pa55word' };
    const route = smarthost('theirs', 'a.test', host.port);
    const routes = [{ ...route, smtp: { ...route.smtp, ...login } }];
    const settings = { ...SES, 'ses.endpoint': ses.endpoint, routes, 'retries.firstPause': 1_000 };
    const { db } = await startWorker(t, { settings });
    await storeMany(db, 50, 'a', 'a.test');
    await eventually(async () => (await counts(db, 'a')).attempts > 0);
    const other = await storeMessage(db, { userId: 'a', from: 'hello@elsewhere.test' });
    assert.ok((await timeOf(db, other)) < AT_ONCE);
    const { attempts } = await counts(db, 'a');
    assert.ok(attempts <= 15, `${attempts} attempts`);
    isRefused = false;
    await eventually(async () => (await counts(db, 'a')).sent === 51);
    assert.equal(host.messages.length, 50);
  });
});
