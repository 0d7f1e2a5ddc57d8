import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import { leaseDeliveries } from '../../src/store/webhooks/leases.ts';
import { enableWebhook, parkDisabled, resumeParked } from '../../src/store/webhooks/webhooks.ts';
import { eventually } from '../support/eventually.ts';
import { answer, hang, reset, startReceiver } from './receiver.ts';
import { createSystem, found, type System } from './system.ts';

const FIVE_DAYS = 432_000_000;

async function allDone(system: System, webhookId?: string): Promise<boolean> {
  return (await system.deliveries(webhookId)).every(({ status }) => status === 'success');
}

describe('the dispatcher', { concurrency: true }, () => {
  it('lets no slow or dead endpoint delay the others', async t => {
    const system = await createSystem(t);
    const [live, dead] = [await startReceiver(t), await startReceiver(t)];
    dead.behave(hang);
    const target = await system.endpoint(live.url);
    for (let count = 0; count < 5; count += 1) await system.endpoint(`${dead.url}/${count}`);
    const ids = await system.events(100);
    // Far longer than the test may take: a live delivery that waited for a dead one would never come.
    const dispatcher = system.dispatcher({ timeout: 600_000, concurrency: 2 });
    await eventually(() => live.received.length === ids.length);
    await eventually(() => allDone(system, target.id));
    assert.equal(dead.received.length, 10);
    await dispatcher.stop(0);
  });

  it('keeps to the number of deliveries under way to one endpoint, on connections that stay open', async t => {
    const system = await createSystem(t);
    const receiver = await startReceiver(t);
    let [underWay, most] = [0, 0];
    receiver.behave((request, response) => {
      underWay += 1;
      most = Math.max(most, underWay);
      setTimeout(() => {
        underWay -= 1;
        answer(200)(request, response);
      }, 5);
    });
    await system.endpoint(receiver.url);
    await system.events(60);
    system.dispatcher({ concurrency: 3 });
    await eventually(() => allDone(system));
    assert.equal(most, 3);
    assert.equal(receiver.connections(), 3);
  });

  it('goes on by itself while there is more, without waiting for the next look', async t => {
    const system = await createSystem(t);
    const receiver = await startReceiver(t);
    await system.endpoint(receiver.url);
    await system.events(60);
    system.dispatcher({ concurrency: 2, pollInterval: 600_000 });
    await eventually(() => receiver.received.length === 60);
  });

  it('tries a delivery again at once where only the connection had grown old', async t => {
    const system = await createSystem(t);
    const receiver = await startReceiver(t);
    await system.endpoint(receiver.url);
    const dispatcher = system.dispatcher({ concurrency: 1 });
    await system.events();
    dispatcher.wake();
    await eventually(() => allDone(system));
    let resets = 0;
    receiver.behave((request, response) => {
      if (receiver.connections() > 1) return answer(200)(request, response);
      resets += 1;
      reset(request, response);
    });
    await system.events();
    dispatcher.wake();
    await eventually(() => allDone(system));
    assert.equal(resets, 1);
    assert.deepEqual(
      (await system.deliveries()).map(({ attempt }) => attempt),
      [1, 1],
    );
  });

  it('shares the work with others: nothing is delivered twice', async t => {
    const system = await createSystem(t);
    const receiver = await startReceiver(t);
    for (let count = 0; count < 4; count += 1) await system.endpoint(`${receiver.url}/${count}`);
    await system.events(40);
    for (let count = 0; count < 3; count += 1) system.dispatcher({ pollInterval: 20 });
    await eventually(() => allDone(system));
    assert.equal(receiver.received.length, 160);
    const ids = new Set(receiver.received.map(({ path, headers }) => `${path} ${headers['webhook-id']}`));
    assert.equal(ids.size, 160);
  });

  it('takes up what a killed one held when its lease ends, and not before', async t => {
    const system = await createSystem(t);
    const receiver = await startReceiver(t);
    const { id } = await system.endpoint(receiver.url);
    await system.events();
    const lease = { rooms: [], room: 10, limit: 10, leaseTime: 600_000 };
    assert.equal((await leaseDeliveries(system.pool, lease)).length, 1);
    assert.equal((await leaseDeliveries(system.pool, lease)).length, 0);
    const dispatcher = system.dispatcher();
    const other = await system.endpoint(`${receiver.url}/other`);
    await system.events();
    dispatcher.wake();
    const held = await found(async () => {
      const [done, left] = [await system.deliveries(other.id), await system.deliveries(id)];
      const pending = left.filter(({ status }) => status === 'pending');
      return done[0]?.status === 'success' && pending.length === 1 && pending[0];
    });
    assert.equal(receiver.received.length, 2);
    assert.ok((held.pause ?? 0) > 0, `due in ${held.pause} s`);
    await system.endLeases();
    dispatcher.wake();
    await eventually(() => allDone(system, id));
    assert.equal(receiver.received.length, 3);
  });

  it('writes nothing over the outcome of another that had to take over', async t => {
    const system = await createSystem(t);
    const receiver = await startReceiver(t);
    await system.endpoint(receiver.url);
    let release = () => {};
    receiver.behave((request, response) => {
      release = () => answer(500)(request, response);
    });
    await system.events();
    const slow = system.dispatcher();
    await eventually(() => receiver.received.length === 1);
    receiver.behave(answer(200));
    await system.endLeases();
    system.dispatcher();
    await eventually(() => allDone(system));
    release();
    await slow.stop();
    assert.deepEqual(
      (await system.deliveries()).map(({ status, attempt }) => [status, attempt]),
      [['success', 1]],
    );
    assert.match(await system.registry.metrics(), /attempts_total\{result="rejected"\} 1\n/);
  });

  it('gives back at its stop what it has not done', async t => {
    const system = await createSystem(t);
    const receiver = await startReceiver(t);
    receiver.behave(hang);
    await system.endpoint(receiver.url);
    await system.events(10);
    const stopping = system.dispatcher({ concurrency: 2, timeout: 600_000 });
    await eventually(() => receiver.received.length === 2);
    await stopping.stop(50);
    const deliveries = await system.deliveries();
    assert.ok(
      deliveries.every(({ status, attempt, pause }) => status === 'pending' && attempt === 0 && (pause ?? 1) <= 0),
    );
    receiver.behave(answer(200));
    system.dispatcher();
    await eventually(() => allDone(system));
  });

  it('goes on after the database was away', async t => {
    const system = await createSystem(t);
    const receiver = await startReceiver(t);
    await system.endpoint(receiver.url);
    let failures = 3;
    const pool = Object.create(system.pool, {
      query: {
        value: (...args: Parameters<typeof system.pool.query>) =>
          failures-- > 0 ? Promise.reject(new Error('connection lost')) : system.pool.query(...args),
      },
    });
    await system.events();
    system.dispatcher({ pollInterval: 20 }, { pool });
    await eventually(() => allDone(system));
  });
});

