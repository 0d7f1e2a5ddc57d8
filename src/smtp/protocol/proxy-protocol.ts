import type { Socket } from 'node:net';
import { isIPv4, isIPv6, SocketAddress } from 'node:net';

/**
 * The PROXY protocol, versions 1 and 2: how a TCP load balancer tells whose connection it passes on.
 *
 * Source: https://www.haproxy.org/download/3.2/doc/proxy-protocol.txt; the section numbers below are that document's.
 */

export interface ProxyEndpoint {
  readonly address: string;
  readonly port: number;
}

/** A header that was read. Without `source` the addresses of the socket itself are the ones to use. */
export interface ProxyHeader {
  /** Bytes that the header took. */
  readonly length: number;
  readonly source?: ProxyEndpoint;
  readonly destination?: ProxyEndpoint;
  /** True for the v2 command LOCAL: the balancer's own connection, such as a health check. */
  readonly local: boolean;
}

export type ProxyHeaderResult =
  | { readonly state: 'incomplete' }
  | { readonly state: 'invalid'; readonly reason: string }
  | ({ readonly state: 'done' } & ProxyHeader);

const V1_PREFIX = Buffer.from('PROXY ', 'latin1');
/** Section 2.1: the longest line, its CRLF included. */
const V1_MAX_BYTES = 107;

const V2_SIGNATURE = Buffer.from('\r\n\r\n\0\r\nQUIT\n', 'latin1');
const V2_FIXED_BYTES = 16;
/** The length field allows 65,535; balancers send addresses and a few TLVs, so we stop far below. */
const V2_MAX_BODY_BYTES = 4096;
const V2_TYPE_CRC32C = 0x03;

const INCOMPLETE: ProxyHeaderResult = Object.freeze({ state: 'incomplete' });

/**
 * Reads a header from the first bytes of a connection. Pure: call it again with all bytes so far when more have come.
 *
 * `invalid` is said as soon as no further byte could make the header valid. At most 4,112 bytes are ever asked for.
 */
export function parseProxyHeader(buffer: Buffer): ProxyHeaderResult {
  if (buffer.length === 0) return INCOMPLETE;
  if (buffer[0] === V2_SIGNATURE[0]) return parseV2(buffer);
  return parseV1(buffer);
}

/**
 * Reads the header from a freshly accepted socket that nobody has read from, and puts back what follows it, so that the
 * next reader (SMTP or TLS) finds the first byte after the header.
 *
 * @param timeoutMs how long the whole header may take
 * @throws Error when the header is invalid or late, or the connection ends or fails before it is complete. The socket is
 * then destroyed. No listener stays behind in either case.
 */
export function readProxyHeader(socket: Socket, timeoutMs: number): Promise<ProxyHeader> {
  return new Promise((resolve, reject) => {
    let received: Buffer = Buffer.alloc(0);

    const settle = () => {
      clearTimeout(timer);
      socket.off('readable', onReadable).off('end', onEnd).off('close', onEnd).off('error', fail);
    };
    const fail = (error: Error) => {
      settle();
      socket.destroy();
      reject(error);
    };
    const onEnd = () => fail(new Error('connection closed before its PROXY header was complete'));
    const onReadable = () => {
      const chunk: Buffer | null = socket.read();
      if (chunk === null) return;
      received = received.length === 0 ? chunk : Buffer.concat([received, chunk]);
      const result = parseProxyHeader(received);
      if (result.state === 'incomplete') return;
      if (result.state === 'invalid') return fail(new Error(`invalid PROXY header: ${result.reason}`));
      settle();
      if (received.length > result.length) socket.unshift(received.subarray(result.length));
      const { state: _, ...header } = result;
      resolve(header);
    };

    const timer = setTimeout(() => fail(new Error(`no PROXY header within ${timeoutMs} ms`)), timeoutMs);
    if (socket.destroyed) return onEnd();
    socket.on('readable', onReadable).on('end', onEnd).on('close', onEnd).on('error', fail);
  });
}

function invalid(reason: string): ProxyHeaderResult {
  return { state: 'invalid', reason };
}

/** True where the buffer is, or may still become, one that starts with the given bytes. */
function agreesWith(buffer: Buffer, start: Buffer): boolean {
  const length = Math.min(buffer.length, start.length);
  return buffer.subarray(0, length).equals(start.subarray(0, length));
}

/** Section 2.1, human-readable header. */
function parseV1(buffer: Buffer): ProxyHeaderResult {
  if (!agreesWith(buffer, V1_PREFIX)) return invalid('neither a version 1 nor a version 2 header');
  const window = buffer.subarray(0, V1_MAX_BYTES);
  const end = window.findIndex(byte => byte === 0x0d || byte === 0x0a);
  if (end === -1) return buffer.length < V1_MAX_BYTES ? INCOMPLETE : invalid('version 1 line is too long');
  if (window[end] === 0x0a) return invalid('version 1 line does not end in CRLF');
  if (end + 1 === window.length)
    return buffer.length < V1_MAX_BYTES ? INCOMPLETE : invalid('version 1 line is too long');
  if (window[end + 1] !== 0x0a) return invalid('version 1 line does not end in CRLF');
  return parseV1Line(window.toString('latin1', 0, end), end + 2);
}

