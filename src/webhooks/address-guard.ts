import type { LookupFunction } from 'node:net';
import ipaddr from 'ipaddr.js';
import { createNetworkMatcher, readAddress } from '../platform/networks.ts';
import type { Resolve } from './resolver.ts';

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
 * Special addresses among them (IANA IPv6 Special-Purpose Address Registry): protocol assignments with Teredo, documentation,
 * and 6to4, which leads to the IPv4 address written in it and is out of use (RFC 7526).
 */
const NOT_PUBLIC_IPV6 = ['2001::/23', '2001:db8::/32', '2002::/16', '3fff::/20'];

/** NAT64 (RFC 6052), as DNS64 gives it for every IPv4 host. */
const NAT64 = '64:ff9b::/96';

/**
 * Guards against endpoints inside the network (server-side request forgery).
 *
 * An IPv6 address that stands for an IPv4 one is judged as that one.
 *
 * @param allowedNetworks in CIDR notation: reachable although they are not public
 */
export function createAddressGuard(allowedNetworks: readonly string[]): AddressGuard {
  const isAllowed = createNetworkMatcher(allowedNetworks);
  const isSpecial = createNetworkMatcher([...NOT_PUBLIC_IPV4, ...NOT_PUBLIC_IPV6]);
  const isGlobal = createNetworkMatcher(['0.0.0.0/0', ...GLOBAL_IPV6]);
  const isNat64 = createNetworkMatcher([NAT64]);
  return text => {
    const address = isNat64(text) ? translated(text) : text;
    return isAllowed(address) || (isGlobal(address) && !isSpecial(address));
  };
}

/** The IPv4 address for which a NAT64 one stands. */
function translated(text: string): string {
  const bytes = readAddress(text)?.toByteArray() ?? [];
  return new ipaddr.IPv4(bytes.slice(-4)).toString();
}

/** An endpoint's address is none that may be connected to. */
export class RefusedAddress extends Error {
  readonly code = 'REFUSED_ADDRESS';

  constructor(hostname: string) {
    super(`${hostname} has no address that may be connected to`);
    this.name = 'RefusedAddress';
  }
}

/**
 * A look-up for sockets, which connect only to its answers. So a name that changes its address between a check and the connection
 * (DNS rebinding) gains nothing.
 *
 * Sockets do not ask for a host that is an IP address already; the caller checks those.
 */
export function guardedLookup(resolve: Resolve, guard: AddressGuard): LookupFunction {
  return (hostname, options, callback) => {
    const family = options.family === 4 || options.family === 6 ? options.family : 0;
    resolve(hostname).then(
      addresses => {
        const usable = addresses.filter(entry => guard(entry.address) && (family === 0 || entry.family === family));
        const [first] = usable;
        if (!first) callback(new RefusedAddress(hostname), '', 0);
        else if (options.all) callback(null, [...usable]);
        else callback(null, first.address, first.family);
      },
      (error: NodeJS.ErrnoException) => callback(error, '', 0),
    );
  };
}
