import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { createServer } from 'node:net';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { Webhook } from 'standardwebhooks';
import { readSecrets, rotateSecret } from '../../src/store/webhooks/webhooks.ts';
import { newSecret } from '../../src/webhooks/signing.ts';
import { eventually } from '../support/eventually.ts';
import { needs } from '../support/needs.ts';
import { answer, hang, type Received, reset, startReceiver } from './receiver.ts';
import { createSystem, found } from './system.ts';

const VERIFY = fileURLToPath(new URL('./verify.py', import.meta.url));

/** By the package, with either family's names. @throws where it is not good */
function verifyByPackage(secret: string, { headers, body }: Received, family: 'webhook' | 'svix'): unknown {
  const renamed = Object.fromEntries(
    ['id', 'timestamp', 'signature'].map(name => [`webhook-${name}`, String(headers[`${family}-${name}`])]),
  );
  return new Webhook(secret).verify(body.toString(), renamed);
}

function verifyByPython(secret: string, { headers, body }: Received) {
  const input = JSON.stringify({ secret, headers, body: body.toString('base64') });
  return spawnSync('python3', [VERIFY], { input, encoding: 'utf8', timeout: 60_000 });
}

describe('a delivery', { concurrency: true }, () => {
  it('is a signed POST of the event, long before the next look for due ones', async t => {
    const system = await createSystem(t);
    const receiver = await startReceiver(t);
    const { secret } = await system.endpoint(receiver.url, { events: ['email.bounced'] });
    const dispatcher = system.dispatcher({ pollInterval: 600_000 });
    // The first look is over.
    await eventually(async () => (await system.registry.metrics()).includes('smtp_relay_webhook_deliveries_due 0'));
    const payload = {
      email_id: 'e1',
      to: ['ü@example.com'],
      bounce: { type: 'hard', code: 12345678901234567890n.toString() },
    };
    const [id] = await system.events(1, { type: 'bounced', payload });
    dispatcher.wake();
    const request = await found(() => receiver.received[0]);
    const body = JSON.parse(request.body.toString());
    const { rows } = await system.pool.query('select received_at from email_events where id = $1', [id]);
    assert.deepEqual(body, { id, type: 'email.bounced', created_at: rows[0].received_at.toISOString(), data: payload });
    assert.deepEqual(Object.keys(body), ['id', 'type', 'created_at', 'data']);
    assert.equal(request.headers['content-type'], 'application/json');
    assert.equal(request.headers['webhook-id'], id);
    for (const family of ['webhook', 'svix'] as const) assert.deepEqual(verifyByPackage(secret, request, family), body);
    assert.throws(() => verifyByPackage(newSecret(), request, 'webhook'), /No matching signature/);
    const delivery = await found(async () => (await system.deliveries()).find(row => row.status === 'success'));
    assert.deepEqual(
      [delivery.attempt, delivery.status_code, delivery.response_body, delivery.next_retry_at],
      [1, 200, 'taken', null],
    );
    assert.match(await system.registry.metrics(), /smtp_relay_webhook_attempts_total\{result="success"\} 1\n/);
  });

  it('verifies by a program written from the specification', { skip: needs('python3') }, async t => {
    const system = await createSystem(t);
    const receiver = await startReceiver(t);
    const { secret } = await system.endpoint(receiver.url);
    await system.events(1, { payload: { subject: 'Grüße' } });
    system.dispatcher();
    const request = await found(() => receiver.received[0]);
    const good = verifyByPython(secret, request);
    assert.equal(good.status, 0, good.stderr);
    assert.deepEqual(JSON.parse(good.stdout), JSON.parse(request.body.toString()));
    assert.equal(verifyByPython(newSecret(), request).status, 1);
    const altered = { ...request, body: Buffer.concat([request.body, Buffer.from(' ')]) };
    assert.equal(verifyByPython(secret, altered).status, 1);
  });

  it('goes to the active endpoints of the owner that asked for it', async t => {
    const system = await createSystem(t);
    const receiver = await startReceiver(t);
    const at = (path: string) => new URL(path, receiver.url).href;
    await system.endpoint(at('/all'));
    await system.endpoint(at('/opened'), { events: ['email.sent', 'email.opened'] });
    await system.endpoint(at('/other-event'), { events: ['email.sent'] });
    await system.endpoint(at('/other-owner'), { owner: 'other' });
    const off = await system.endpoint(at('/off'));
    await system.pool.query(`update webhooks set status = 'disabled' where id = $1`, [off.id]);
    await system.events(1, { type: 'opened' });
    system.dispatcher();
    await eventually(async () => (await system.deliveries()).every(({ status }) => status === 'success'));
    assert.deepEqual(receiver.received.map(({ path }) => path).sort(), ['/all', '/opened']);
  });

  it('is signed with both secrets during a rotation, and with the new one after it', async t => {
    const system = await createSystem(t);
    const receiver = await startReceiver(t);
    const { id, secret: old } = await system.endpoint(receiver.url);
    const [stored] = await readSecrets(system.pool, id);
    const fresh = newSecret();
    assert.ok(stored);
    await rotateSecret(system.pool, stored, system.box.seal(fresh, id), 60_000);
    await assert.rejects(
      rotateSecret(system.pool, stored, system.box.seal(fresh, id), 60_000),
      /changed by someone else/,
    );
    const dispatcher = system.dispatcher();
    await system.events();
    dispatcher.wake();
    const during = await found(() => receiver.received[0]);
    for (const secret of [old, fresh]) verifyByPackage(secret, during, 'webhook');
    assert.match(String(during.headers['svix-signature']), /^v1,\S+ v1,\S+$/);
    await system.pool.query(`update smtp_relay_webhooks set previous_until = now()`);
    await system.events();
    dispatcher.wake();
    const after = await found(() => receiver.received[1]);
    verifyByPackage(fresh, after, 'webhook');
    assert.throws(() => verifyByPackage(old, after, 'webhook'), /No matching signature/);
  });

  it('has the same bytes and id at each try, and the time of the try', async t => {
    const system = await createSystem(t);
    const receiver = await startReceiver(t);
    const { secret } = await system.endpoint(receiver.url);
    receiver.behave(answer(500, 'no'));
    let time = new Date();
    const dispatcher = system.dispatcher({}, { now: () => time });
    await system.events(1, { payload: { b: 1, a: { z: [1.5, null], y: 'ü' } } });
    dispatcher.wake();
    await eventually(async () => (await system.deliveries())[0]?.status === 'failed');
    time = new Date(time.getTime() + 5_000);
    await system.makeDue();
    dispatcher.wake();
    const [first, second] = await found(() => receiver.received.length === 2 && receiver.received);
    assert.ok(first && second);
    assert.deepEqual(second.body, first.body);
    assert.equal(second.headers['webhook-id'], first.headers['webhook-id']);
    assert.equal(Number(second.headers['svix-timestamp']) - Number(first.headers['svix-timestamp']), 5);
    for (const request of [first, second]) verifyByPackage(secret, request, 'svix');
  });
});

