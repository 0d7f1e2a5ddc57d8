import type { LookupAddress } from 'node:dns';
import type { LookupFunction } from 'node:net';
import { createLookupCache } from '../flow/lookup-cache.ts';
import type { AddressGuard } from './address-guard.ts';

/** All addresses of a host name. Rejects where it has none, or nobody knows. */
export type Resolve = (hostname: string) => Promise<readonly LookupAddress[]>;

/** An endpoint's address is none that may be connected to. */
export class RefusedAddress extends Error {
  readonly code = 'REFUSED_ADDRESS';

  constructor(hostname: string) {
    super(`${hostname} has no address that may be connected to`);
    this.name = 'RefusedAddress';
  }
}

/** Milliseconds. Short, because a name may move, and it is asked for once for all connections of a burst. */
const TTL = 10_000;
const FAILED_TTL = 5_000;
const MAX_NAMES = 10_000;

type Known = { readonly addresses: readonly LookupAddress[] } | { readonly error: unknown };

/**
 * Answers and failures are kept for a few seconds. No name waits for another.
 *
 * @param now a monotonic clock in milliseconds
 */
export function cachedResolve(resolve: Resolve, now = () => performance.now()): Resolve {
  const cache = createLookupCache<Known>({
    async find(hostname) {
      try {
        return { addresses: await resolve(hostname) };
      } catch (error) {
        return { error };
      }
    },
    ttl: known => ('error' in known ? FAILED_TTL : TTL),
    max: MAX_NAMES,
    now,
  });
  return async hostname => {
    const known = await cache.lookup(hostname);
    if ('error' in known) throw known.error;
    return known.addresses;
  };
}

/**
 * A look-up for sockets: they connect to nothing but what it answers, so a name that changes its address between a check
 * and the connection (DNS rebinding) gains nothing.
 *
 * Sockets do not ask for a host that is an IP address already: that is the caller's to check.
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
