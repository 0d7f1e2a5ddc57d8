import { createSocket } from 'node:dgram';
import type { AddressInfo } from 'node:net';

interface TestContext {
  after(fn: () => Promise<void>): void;
}

export interface NameServer {
  /** `address:port`. */
  readonly address: string;
  /** The names that were asked for, in order, each once for each kind of address. */
  readonly asked: string[];
}

const TYPE_A = 1;
const NXDOMAIN = 3;
/** Response, recursion desired and available. */
const ANSWERED = 0x8180;

/**
 * A name server on this machine (RFC 1035 section 4) with IPv4 addresses only.
 *
 * @param addressOf null where there is no such name; undefined: no answer at all
 */
export async function startNameServer(
  t: TestContext,
  addressOf: (name: string) => string | null | undefined,
): Promise<NameServer> {
  const socket = createSocket('udp4');
  const asked: string[] = [];
  socket.on('message', (query, { port, address }) => {
    const { name, type, end } = questionOf(query);
    asked.push(name);
    const found = addressOf(name);
    if (found === undefined) return;
    const hasAnswer = found !== null && type === TYPE_A;
    const head = Buffer.alloc(12);
    query.copy(head, 0, 0, 2);
    head.writeUInt16BE(ANSWERED | (found === null ? NXDOMAIN : 0), 2);
    head.writeUInt16BE(1, 4);
    head.writeUInt16BE(hasAnswer ? 1 : 0, 6);
    // The name by a pointer to the question, type A, class IN, a minute to live, four bytes.
    const answer = [0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, ...(found ?? '').split('.').map(Number)];
    socket.send(Buffer.concat([head, query.subarray(12, end), Buffer.from(hasAnswer ? answer : [])]), port, address);
  });
  await new Promise<void>(resolve => socket.bind(0, '127.0.0.1', resolve));
  t.after(() => new Promise(resolve => socket.close(() => resolve())));
  return { address: `127.0.0.1:${(socket.address() as AddressInfo).port}`, asked };
}

function questionOf(query: Buffer): { name: string; type: number; end: number } {
  const labels: string[] = [];
  let position = 12;
  for (let length = query[position] as number; length > 0; length = query[position] as number) {
    labels.push(query.toString('latin1', position + 1, position + 1 + length));
    position += 1 + length;
  }
  return { name: labels.join('.').toLowerCase(), type: query.readUInt16BE(position + 1), end: position + 5 };
}
