import assert from 'node:assert/strict';
import { once } from 'node:events';
import net from 'node:net';
import { describe, it } from 'node:test';
import { eventually } from '../support/eventually.ts';
import { openPublic } from './support/listeners.ts';

/** Connects and collects what comes back. */
async function connect(t: { after(fn: () => void): void }, port: number) {
  const socket = net.connect(port, '127.0.0.1');
  t.after(() => void socket.destroy());
  let text = '';
  socket.setEncoding('latin1').on('data', chunk => {
    text += chunk;
  });
  socket.on('error', () => {});
  const closed = new Promise<void>(resolve => socket.once('close', () => resolve()));
  await once(socket, 'connect');
  return { socket, closed, received: () => text };
}

describe('the public listener', () => {
  it('knows no other paths, and no other methods of its own', async t => {
    const { url } = await openPublic(t, { sns: { receive: async () => ({ status: 200 }) } });
    for (const path of ['/', '/metrics', '/healthz', '/livez', '/t/c/', '/t/o', '/t/c/a/b', '/events/sns/x', '/%zz']) {
      assert.equal((await fetch(url + path)).status, 404, path);
    }
    const wrong = [
      ['POST', '/t/c/x', 'GET, HEAD'],
      ['DELETE', '/t/o/x', 'GET, HEAD'],
      ['GET', '/events/sns', 'POST'],
      ['PUT', '/events/sns', 'POST'],
    ] as const;
    for (const [method, path, allow] of wrong) {
      const body = method === 'POST' || method === 'PUT' ? 'x=1' : null;
      const response = await fetch(url + path, { method, body });
      assert.deepEqual([response.status, response.headers.get('allow')], [405, allow], `${method} ${path}`);
    }
  });

  it('bounds URLs and headers', async t => {
    const { url } = await openPublic(t);
    assert.equal((await fetch(`${url}/t/c/${'a'.repeat(16_000)}`)).status, 404);
    assert.equal((await fetch(`${url}/t/c/x?${'a'.repeat(17_000)}`)).status, 414);
    assert.equal((await fetch(`${url}/t/c/x`, { headers: { 'x-long': 'a'.repeat(40_000) } })).status, 431);
  });

  it('ends connections that are too slow, and goes on serving others', async t => {
    const receive = () => assert.fail('a body that never ended was taken');
    const { url, port } = await openPublic(t, {
      sns: { receive },
      limits: { headersTimeout: 2_000, requestTimeout: 4_000 },
    });
    const silent = await connect(t, port);
    const slow = await connect(t, port);
    slow.socket.write('GET /t/o/x HTTP/1.1\r\nHost: x\r\n');
    const endless = await connect(t, port);
    endless.socket.write(
      'POST /events/sns HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\nContent-Length: 99\r\n\r\n',
    );
    const trickle = setInterval(() => {
      slow.socket.write('X-A: b\r\n');
      endless.socket.write('a');
    }, 50);
    t.after(() => clearInterval(trickle));
    assert.equal((await fetch(`${url}/t/o/x`)).status, 200);
    await Promise.all([silent.closed, slow.closed, endless.closed]);
    assert.doesNotMatch(slow.received(), /200 OK/);
  });

  it('bounds its connections', async t => {
    const { port } = await openPublic(t, { limits: { connections: 2 } });
    const first = await connect(t, port);
    const second = await connect(t, port);
    const third = await connect(t, port);
    await third.closed;
    first.socket.write('GET /t/o/x HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n');
    await first.closed;
    assert.match(first.received(), /^HTTP\/1\.1 200 OK/);
    second.socket.destroy();
  });

  it('says which port is taken, and which variable sets another', async t => {
    const { port } = await openPublic(t);
    await assert.rejects(
      openPublic(t, { port }),
      (error: Error) =>
        error.message.includes(`127.0.0.1:${port}`) && /taken.*SMTP_RELAY_PUBLIC_PORT/.test(error.message),
    );
  });

  it('counts requests by route, never by path', async t => {
    const { url, registry } = await openPublic(t);
    await fetch(`${url}/t/o/some-token`);
    await fetch(`${url}/some-path`);
    // The response is there before it is counted.
    const text = await eventually(async () => {
      const metrics = await registry.metrics();
      return metrics.includes('route="none"') ? metrics : '';
    });
    assert.match(
      text,
      /http_request_duration_seconds_count\{listener="public",route="\/t\/o\/:token",status="200"\} 1/,
    );
    assert.match(text, /http_request_duration_seconds_count\{listener="public",route="none",status="404"\} 1/);
    assert.doesNotMatch(text, /some-/);
  });

  it('answers 500 to a mistake of ours without a word of it, and logs it', async t => {
    const fail = () => {
      throw new Error('an internal secret');
    };
    const { url, logs } = await openPublic(t, { tracking: { tokens: fail, hits: { add: () => {} } } });
    const response = await fetch(`${url}/t/c/x`);
    assert.deepEqual([response.status, await response.text()], [500, 'Internal Server Error\n']);
    assert.match(logs.join(''), /an internal secret/);
  });
});

describe('a notification of SNS', () => {
  const NOTIFICATION = '{ "Type": "Notification",\n  "Message": "{\\"größe\\": 1}" }';

  it('is handed on as it came, with its headers', async t => {
    const taken: { body: string; headers: Record<string, unknown> }[] = [];
    const receive = async (body: string, headers: Record<string, unknown>) => {
      taken.push({ body, headers });
      return { status: 200 };
    };
    const { url } = await openPublic(t, { sns: { receive } });
    for (const type of ['text/plain; charset=UTF-8', 'application/json']) {
      const headers = { 'content-type': type, 'x-amz-sns-message-type': 'Notification' };
      const response = await fetch(`${url}/events/sns`, { method: 'POST', headers, body: NOTIFICATION });
      assert.equal(response.status, 200);
    }
    assert.deepEqual(
      taken.map(({ body, headers }) => [body, headers['x-amz-sns-message-type']]),
      [
        [NOTIFICATION, 'Notification'],
        [NOTIFICATION, 'Notification'],
      ],
    );
  });

  it('gets the status of the receiver, and not its reason', async t => {
    const receive = async () => ({ status: 403, reason: 'signature' });
    const { url, logs } = await openPublic(t, { sns: { receive } });
    const response = await fetch(`${url}/events/sns`, { method: 'POST', body: NOTIFICATION });
    assert.deepEqual([response.status, await response.text()], [403, 'Forbidden\n']);
    assert.match(logs.join(''), /"reason":"signature"/);
  });

  it('is asked for again where the receiver fails', async t => {
    const receive = () => Promise.reject(new Error('the database is away'));
    const { url } = await openPublic(t, { sns: { receive } });
    assert.equal((await fetch(`${url}/events/sns`, { method: 'POST', body: NOTIFICATION })).status, 500);
  });

  it('is bounded, and of a known type', async t => {
    let count = 0;
    const receive = async () => {
      count += 1;
      return { status: 200 };
    };
    const { url } = await openPublic(t, { sns: { receive } });
    const post = (body: string, type = 'text/plain') =>
      fetch(`${url}/events/sns`, { method: 'POST', body, headers: { 'content-type': type } });
    assert.equal((await post('a'.repeat(600_000))).status, 413);
    assert.equal((await post('a', 'application/xml')).status, 415);
    assert.equal(count, 0);
    assert.equal((await post('a'.repeat(500_000))).status, 200);
  });

  it('is for nobody where no topic is allowed', async t => {
    const { url } = await openPublic(t);
    assert.equal((await fetch(`${url}/events/sns`, { method: 'POST', body: NOTIFICATION })).status, 404);
  });
});
