import { BlockList, isIP } from 'node:net';

/** Whether a connection to this IP address may be made. False for what is not an IP address. */
export type AddressGuard = (address: string) => boolean;

/**
 * IPv4 that is not the public Internet: the IANA IPv4 Special-Purpose Address Registry, multicast (RFC 5771), and Azure's
 * platform address, which is inside a public block. The metadata services of the other clouds are in these networks.
 */
const NOT_PUBLIC_IPV4 = [
  '0.0.0.0/8',
  '10.0.0.0/8',
  '100.64.0.0/10',
  '127.0.0.0/8',
  '168.63.129.16/32',
  '169.254.0.0/16',
  '172.16.0.0/12',
  '192.0.0.0/24',
  '192.0.2.0/24',
  '192.88.99.0/24',
  '192.168.0.0/16',
  '198.18.0.0/15',
  '198.51.100.0/24',
  '203.0.113.0/24',
  '224.0.0.0/4',
  '240.0.0.0/4',
];

/** All public IPv6 is in here (RFC 4291 section 2.4); loopback, link-local, unique local and multicast addresses are not. */
const GLOBAL_IPV6 = ['2000::/3'];

/**
 * What is special all the same (IANA IPv6 Special-Purpose Address Registry): protocol assignments with Teredo,
 * documentation, and 6to4, which leads to whatever IPv4 address is written in it and is out of use (RFC 7526).
 */
const NOT_PUBLIC_IPV6 = ['2001::/23', '2001:db8::/32', '2002::/16', '3fff::/20'];

/** `::ffff:0:0/96`: IPv4-mapped (RFC 4291). `64:ff9b::/96`: NAT64 (RFC 6052), as DNS64 gives for every IPv4 host. */
const IPV4_INSIDE = ['0:0:0:0:0:ffff', '64:ff9b:0:0:0:0'];

/**
 * Guards against endpoints inside the network (server-side request forgery).
 *
 * An IPv6 address that stands for an IPv4 one is judged as that one.
 *
 * @param allowedNetworks in CIDR notation: reachable although they are not public
 */
export function createAddressGuard(allowedNetworks: readonly string[]): AddressGuard {
  const allowed = networks(allowedNetworks);
  const special = networks([...NOT_PUBLIC_IPV4, ...NOT_PUBLIC_IPV6]);
  const global = networks(['0.0.0.0/0', ...GLOBAL_IPV6]);
  return text => {
    const address = innerAddress(text);
    if (isIP(address) === 0) return false;
    return allowed(address) || (global(address) && !special(address));
  };
}

function networks(cidrs: readonly string[]): (address: string) => boolean {
  // One list a family: a BlockList on its own compares IPv4 addresses as mapped ones, so that `::/0` would match them.
  const lists = { ipv4: new BlockList(), ipv6: new BlockList() };
  for (const cidr of cidrs) {
    const [network = '', bits] = cidr.split('/');
    const family = familyOf(network);
    lists[family].addSubnet(network, bits === undefined ? (family === 'ipv4' ? 32 : 128) : Number(bits), family);
  }
  return address => lists[familyOf(address)].check(address, familyOf(address));
}

function familyOf(address: string): 'ipv4' | 'ipv6' {
  return isIP(address) === 4 ? 'ipv4' : 'ipv6';
}

/** Without its zone; the IPv4 address where there is one inside. */
function innerAddress(text: string): string {
  const address = text.replace(/%.*$/, '');
  if (isIP(address) !== 6) return address;
  const groups = groupsOf(address);
  if (
    !IPV4_INSIDE.includes(
      groups
        .slice(0, 6)
        .map(group => group.toString(16))
        .join(':'),
    )
  )
    return address;
  const [high = 0, low = 0] = groups.slice(6);
  return [high >> 8, high & 255, low >> 8, low & 255].join('.');
}

/** The eight groups of a valid IPv6 address, in any of its spellings (RFC 4291 section 2.2). */
function groupsOf(address: string): number[] {
  const hexadecimal = address.replace(/(\d+)\.(\d+)\.(\d+)\.(\d+)$/, (_, a, b, c, d) =>
    [Number(a) * 256 + Number(b), Number(c) * 256 + Number(d)].map(group => group.toString(16)).join(':'),
  );
  const [head = [], tail = []] = hexadecimal.split('::').map(side => (side === '' ? [] : side.split(':')));
  const zeros = new Array<string>(8 - head.length - tail.length).fill('0');
  return [...head, ...zeros, ...tail].map(group => Number.parseInt(group, 16));
}