describe('a delivery that fails', { concurrency: true }, () => {
  it('is tried again after 5 s, 5 min, 30 min, 2 h, 5 h, 10 h, and then dead-lettered', async t => {
    const system = await createSystem(t);
    const receiver = await startReceiver(t);
    await system.endpoint(receiver.url);
    receiver.behave(answer(503, 'later'));
    const dispatcher = system.dispatcher();
    await system.events();
    const pauses: (number | null)[] = [];
    for (let attempts = 1; attempts <= 7; attempts += 1) {
      await system.makeDue();
      dispatcher.wake();
      const delivery = await found(async () => (await system.deliveries()).find(({ attempt }) => attempt === attempts));
      assert.equal(delivery.status, attempts === 7 ? 'dead_letter' : 'failed');
      assert.deepEqual([delivery.status_code, delivery.response_body], [503, 'later']);
      pauses.push(delivery.pause === null ? null : Math.round(delivery.pause));
    }
    assert.deepEqual(pauses, [5, 300, 1_800, 7_200, 18_000, 36_000, null]);
    assert.equal(receiver.received.length, 7);
  });

  it('waits longer where Retry-After asks for it, but not for ever', async t => {
    const system = await createSystem(t);
    const receiver = await startReceiver(t);
    await system.endpoint(receiver.url);
    const dispatcher = system.dispatcher();
    for (const [asked, pause] of [
      [() => '120', 120],
      [() => '1', 5],
      [() => 'nonsense', 5],
      [() => '99999999', 36_000],
      [() => new Date(Date.now() + 600_000).toUTCString(), 600],
    ] as const) {
      const retryAfter = asked();
      receiver.behave(answer(429, '', { 'retry-after': retryAfter }));
      const [eventId] = await system.events();
      dispatcher.wake();
      const delivery = await found(async () =>
        (await system.deliveries()).find(row => row.event_id === eventId && row.status === 'failed'),
      );
      // Of a date, what is left when the answer comes.
      assert.ok(Math.abs((delivery.pause ?? 0) - pause) < Math.max(3, pause / 10), `${retryAfter}: ${delivery.pause}`);
    }
  });

  it('tells what happened', async t => {
    const system = await createSystem(t);
    const receiver = await startReceiver(t);
    const elsewhere = await startReceiver(t);
    const closed = await new Promise<number>(resolve => {
      const server = createServer().listen(0, '127.0.0.1', () => {
        const { port } = server.address() as { port: number };
        server.close(() => resolve(port));
      });
    });
    receiver.behave((request, response) => {
      const behaviours = {
        '/redirect': answer(302, 'moved', { location: elsewhere.url }),
        '/gone-later': answer(404, 'unknown'),
        '/hang': hang,
        '/reset': reset,
        '/slow-body': () => void response.writeHead(200).write('a'),
        '/upgrade': answer(101, '', { connection: 'upgrade', upgrade: 'x' }),
      };
      behaviours[request.path as keyof typeof behaviours](request, response);
    });
    const cases: [string, number | null, RegExp][] = [
      ['/redirect', 302, /^moved$/],
      ['/gone-later', 404, /^unknown$/],
      ['/hang', null, /^no answer within 3000 ms$/],
      ['/reset', null, /could not be reached: ECONNRESET$/],
      ['/slow-body', null, /^no answer within 3000 ms$/],
      ['/upgrade', null, /could not be reached/],
      [`http://127.0.0.1:${closed}/`, null, /could not be reached: ECONNREFUSED$/],
      [`${receiver.url.replace('http:', 'https:')}`, null, /could not be reached: /],
      ['http://does-not-exist.invalid/', null, /could not be reached: E/],
      ['http://10.0.0.1/', null, /^refused: the address of the endpoint is not a public one/],
      ['ftp://127.0.0.1/', null, /not one of http or https/],
    ];
    const endpoints = await Promise.all(cases.map(([url]) => system.endpoint(new URL(url, receiver.url).href)));
    const resolve = async () => Promise.reject(Object.assign(new Error('no such name'), { code: 'ENOTFOUND' }));
    system.dispatcher({ timeout: 3_000 }, { resolve });
    await system.events();
    for (const [index, [url, code, text]] of cases.entries()) {
      const delivery = await found(async () => {
        const [row] = await system.deliveries(endpoints[index]?.id);
        return row?.status === 'failed' && row;
      });
      assert.deepEqual([url, delivery.status_code, delivery.attempt], [url, code, 1]);
      assert.match(String(delivery.response_body), text, url);
    }
    assert.equal(elsewhere.received.length, 0);
  });

  it('keeps up to 4 KB of the answer as text, and reads no more', async t => {
    const system = await createSystem(t);
    const receiver = await startReceiver(t);
    await system.endpoint(receiver.url);
    let written = 0;
    let closed = false;
    receiver.behave((_, response) => {
      response.writeHead(500);
      response.write('a\0b\xff');
      const more = () => {
        while (!response.destroyed && response.write('ü'.repeat(8_192))) written += 16_384;
      };
      response.on('drain', more);
      response.on('close', () => {
        closed = true;
      });
      more();
    });
    await system.events();
    system.dispatcher();
    const delivery = await found(async () => (await system.deliveries()).find(({ status }) => status === 'failed'));
    const text = String(delivery.response_body);
    assert.match(text, /^abÿü+$/);
    assert.ok(Buffer.byteLength(text) <= 4_096 && Buffer.byteLength(text) > 4_000, String(Buffer.byteLength(text)));
    // The connection was closed on it.
    await eventually(() => closed);
    assert.ok(written < 50_000_000, `${written} bytes were taken`);
  });

  it('is not sent unsigned, nor is the endpoint blamed for that', async t => {
    const system = await createSystem(t);
    const receiver = await startReceiver(t);
    const { id } = await system.endpoint(receiver.url);
    await system.pool.query(`update webhooks set signing_secret_enc = 'iv:something else'`);
    await system.events();
    system.dispatcher({ disableAfter: 0 });
    const delivery = await found(async () => (await system.deliveries(id)).find(({ status }) => status === 'failed'));
    assert.match(String(delivery.response_body), /no signing secret that can be read/);
    assert.equal(receiver.received.length, 0);
    assert.deepEqual((await system.pool.query('select status from webhooks')).rows, [{ status: 'active' }]);
  });
});