describe('an endpoint that fails', { concurrency: true }, () => {
  const DAY = 24 * 3600;

  /** An endpoint that fails, another of the same owner, and time that passes for the first. */
  async function startFailing(t: TestContext) {
    const system = await createSystem(t);
    const [failing, other] = [await startReceiver(t), await startReceiver(t)];
    failing.behave(answer(502, 'broken'));
    const { id } = await system.endpoint(failing.url, { events: ['email.sent', 'webhook.disabled'] });
    await system.endpoint(other.url, { events: ['webhook.disabled'] });
    const dispatcher = system.dispatcher({ disableAfter: FIVE_DAYS });
    const tried = async (...statuses: string[]) => {
      const [eventId] = await system.events();
      dispatcher.wake();
      await eventually(async () =>
        (await system.deliveries(id)).some(
          row => row.event_id === eventId && row.attempt === 1 && statuses.includes(row.status),
        ),
      );
    };
    return {
      ...{ system, failing, other, id, dispatcher },
      // What disables the endpoint is parked with all the others, before anybody may have looked.
      fail: () => tried('failed', 'parked'),
      async succeed() {
        failing.behave(answer(200));
        await tried('success');
        failing.behave(answer(502, 'broken'));
      },
      status: async () => (await system.pool.query('select status from webhooks where id = $1', [id])).rows[0].status,
      pass: (seconds: number) =>
        system.pool.query(
          `update smtp_relay_webhooks set failing_since = failing_since - make_interval(secs => $1),
                                          failed_at = failed_at - make_interval(secs => $1)`,
          [seconds],
        ),
    };
  }

  it('is disabled after five days without one success, and the owner hears of it elsewhere', async t => {
    const { system, failing, other, id, dispatcher, fail, succeed, status, pass } = await startFailing(t);
    const stranger = await system.endpoint(`${other.url}/stranger`, { owner: 'stranger' });
    for (let day = 0; day < 5; day += 1) {
      await fail();
      await pass(DAY);
    }
    await succeed();
    for (let day = 0; day < 5; day += 1) {
      await fail();
      assert.equal(await status(), 'active');
      await pass(DAY);
    }
    await fail();
    await eventually(async () => (await status()) === 'disabled');

    const told = await found(() => other.received[0]);
    const { type, data } = JSON.parse(told.body.toString());
    assert.equal(type, 'webhook.disabled');
    const { failing_since: since, ...rest } = data;
    assert.deepEqual(rest, { webhook_id: id, url: failing.url, last_status_code: 502, last_error: 'broken' });
    assert.ok(Math.abs(Date.parse(since) - (Date.now() - FIVE_DAYS)) < 60_000, since);
    const { rows } = await system.pool.query(`select type, user_id, email_id from email_events where type <> 'sent'`);
    assert.deepEqual(rows, [{ type: 'webhook_disabled', user_id: 'acme', email_id: null }]);
    assert.deepEqual(await system.deliveries(stranger.id), []);

    // What has tries left waits for whoever enables it, and then has those that it had.
    const left = () => system.deliveries(id).then(all => all.filter(row => row.status !== 'success'));
    await eventually(async () => (await left()).every(row => row.status === 'parked' && row.next_retry_at === null));
    assert.deepEqual([...new Set((await left()).map(row => row.attempt))], [1]);
    failing.behave(answer(200));
    await enableWebhook(system.pool, id);
    assert.equal(await resumeParked(system.pool, id), 11);
    dispatcher.wake();
    await eventually(async () => (await left()).length === 0);
    assert.equal(Math.max(...(await system.deliveries(id)).map(row => row.attempt)), 2);
  });

  it('is not disabled for one failure after quiet days, nor for many that came together', async t => {
    const { fail, status, pass } = await startFailing(t);
    await fail();
    await pass(6 * DAY);
    await fail();
    for (let count = 0; count < 5; count += 1) await fail();
    await pass(2.4 * DAY);
    for (let count = 0; count < 5; count += 1) await fail();
    await pass(2.7 * DAY);
    for (let count = 0; count < 5; count += 1) await fail();
    assert.equal(await status(), 'active');
    // From here on it fails for five days.
    for (const days of [2, 2]) {
      await pass(days * DAY);
      await fail();
    }
    assert.equal(await status(), 'active');
    await pass(1.1 * DAY);
    await fail();
    await eventually(async () => (await status()) === 'disabled');
  });

  it('and is enabled at the very moment that its deliveries are parked leaves none behind', async t => {
    const system = await createSystem(t);
    const { id } = await system.endpoint('http://127.0.0.1:9999/');
    await system.events(3);
    await system.pool.query(`update webhooks set status = 'disabled' where id = $1`, [id]);
    const client = await system.pool.connect();
    await client.query('begin');
    assert.equal(await parkDisabled(client, 100), 3);
    const enabled = enableWebhook(system.pool, id).then(() => resumeParked(system.pool, id));
    await new Promise(resolve => setTimeout(resolve, 50));
    await client.query('commit');
    client.release();
    assert.equal(await enabled, 3);
    assert.deepEqual(
      (await system.deliveries(id)).map(({ status }) => status),
      ['pending', 'pending', 'pending'],
    );
  });

  it('is disabled at once where it answers 410', async t => {
    const system = await createSystem(t);
    const receiver = await startReceiver(t);
    receiver.behave(answer(410, 'gone'));
    const { id } = await system.endpoint(receiver.url);
    await system.events();
    system.dispatcher();
    await eventually(async () => (await system.deliveries(id))[0]?.status === 'dead_letter');
    // What is written about the endpoint follows what is written about its deliveries.
    await eventually(
      async () => (await system.pool.query('select status from webhooks')).rows[0]?.status === 'disabled',
    );
    await eventually(async () => /smtp_relay_webhooks_disabled_total 1\n/.test(await system.registry.metrics()));
  });
});
