import assert from 'node:assert/strict';
import type { LookupAddress } from 'node:dns';
import { describe, it } from 'node:test';
import { createAddressGuard } from '../../src/webhooks/address-guard.ts';
import { parseEndpointUrl } from '../../src/webhooks/endpoint.ts';
import { createEndpointClient, NoAnswer } from '../../src/webhooks/endpoint-client.ts';
import { cachedResolve } from '../../src/webhooks/resolver.ts';
import { answer, startReceiver } from './receiver.ts';

const REFUSED = `
  0.0.0.0 0.1.2.3 10.0.0.1 10.255.255.255 100.64.0.1 100.100.100.200 127.0.0.1 127.1.2.3 168.63.129.16 169.254.169.254
  169.254.170.2 172.16.0.1 172.31.255.255 192.0.0.192 192.0.2.1 192.168.1.1 198.18.0.1 198.19.255.255 198.51.100.1
  203.0.113.1 224.0.0.1 239.255.255.255 240.0.0.1 255.255.255.255
  :: ::1 ::127.0.0.1 ::ffff:127.0.0.1 ::ffff:7f00:1 0:0:0:0:0:ffff:a00:1 ::ffff:169.254.169.254 64:ff9b::7f00:1
  64:ff9b::169.254.169.254 64:ff9b:1::808:808 100::1 2001::1 2001:db8::1 2002:7f00:1:: 2002:a00:1::1 3fff::1 fc00::1
  fd00:ec2::254 fe80::1 fe80::1%eth0 fec0::1 ff02::1 5f00::1
  localhost example.com 1.2.3 2130706433`;

const PUBLIC = `
  1.1.1.1 8.8.8.8 9.255.255.255 11.0.0.0 100.63.255.255 100.128.0.0 172.15.255.255 172.32.0.0 192.0.3.1 198.17.0.1
  223.255.255.255 2606:4700:4700::1111 2a00:1450:4001::1 ::ffff:8.8.8.8 64:ff9b::8.8.8.8 64:ff9b::808:808`;

const words = (text: string) => text.trim().split(/\s+/);

describe('the address guard', () => {
  const guard = createAddressGuard([]);
  for (const address of words(REFUSED)) it(`refuses ${address}`, () => assert.equal(guard(address), false));
  for (const address of words(PUBLIC)) it(`lets ${address} pass`, () => assert.equal(guard(address), true));

  it('lets pass what the configuration allows, in any of its forms', () => {
    const allowing = createAddressGuard(['10.1.0.0/16', '127.0.0.1', 'fd00:1::/32']);
    for (const address of words('10.1.2.3 127.0.0.1 ::ffff:10.1.2.3 64:ff9b::10.1.2.3 fd00:1::5')) {
      assert.equal(allowing(address), true, address);
    }
    for (const address of words('10.2.0.1 127.0.0.2 ::1 fd00:2::5 169.254.169.254')) {
      assert.equal(allowing(address), false, address);
    }
    assert.equal(createAddressGuard(['::/0'])('10.0.0.1'), false);
  });
});