function parseV1Line(line: string, length: number): ProxyHeaderResult {
  const [, protocol, ...fields] = line.split(' ');
  // Whatever follows UNKNOWN is to be ignored.
  if (protocol === 'UNKNOWN') return { state: 'done', length, local: false };
  if (protocol !== 'TCP4' && protocol !== 'TCP6') return invalid('version 1 protocol is not TCP4, TCP6 or UNKNOWN');
  const [from = '', to = '', fromPort = '', toPort = ''] = fields;
  const isAddress = protocol === 'TCP4' ? isIPv4 : isPlainIPv6;
  if (fields.length !== 4) return invalid('version 1 line does not have two addresses and two ports');
  if (!isAddress(from) || !isAddress(to)) return invalid(`version 1 line has an address that is not ${protocol}`);
  if (!isPort(fromPort) || !isPort(toPort)) return invalid('version 1 line has an invalid port');
  const family = protocol === 'TCP4' ? 'ipv4' : 'ipv6';
  const source = endpoint(from, Number(fromPort), family);
  const destination = endpoint(to, Number(toPort), family);
  return { state: 'done', length, source, destination, local: false };
}

function isPlainIPv6(text: string): boolean {
  return isIPv6(text) && !text.includes('%');
}

function isPort(text: string): boolean {
  return /^(?:0|[1-9]\d{0,4})$/.test(text) && Number(text) <= 65_535;
}

/** Section 2.2, binary header. */
function parseV2(buffer: Buffer): ProxyHeaderResult {
  if (!agreesWith(buffer, V2_SIGNATURE)) return invalid('neither a version 1 nor a version 2 header');
  if (buffer.length < V2_FIXED_BYTES) return INCOMPLETE;
  const version = buffer.readUInt8(12) >> 4;
  const command = buffer.readUInt8(12) & 0x0f;
  const bodyLength = buffer.readUInt16BE(14);
  if (version !== 2) return invalid(`unknown version ${version}`);
  if (command > 1) return invalid(`unknown version 2 command ${command}`);
  if (bodyLength > V2_MAX_BODY_BYTES) return invalid(`version 2 header of ${bodyLength} bytes is too long`);
  const length = V2_FIXED_BYTES + bodyLength;
  if (buffer.length < length) return INCOMPLETE;
  // LOCAL: everything in the header is to be skipped, the address family included.
  if (command === 0) return { state: 'done', length, local: true };
  return parseV2Proxied(buffer.subarray(0, length));
}

const V2_FAMILY_UNSPEC = 0x00;
const V2_FAMILY_TCP4 = 0x11;
const V2_FAMILY_TCP6 = 0x21;
const V2_FAMILY_UNIX_STREAM = 0x31;

function parseV2Proxied(header: Buffer): ProxyHeaderResult {
  const length = header.length;
  switch (header.readUInt8(13)) {
    case V2_FAMILY_TCP4:
      return parseV2Addresses(header, 'ipv4', 4);
    case V2_FAMILY_TCP6:
      return parseV2Addresses(header, 'ipv6', 16);
    // No address that could stand in for a client's: the socket's own is used, which the document allows.
    case V2_FAMILY_UNSPEC:
    case V2_FAMILY_UNIX_STREAM:
      return { state: 'done', length, local: false };
    default:
      return invalid('version 2 header is not for a stream connection');
  }
}

function parseV2Addresses(header: Buffer, family: 'ipv4' | 'ipv6', size: number): ProxyHeaderResult {
  const ports = V2_FIXED_BYTES + 2 * size;
  const tlvs = ports + 4;
  if (header.length < tlvs) return invalid('version 2 header is too short for its addresses');
  const problem = checkTlvs(header, tlvs);
  if (problem !== undefined) return invalid(problem);
  const read = family === 'ipv4' ? readIPv4 : readIPv6;
  const source = endpoint(read(header, V2_FIXED_BYTES), header.readUInt16BE(ports), family);
  const destination = endpoint(read(header, V2_FIXED_BYTES + size), header.readUInt16BE(ports + 2), family);
  return { state: 'done', length: header.length, source, destination, local: false };
}

/** Section 2.2.3: type, two bytes of length, value. All are skipped but the checksum, which is checked where present. */
function checkTlvs(header: Buffer, start: number): string | undefined {
  let offset = start;
  while (offset < header.length) {
    if (offset + 3 > header.length) return 'version 2 header has a truncated TLV';
    const type = header.readUInt8(offset);
    const value = offset + 3;
    offset = value + header.readUInt16BE(offset + 1);
    if (offset > header.length) return 'version 2 header has a truncated TLV';
    if (type !== V2_TYPE_CRC32C) continue;
    if (offset - value !== 4) return 'version 2 checksum is not four bytes long';
    if (header.readUInt32BE(value) !== checksum(header, value)) return 'version 2 checksum does not match';
  }
  return undefined;
}

/** CRC-32C of the header with the checksum's own four bytes taken as zero (section 2.2.3). */
function checksum(header: Buffer, at: number): number {
  const zeroed = Buffer.from(header);
  zeroed.writeUInt32BE(0, at);
  return crc32c(zeroed);
}

/** RFC 9260 appendix A, bit by bit: a header is short, and there is one a connection at most. */
function crc32c(bytes: Buffer): number {
  let crc = 0xffff_ffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0x82f6_3b78 : crc >>> 1;
  }
  return ~crc >>> 0;
}

function readIPv4(header: Buffer, at: number): string {
  return header.subarray(at, at + 4).join('.');
}

function readIPv6(header: Buffer, at: number): string {
  const groups = Array.from({ length: 8 }, (_, index) => header.readUInt16BE(at + 2 * index).toString(16));
  return groups.join(':');
}

/** SocketAddress writes each address in one way only, so that limits and logs see one spelling a client. */
function endpoint(address: string, port: number, family: 'ipv4' | 'ipv6'): ProxyEndpoint {
  return { address: new SocketAddress({ address, port, family }).address, port };
}
