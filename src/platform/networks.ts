import { BlockList, isIP, SocketAddress } from 'node:net';

/**
 * Builds a test for "is this address in one of these networks?".
 *
 * An IPv4 address that a dual-stack listener shows as IPv4-mapped IPv6 (`::ffff:192.0.2.1`) is the IPv4 address, on both
 * sides: it never matches an IPv6 network such as `::/0`. A zone (`fe80::1%eth0`) is left out of the comparison.
 *
 * @param cidrs networks (`10.0.0.0/8`, `2001:db8::/32`) or single addresses; none means that nothing matches
 * @returns a function that is false for what is not an IP address
 * @throws RangeError that names the first entry that is neither a network nor an address
 */
export function createNetworkMatcher(cidrs: readonly string[]): (address: string) => boolean {
  // One list a family: a BlockList on its own compares IPv4 addresses as mapped ones, so that `::/0` would match them.
  const networks: Networks = { ipv4: new BlockList(), ipv6: new BlockList() };
  for (const cidr of cidrs) addNetwork(networks, cidr);
  return address => {
    const plain = plainAddress(address);
    return plain !== undefined && networks[plain.family].check(plain.address, plain.family);
  };
}

interface Networks {
  readonly ipv4: BlockList;
  readonly ipv6: BlockList;
}

interface PlainAddress {
  readonly address: string;
  readonly family: 'ipv4' | 'ipv6';
}

const MAPPED_PREFIX = '::ffff:';
const MAPPED_PREFIX_BITS = 96;

function addNetwork(networks: Networks, cidr: string): void {
  const [address = '', bits, ...more] = cidr.trim().split('/');
  const version = isIP(address);
  const plain = plainAddress(address);
  const width = version === 4 ? 32 : 128;
  const length = bits === undefined ? width : /^\d{1,3}$/.test(bits) ? Number(bits) : Number.NaN;
  if (plain === undefined || more.length > 0 || !(length <= width)) {
    throw new RangeError(`not a network in CIDR notation or an IP address: ${cidr}`);
  }
  if (version === 6 && plain.family === 'ipv4') {
    if (length < MAPPED_PREFIX_BITS)
      throw new RangeError(`an IPv4-mapped network needs a prefix of /96 to /128: ${cidr}`);
    networks.ipv4.addSubnet(plain.address, length - MAPPED_PREFIX_BITS, 'ipv4');
  } else {
    networks[plain.family].addSubnet(plain.address, length, plain.family);
  }
}

function plainAddress(text: string): PlainAddress | undefined {
  const version = isIP(text);
  if (version === 4) return { address: text, family: 'ipv4' };
  if (version !== 6) return undefined;
  // SocketAddress writes each address in one way only, so that every spelling of a mapped one is seen.
  const { address } = new SocketAddress({ address: text.replace(/%.*$/, ''), family: 'ipv6' });
  const tail = address.startsWith(MAPPED_PREFIX) ? address.slice(MAPPED_PREFIX.length) : '';
  return isIP(tail) === 4 ? { address: tail, family: 'ipv4' } : { address, family: 'ipv6' };
}