describe('a connection to an endpoint', { concurrency: true }, () => {
  const only = (address: string, family = 4): LookupAddress[] => [{ address, family }];

  function clientFor(resolve: (hostname: string) => Promise<LookupAddress[]>, allowed: string[] = ['127.0.0.1/32']) {
    return createEndpointClient({ timeout: 60_000, connections: 1, guard: createAddressGuard(allowed), resolve });
  }

  const refused = (error: unknown) => error instanceof NoAnswer && error.reason === 'refused';
  const post = (client: ReturnType<typeof clientFor>, url: string) => client.post(url, {}, Buffer.from('{}'));

  it('is made to none of the spellings of a refused address', async () => {
    const client = clientFor(() => Promise.reject(new Error('no name was to be looked up')), []);
    for (const host of words(`
      127.0.0.1 127.1 2130706433 0x7f000001 0177.0.0.1 0 [::1] [::ffff:127.0.0.1] [::ffff:7f00:1] [0:0:0:0:0:ffff:7f00:0001]
      169.254.169.254 0xa9fea9fe [fd00:ec2::254] [64:ff9b::7f00:1] %31%32%37.0.0.1 １２７.0.0.1`)) {
      await assert.rejects(post(client, `http://${host}:8009/`), refused, host);
      await assert.rejects(post(client, `https://${host}:8009/`), refused, host);
    }
  });

  it('is made to none of the refused addresses of a name', async t => {
    const receiver = await startReceiver(t);
    const port = new URL(receiver.url).port;
    for (const address of ['127.0.0.2', '10.0.0.1', '::1', '::ffff:127.0.0.2', '169.254.169.254']) {
      const client = clientFor(async () => only(address, address.includes(':') ? 6 : 4));
      await assert.rejects(post(client, `http://endpoint.test:${port}/`), refused, address);
    }
    const mixed = clientFor(async () => [...only('127.0.0.2'), ...only('::1', 6), ...only('127.0.0.1')]);
    assert.equal((await post(mixed, `http://endpoint.test:${port}/`)).statusCode, 200);
    mixed.close();
    await assert.rejects(
      post(
        clientFor(async () => []),
        `http://endpoint.test:${port}/`,
      ),
      refused,
    );
    assert.equal(receiver.received.length, 1);
  });

  it('goes where the checked answer says, whatever the name says next (rebinding)', async t => {
    const receiver = await startReceiver(t);
    receiver.behave(answer(200, '', { connection: 'close' }));
    const { port } = new URL(receiver.url);
    const answers = ['127.0.0.1', '127.0.0.2'];
    const asked: string[] = [];
    const client = clientFor(async hostname => {
      asked.push(hostname);
      return only(answers[Math.min(asked.length, answers.length) - 1] as string);
    });
    assert.equal((await post(client, `http://a.test:${port}/`)).statusCode, 200);
    // Within the life of the answer it is not asked again; another name is.
    assert.equal((await post(client, `http://a.test:${port}/`)).statusCode, 200);
    await assert.rejects(post(client, `http://b.test:${port}/`), refused);
    assert.deepEqual(asked, ['a.test', 'b.test']);
    assert.equal(receiver.received.length, 2);
  });

  it('is made to no port of another protocol, also where it was named before that was refused', async () => {
    const client = clientFor(() => Promise.reject(new Error('no name was to be looked up')));
    for (const port of words('0 22 25 465 587 6000 6667 10080')) {
      await assert.rejects(post(client, `http://127.0.0.1:${port}/`), refused, port);
      await assert.rejects(post(client, `https://endpoint.test:${port}/`), refused, port);
      assert.throws(() => parseEndpointUrl(`https://endpoint.test:${port}/`), new RegExp(`port ${port} `));
    }
    for (const url of words('https://a.test/ http://a.test/ https://a.test:8443/ https://a.test:2600/')) {
      assert.equal(parseEndpointUrl(url), url);
    }
  });

  it('does not wait for a name server longer than for an endpoint', async () => {
    const guard = createAddressGuard([]);
    const client = createEndpointClient({ timeout: 50, connections: 1, guard, resolve: () => new Promise(() => {}) });
    await assert.rejects(post(client, 'http://endpoint.test/'), { reason: 'timeout' });
  });

  it('is looked up at once while many other names do not answer, known before or not', async () => {
    let time = 1_000;
    const asked: string[] = [];
    const resolve = cachedResolve(
      hostname => {
        asked.push(hostname);
        return hostname.startsWith('dead') ? new Promise(() => {}) : Promise.resolve(only('192.0.2.1'));
      },
      () => time,
    );
    for (let count = 0; count < 100; count += 1) void resolve(`dead${count}.test`);
    for (const name of ['good.test', 'new.test', 'good.test']) assert.deepEqual(await resolve(name), only('192.0.2.1'));
    time += 11_000;
    assert.deepEqual(await resolve('good.test'), only('192.0.2.1'));
    assert.deepEqual(asked.slice(100), ['good.test', 'new.test', 'good.test']);
  });
});
