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
 * @throws NotANetwork that names the first entry that is neither a network nor an address
 */
export function createNetworkMatcher(cidrs: readonly string[]): (address: string) => boolean {
  const networks = cidrs.map(readNetwork);
  // Asked at each command, of settings that most installations leave empty.
  if (networks.length === 0) return () => false;
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

/** Ranges of which everybody may have the same: they name machines of one's own, and nobody elsewhere. */
const OWN_RANGES: ReadonlySet<string> = new Set('private loopback linkLocal uniqueLocal carrierGradeNat'.split(' '));

/**
 * The network of a public address, as wide as that of a whole site, so that it names nobody: 24 bits of IPv4, 48 of IPv6. Private
 * addresses are as they are, and so is what is no address.
 */
export function withoutHost(text: string): string {
  const address = readAddress(text);
  if (address === null || OWN_RANGES.has(address.range())) return text;
  return address instanceof ipaddr.IPv6
    ? `${ipaddr.IPv6.networkAddressFromCIDR(`${address}/48`)}/48`
    : `${ipaddr.IPv4.networkAddressFromCIDR(`${address}/24`)}/24`;
}

/** All IPv4 addresses, as IPv6 has them. */
const MAPPED = ipaddr.IPv6.parse('::ffff:0:0');
const MAPPED_PREFIX_BITS = 96;

/** Whether nothing is left outside: all addresses of a family are in it, or all IPv4 ones as IPv6 has them. @throws NotANetwork */
export function holdsEveryAddress(cidr: string): boolean {
  const { address, length } = readNetwork(cidr);
  if (length === 0) return true;
  return address.kind() === 'ipv6' && length <= MAPPED_PREFIX_BITS && MAPPED.match(address, length);
}

/** A text is no network. */
export class NotANetwork extends RangeError {
  override readonly name = 'NotANetwork';
  /** What it is, as the object of "holds …". Never carries the text. */
  readonly what: string;

  constructor(what: string, cidr: string) {
    super(`${what}: ${cidr}`);
    this.what = what;
  }
}

export interface Network {
  readonly address: IpAddress;
  /** Bits of its prefix. */
  readonly length: number;
}

const DECIMAL = /^(0|[1-9]\d*)$/;

/** Reads a network in CIDR notation, or a single address. @throws NotANetwork */
export function readNetwork(cidr: string): Network {
  const [text = '', bits, ...more] = cidr.trim().split('/');
  const address = readAddress(text);
  if (address === null || more.length > 0) {
    throw new NotANetwork('an entry that is not a network in CIDR notation', cidr);
  }
  const isWide = isIP(text) === 6;
  // What an IPv4-mapped address says of its prefix is said of an IPv6 one.
  const before = isWide && address.kind() === 'ipv4' ? MAPPED_PREFIX_BITS : 0;
  const width = isWide ? 128 : 32;
  const length = bits === undefined ? width : DECIMAL.test(bits) ? Number(bits) : Number.NaN;
  if (!(length >= before && length <= width)) {
    throw new NotANetwork(`a network whose prefix length is not from ${before} to ${width}`, cidr);
  }
  return { address, length: length - before };
}

function holds(network: Network, address: IpAddress): boolean {
  return address.kind() === network.address.kind() && address.match(network.address, network.length);
}
