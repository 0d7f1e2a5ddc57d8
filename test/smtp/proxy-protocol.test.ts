import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { AddressInfo, Socket } from 'node:net';
import { connect, createServer } from 'node:net';
import { describe, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import * as tls from 'node:tls';
import type { ProxyHeader } from '../../src/smtp/protocol/proxy-protocol.ts';
import { parseProxyHeader, readProxyHeader } from '../../src/smtp/protocol/proxy-protocol.ts';

const SIGNATURE = '0d0a0d0a000d0a515549540a';
const V4_ADDRESSES = 'c0000201c6336402d9030a1b'; // 192.0.2.1:55555 -> 198.51.100.2:2587
const V4_SOURCE = { address: '192.0.2.1', port: 55555 };
const V4_DESTINATION = { address: '198.51.100.2', port: 2587 };
const V6_ADDRESSES = `20010db8${'0'.repeat(23)}120010db8${'0'.repeat(23)}2d9030a1b`;
const V6_SOURCE = { address: '2001:db8::1', port: 55555 };
const V6_DESTINATION = { address: '2001:db8::2', port: 2587 };
// Computed apart from our code, by a table-driven CRC-32C that gives E3069283 for '123456789'.
const V4_CRC_TLV = '0300040224d2b4';

function v2(command: string, family: string, body: string): Buffer {
  const length = (body.length / 2).toString(16).padStart(4, '0');
  return Buffer.from(SIGNATURE + command + family + length + body, 'hex');
}

const TCP4_LINE = Buffer.from('PROXY TCP4 192.0.2.1 198.51.100.2 55555 2587\r\n');
const CRLF = '\r\n';

interface Form {
  readonly name: string;
  readonly bytes: Buffer;
  readonly source?: ProxyHeader['source'];
  readonly destination?: ProxyHeader['destination'];
  readonly local?: boolean;
}

const FORMS: readonly Form[] = [
  { name: 'v1 TCP4', bytes: TCP4_LINE, source: V4_SOURCE, destination: V4_DESTINATION },
  {
    name: 'v1 TCP6',
    bytes: Buffer.from(`PROXY TCP6 2001:DB8:0:0:0:0:0:1 2001:db8::2 55555 2587${CRLF}`),
    source: V6_SOURCE,
    destination: V6_DESTINATION,
  },
  {
    name: 'v1 TCP4 at the limits',
    bytes: Buffer.from(`PROXY TCP4 0.0.0.0 255.255.255.255 0 65535${CRLF}`),
    source: { address: '0.0.0.0', port: 0 },
    destination: { address: '255.255.255.255', port: 65535 },
  },
  { name: 'v1 UNKNOWN', bytes: Buffer.from(`PROXY UNKNOWN${CRLF}`) },
  { name: 'v1 UNKNOWN with the longest tail', bytes: Buffer.from(`PROXY UNKNOWN ${'f'.repeat(91)}${CRLF}`) },
  { name: 'v2 TCP4', bytes: v2('21', '11', V4_ADDRESSES), source: V4_SOURCE, destination: V4_DESTINATION },
  { name: 'v2 TCP6', bytes: v2('21', '21', V6_ADDRESSES), source: V6_SOURCE, destination: V6_DESTINATION },
  {
    name: 'v2 TCP4 with TLVs to skip',
    bytes: v2('21', '11', `${V4_ADDRESSES}020003616263040000ea000401020304`),
    source: V4_SOURCE,
    destination: V4_DESTINATION,
  },
  {
    name: 'v2 TCP4 at the longest we read',
    bytes: v2('21', '11', `${V4_ADDRESSES}04${(4096 - 15).toString(16).padStart(4, '0')}${'00'.repeat(4096 - 15)}`),
    source: V4_SOURCE,
    destination: V4_DESTINATION,
  },
  {
    name: 'v2 TCP4 with a checksum',
    bytes: v2('21', '11', `${V4_ADDRESSES}${V4_CRC_TLV}`),
    source: V4_SOURCE,
    destination: V4_DESTINATION,
  },
  { name: 'v2 LOCAL', bytes: v2('20', '00', ''), local: true },
  { name: 'v2 LOCAL with a body to skip', bytes: v2('20', '11', `${V4_ADDRESSES}ff`), local: true },
  { name: 'v2 UNSPEC', bytes: v2('21', '00', 'ffff') },
  { name: 'v2 UNIX stream', bytes: v2('21', '31', '00'.repeat(216)) },
];

const INVALID: readonly (readonly [name: string, bytes: Buffer | string])[] = [
  ['an SMTP command', `EHLO client.example${CRLF}`],
  ['a TLS handshake', Buffer.from('16030100', 'hex')],
  ['lower case', `proxy TCP4 192.0.2.1 198.51.100.2 1 2${CRLF}`],
  ['two spaces', `PROXY  TCP4 192.0.2.1 198.51.100.2 1 2${CRLF}`],
  ['a tab', `PROXY TCP4\t192.0.2.1 198.51.100.2 1 2${CRLF}`],
  ['a space at the end', `PROXY TCP4 192.0.2.1 198.51.100.2 1 2 ${CRLF}`],
  ['a missing port', `PROXY TCP4 192.0.2.1 198.51.100.2 1${CRLF}`],
  ['an unknown protocol', `PROXY UDP4 192.0.2.1 198.51.100.2 1 2${CRLF}`],
  ['UNKNOWN as a prefix only', `PROXY UNKNOWNS${CRLF}`],
  ['an octet over 255', `PROXY TCP4 256.0.2.1 198.51.100.2 1 2${CRLF}`],
  ['an octet with a leading zero', `PROXY TCP4 192.0.02.1 198.51.100.2 1 2${CRLF}`],
  ['an IPv6 address for TCP4', `PROXY TCP4 ::1 ::1 1 2${CRLF}`],
  ['an IPv4 address for TCP6', `PROXY TCP6 192.0.2.1 192.0.2.2 1 2${CRLF}`],
  ['a zone', `PROXY TCP6 fe80::1%eth0 fe80::2 1 2${CRLF}`],
  ['a host name', `PROXY TCP4 client.example 198.51.100.2 1 2${CRLF}`],
  ['a port over 65535', `PROXY TCP4 192.0.2.1 198.51.100.2 65536 2${CRLF}`],
  ['a port with a leading zero', `PROXY TCP4 192.0.2.1 198.51.100.2 01 2${CRLF}`],
  ['a signed port', `PROXY TCP4 192.0.2.1 198.51.100.2 +1 2${CRLF}`],
  ['a bare LF', 'PROXY TCP4 192.0.2.1 198.51.100.2 1 2\n'],
  ['a bare CR', 'PROXY UNKNOWN\rX'],
  ['107 bytes without an end', `PROXY UNKNOWN ${'f'.repeat(93)}`],
  ['a line of 108 bytes', `PROXY UNKNOWN ${'f'.repeat(92)}${CRLF}`],
  ['version 1 in a version 2 header', v2('11', '11', V4_ADDRESSES)],
  ['an unknown command', v2('22', '11', V4_ADDRESSES)],
  ['UDP', v2('21', '12', V4_ADDRESSES)],
  ['an unknown family', v2('21', '41', V4_ADDRESSES)],
  ['too few bytes for IPv4', v2('21', '11', V4_ADDRESSES.slice(2))],
  ['too few bytes for IPv6', v2('21', '21', V4_ADDRESSES)],
  ['a TLV cut in its length', v2('21', '11', `${V4_ADDRESSES}0400`)],
  ['a TLV longer than the header', v2('21', '11', `${V4_ADDRESSES}040002ff`)],
  ['a wrong checksum', v2('21', '11', `${V4_ADDRESSES}0300040224d2b5`)],
  ['a checksum of three bytes', v2('21', '11', `${V4_ADDRESSES}0300030224d2`)],
  ['a body over 4 KiB, before it has come', Buffer.from(`${SIGNATURE}21111001`, 'hex')],
];

describe('parseProxyHeader', () => {
  for (const { name, bytes, source, destination, local = false } of FORMS) {
    test(`${name}: every prefix is incomplete, the whole is read, what follows is left`, () => {
      for (let length = 0; length < bytes.length; length++) {
        assert.deepEqual(parseProxyHeader(bytes.subarray(0, length)), { state: 'incomplete' }, `${length} bytes`);
      }
      const expected = {
        state: 'done',
        length: bytes.length,
        local,
        ...(source && { source }),
        ...(destination && { destination }),
      };
      assert.deepEqual(parseProxyHeader(bytes), expected);
      assert.deepEqual(parseProxyHeader(Buffer.concat([bytes, bytes])), expected);
    });
  }

  for (const [name, bytes] of INVALID) {
    test(`refuses ${name}`, () => {
      const result = parseProxyHeader(Buffer.from(bytes));
      assert.equal(result.state, 'invalid');
      assert.ok(result.state === 'invalid' && result.reason.length > 0);
    });
  }

  test('refuses a wrong signature at its first wrong byte', () => {
    const signature = Buffer.from(SIGNATURE, 'hex');
    for (let at = 0; at < signature.length; at++) {
      const wrong = Buffer.from(signature.subarray(0, at + 1));
      wrong[at] = 0x21;
      assert.equal(parseProxyHeader(wrong).state, 'invalid', `byte ${at}`);
    }
  });

  test('never throws, whatever the bytes', () => {
    let seed = 1;
    const random = () => {
      seed = (Math.imul(seed, 1_103_515_245) + 12_345) >>> 0;
      return seed >>> 16;
    };
    const heads: Buffer[] = ['PROXY ', 'PROXY TCP4 ', 'PROXY TCP6 '].map(text => Buffer.from(text));
    heads.push(v2('21', '11', ''), v2('21', '21', ''), Buffer.alloc(0));
    const states = new Set<string>();
    for (let round = 0; round < 5_000; round++) {
      const head = Buffer.concat([heads[random() % heads.length] ?? Buffer.alloc(0)]);
      const tail = Buffer.from(Array.from({ length: random() % 80 }, () => random() & 0xff));
      if (head.length === 16) head.writeUInt16BE(random() % 80, 14);
      states.add(parseProxyHeader(Buffer.concat([head, tail])).state);
    }
    assert.deepEqual([...states].sort(), ['done', 'incomplete', 'invalid']);
  });
});

/** One accepted connection on 127.0.0.1: both ends, closed when the body is done. */
async function withConnection(body: (client: Socket, accepted: Socket) => Promise<void>): Promise<void> {
  const server = createServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const client = connect((server.address() as AddressInfo).port, '127.0.0.1');
  client.setNoDelay(true).on('error', () => {});
  const [accepted] = (await once(server, 'connection')) as [Socket];
  try {
    await body(client, accepted);
  } finally {
    client.destroy();
    accepted.destroy();
    server.close();
  }
}

function listeners(socket: Socket): string {
  return ['readable', 'data', 'end', 'close', 'error'].map(name => `${name} ${socket.listenerCount(name)}`).join(', ');
}

async function readText(socket: Socket, length: number): Promise<string> {
  let text = '';
  socket.on('data', chunk => {
    text += chunk.toString('latin1');
  });
  while (text.length < length) await once(socket, 'data');
  return text;
}

describe('readProxyHeader', () => {
  test('leaves what came in the same packet, and later, to the next reader', { timeout: 60_000 }, async () => {
    await withConnection(async (client, accepted) => {
      const before = listeners(accepted);
      client.write(Buffer.concat([TCP4_LINE, Buffer.from('EHLO a\r\n')]));
      const header = await readProxyHeader(accepted, 60_000);
      assert.deepEqual(header, {
        length: TCP4_LINE.length,
        source: V4_SOURCE,
        destination: V4_DESTINATION,
        local: false,
      });
      assert.equal(listeners(accepted), before);
      client.write('QUIT\r\n');
      assert.equal(await readText(accepted, 14), 'EHLO a\r\nQUIT\r\n');
    });
  });

  test('the next reader may come later, and data that is all there with the end of the stream is kept', {
    timeout: 60_000,
  }, async () => {
    await withConnection(async (client, accepted) => {
      client.end(Buffer.concat([v2('21', '21', V6_ADDRESSES), Buffer.from('DATA')]));
      const header = await readProxyHeader(accepted, 60_000);
      assert.deepEqual(header.source, V6_SOURCE);
      await delay(20);
      const ended = once(accepted, 'end');
      assert.equal(await readText(accepted, 4), 'DATA');
      await ended;
    });
  });

  test('puts the header together from single bytes', { timeout: 60_000 }, async () => {
    await withConnection(async (client, accepted) => {
      const reading = readProxyHeader(accepted, 60_000);
      for (const byte of Buffer.concat([v2('20', '00', ''), Buffer.from('NO')])) {
        client.write(Buffer.of(byte));
        await delay(2);
      }
      assert.deepEqual(await reading, { length: 16, local: true });
      client.write('OP');
      assert.equal(await readText(accepted, 4), 'NOOP');
    });
  });

  test('a TLS handshake right behind the header reaches TLS', { timeout: 60_000 }, async () => {
    // A pre-shared key stands in for a certificate.
    const psk = Buffer.alloc(32, 1);
    const common = { ciphers: 'PSK-AES128-GCM-SHA256', maxVersion: 'TLSv1.2', minVersion: 'TLSv1.2' } as const;
    await withConnection(async (client, accepted) => {
      client.write(v2('21', '11', V4_ADDRESSES));
      const secureClient = tls.connect({
        ...common,
        socket: client,
        pskCallback: () => ({ psk, identity: 'test' }),
        checkServerIdentity: () => undefined,
      });
      await delay(50); // so that header and ClientHello wait together
      const header = await readProxyHeader(accepted, 60_000);
      assert.deepEqual(header.source, V4_SOURCE);
      const options = { ...common, isServer: true, pskCallback: () => psk };
      const secure = new tls.TLSSocket(accepted, options);
      secureClient.write('EHLO a\r\n');
      assert.equal(await readText(secure, 8), 'EHLO a\r\n');
      secureClient.destroy();
    });
  });

  const failures: readonly (readonly [
    name: string,
    act: (client: Socket) => void,
    message: RegExp,
    within?: number,
  ])[] = [
    ['garbage', client => void client.write('EHLO a\r\n'), /invalid PROXY header: neither/],
    ['nothing at all', () => {}, /no PROXY header within 100 ms/, 100],
    ['half a header and silence', client => void client.write('PROXY TCP4 '), /no PROXY header within 100 ms/, 100],
    ['half a header and the end', client => void client.end('PROXY TCP4 '), /closed before/],
    ['a reset', client => void client.resetAndDestroy(), /ECONNRESET|closed before/],
  ];
  for (const [name, act, message, within = 60_000] of failures) {
    test(`rejects on ${name}, destroys the socket and leaves no listener`, { timeout: 60_000 }, async () => {
      await withConnection(async (client, accepted) => {
        const before = listeners(accepted);
        act(client);
        await assert.rejects(readProxyHeader(accepted, within), message);
        assert.equal(accepted.destroyed, true);
        assert.equal(listeners(accepted), before);
      });
    });
  }

  test('rejects at once when the socket is gone already', async () => {
    await withConnection(async (_client, accepted) => {
      accepted.destroy();
      await assert.rejects(readProxyHeader(accepted, 60_000), /closed before/);
    });
  });
});
