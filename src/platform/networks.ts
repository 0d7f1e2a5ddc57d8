import { isIP } from 'node:net';
import ipaddr from 'ipaddr.js';

export type IpAddress = ipaddr.IPv4 | ipaddr.IPv6;

/**
 * Reads an IP address, its zone (`fe80::1%eth0`) left out. An IPv4 address that a dual-stack listener shows as IPv4-mapped
 * IPv6 (`::ffff:192.0.2.1`) is the IPv4 address.
 *
 * @returns null for what is not an IP address
 */
export function readAddress(text: string): IpAddress | null {
  // The library alone also reads `127.1`, and numbers in octal.
  return isIP(text) === 0 ? null : ipaddr.process(text.replace(/%.*$/, ''));
}

/**
 * Builds a test for "is this address in one of these networks?". An IPv4 address never matches an IPv6 network such as `::/0`,
 * in whichever form either is written.
 *
 * @param cidrs networks (`10.0.0.0/8`, `2001:db8::/32`) or single addresses; none means that nothing matches
 * @returns a function that is false for what is not an IP address
 * @throws RangeError that names the first entry that is neither a network nor an address
 */
export function createNetworkMatcher(cidrs: readonly string[]): (address: string) => boolean {
  const networks = cidrs.map(readNetwork);
  return text => {
    const address = readAddress(text);
    return address !== null && networks.some(network => holds(network, address));
  };
}

const GROUPS_OF_CLIENT = 4;

/**
 * What counts as one client where clients are counted by address: the IPv4 address, or the IPv6 network of 64 bits. A client has
 * at least that (RFC 6177), and may take a new address in it for each connection.
 */
export function clientNetwork(text: string): string {
  const address = readAddress(text);
  if (!(address instanceof ipaddr.IPv6)) return address?.toString() ?? text;
  const groups = address.parts.slice(0, GROUPS_OF_CLIENT).map(group => group.toString(16));
  return `${groups.join(':')}::/64`;
}

interface Network {
  readonly address: IpAddress;
  /** Bits of its prefix. */
  readonly length: number;
}

const MAPPED_PREFIX_BITS = 96;

function readNetwork(cidr: string): Network {
  const [text = '', bits, ...more] = cidr.trim().split('/');
  const address = readAddress(text);
  const width = isIP(text) === 4 ? 32 : 128;
  const length = bits === undefined ? width : /^\d{1,3}$/.test(bits) ? Number(bits) : Number.NaN;
  if (address === null || more.length > 0 || !(length <= width)) {
    throw new RangeError(`not a network in CIDR notation or an IP address: ${cidr}`);
  }
  const isMapped = width === 128 && address.kind() === 'ipv4';
  if (!isMapped) return { address, length };
  if (length < MAPPED_PREFIX_BITS) {
    throw new RangeError(`an IPv4-mapped network needs a prefix of /96 to /128: ${cidr}`);
  }
  return { address, length: length - MAPPED_PREFIX_BITS };
}

function holds(network: Network, address: IpAddress): boolean {
  return address.kind() === network.address.kind() && address.match(network.address, network.length);
}
