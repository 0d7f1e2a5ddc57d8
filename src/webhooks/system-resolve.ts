import type { LookupAddress } from 'node:dns';
import { promises as dns } from 'node:dns';
import { isIP } from 'node:net';
import { createNameFiles, type NameFiles } from './name-files.ts';
import type { Resolve } from './resolver.ts';

export interface SystemResolveOptions {
  /** Name servers, `address` or `address:port`; those of the machine unless given. */
  readonly servers?: readonly string[];
  readonly files?: () => NameFiles;
  /** Milliseconds that a name server has for its first answer. The second time it has twice as long. */
  readonly timeout?: number;
}

/** Both tries together are shorter than an endpoint's usual time-out. */
const TIMEOUT = 2_000;
const TRIES = 2;
/** The name server knows that there is no such name, or no such record of it. */
const NONE: ReadonlySet<unknown> = new Set(['ENOTFOUND', 'ENODATA']);

/**
 * Asks the hosts file and the machine's name servers, without the operating system's look-up: that one holds one of few threads
 * until it has an answer, so that a few names whose servers are dead would keep all others waiting.
 *
 * Each look-up has a resolver of its own, which reads the machine's name servers anew and waits for nobody. Names are tried as
 * they are before they are tried in the search domains: what an owner writes is mostly a whole name.
 */
export function createSystemResolve(options: SystemResolveOptions = {}): Resolve {
  const { files = createNameFiles(), timeout = TIMEOUT } = options;
  return async hostname => {
    const name = hostname.toLowerCase().replace(/\.$/, '');
    const { addressesOf, searchDomains, shortBelow } = files();
    const local = addressesOf(name);
    if (local.length > 0) return local.map(address => ({ address, family: isIP(address) }));
    const resolver = new dns.Resolver({ timeout, tries: TRIES });
    if (options.servers) resolver.setServers(options.servers);
    const isShort = !hostname.endsWith('.') && name.split('.').length - 1 < shortBelow;
    let failure: unknown;
    for (const candidate of isShort ? [name, ...searchDomains.map(domain => `${name}.${domain}`)] : [name]) {
      const answer = await ask(resolver, candidate);
      if ('addresses' in answer) return answer.addresses;
      failure ??= answer.error;
      if (!NONE.has((answer.error as NodeJS.ErrnoException).code)) throw answer.error;
    }
    throw failure;
  };
}

/** The operating system's names, for the whole process. */
export const systemResolve: Resolve = createSystemResolve();

/** All addresses of one name; IPv4 first, since not every network has a way out for IPv6. */
async function ask(
  resolver: dns.Resolver,
  name: string,
): Promise<{ readonly addresses: readonly LookupAddress[] } | { readonly error: unknown }> {
  const [four, six] = await Promise.allSettled([resolver.resolve4(name), resolver.resolve6(name)]);
  const addresses = [
    ...(four.status === 'fulfilled' ? four.value.map(address => ({ address, family: 4 })) : []),
    ...(six.status === 'fulfilled' ? six.value.map(address => ({ address, family: 6 })) : []),
  ];
  if (addresses.length > 0) return { addresses };
  const errors = [four, six].flatMap(result => (result.status === 'rejected' ? [result.reason] : []));
  // What is not known of one kind of address says more than that there is none of the other.
  return { error: errors.find(error => !NONE.has(error.code)) ?? errors[0] };
}
