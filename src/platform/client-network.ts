import { isIPv6, SocketAddress } from 'node:net';

const GROUPS = 8;
/** An IPv6 client has a network of 64 bits at least (RFC 6177), and may take a new address in it for each connection. */
const NETWORK_GROUPS = 4;
const MAPPED = '::ffff:';

/**
 * What counts as one client where clients are counted by address: the IPv4 address, also of an IPv4-mapped one, or the IPv6
 * network of 64 bits.
 */
export function clientNetwork(address: string): string {
  if (!isIPv6(address)) return address;
  // SocketAddress writes each address in one way only.
  const { address: plain } = new SocketAddress({ address: address.replace(/%.*$/, ''), family: 'ipv6' });
  if (plain.startsWith(MAPPED) && plain.includes('.')) return plain.slice(MAPPED.length);
  const [head = '', tail] = plain.split('::');
  const before = head === '' ? [] : head.split(':');
  const after = tail ? tail.split(':') : [];
  const zeros = tail === undefined ? 0 : GROUPS - before.length - after.length;
  const groups = [...before, ...Array<string>(zeros).fill('0'), ...after];
  return `${groups.slice(0, NETWORK_GROUPS).join(':')}::/64`;
}
