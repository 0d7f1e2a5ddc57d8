import { createSocket } from 'node:dgram';
import { once } from 'node:events';

interface TestContext {
  after(fn: () => void): void;
}

/** Records by name: `name: { CNAME: ['host'], TXT: ['text'], MX: ['10 host'], A: ['192.0.2.1'] }`. */
export type Zone = Record<string, Partial<Record<keyof typeof TYPES, readonly string[]>>>;

const TYPES = { A: 1, CNAME: 5, MX: 15, TXT: 16 } as const;
const HEADER = 12;
const NXDOMAIN = 3;
const SERVFAIL = 2;

/** A DNS server of the test's own, which knows the zone as it is when it is asked. @returns its address with its port */
export async function startDns(t: TestContext, zone: Zone): Promise<string> {
  const socket = createSocket('udp4');
  socket.on('message', (query, from) => socket.send(answer(query, zone), from.port, from.address));
  socket.bind(0, '127.0.0.1');
  await once(socket, 'listening');
  t.after(() => socket.close());
  return `127.0.0.1:${socket.address().port}`;
}

/** A message of RFC 1035 section 4. A name that begins with `broken.` is answered with a failure of the server. */
function answer(query: Buffer, zone: Zone): Buffer {
  const { name, end } = readName(query);
  const type = query.readUInt16BE(end);
  const entry = zone[name.toLowerCase()];
  const [typeName] = Object.entries(TYPES).find(([, value]) => value === type) ?? [];
  const values = entry?.[typeName as keyof typeof TYPES] ?? [];
  const code = name.startsWith('broken.') ? SERVFAIL : entry ? 0 : NXDOMAIN;
  const header = Buffer.alloc(HEADER);
  header.writeUInt16BE(query.readUInt16BE(0), 0);
  header.writeUInt16BE(0x8180 | code, 2);
  header.writeUInt16BE(1, 4);
  header.writeUInt16BE(values.length, 6);
  return Buffer.concat([header, query.subarray(HEADER, end + 4), ...values.map(value => record(type, value))]);
}

function record(type: number, value: string): Buffer {
  const data = dataOf(type, value);
  const head = Buffer.alloc(12);
  // A pointer to the name in the question.
  head.writeUInt16BE(0xc000 | HEADER, 0);
  head.writeUInt16BE(type, 2);
  head.writeUInt16BE(1, 4);
  head.writeUInt32BE(60, 6);
  head.writeUInt16BE(data.length, 10);
  return Buffer.concat([head, data]);
}

function dataOf(type: number, value: string): Buffer {
  if (type === TYPES.A) return Buffer.from(value.split('.').map(Number));
  if (type === TYPES.CNAME) return writeName(value);
  if (type === TYPES.TXT) return Buffer.concat([Buffer.of(value.length), Buffer.from(value)]);
  const [preference, host = ''] = value.split(' ');
  return Buffer.concat([Buffer.of(0, Number(preference)), writeName(host)]);
}

function writeName(name: string): Buffer {
  const labels = name.split('.').map(label => Buffer.concat([Buffer.of(label.length), Buffer.from(label)]));
  return Buffer.concat([...labels, Buffer.of(0)]);
}

function readName(query: Buffer): { readonly name: string; readonly end: number } {
  const labels: string[] = [];
  let at = HEADER;
  for (let length = query[at] ?? 0; length > 0; length = query[at] ?? 0) {
    labels.push(query.toString('latin1', at + 1, at + 1 + length));
    at += 1 + length;
  }
  return { name: labels.join('.'), end: at + 1 };
}
