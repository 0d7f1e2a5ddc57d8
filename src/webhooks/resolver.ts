import { promises as dns, type LookupAddress } from 'node:dns';
import { readFileSync } from 'node:fs';
import { isIP } from 'node:net';
import { createLookupCache } from '../flow/lookup-cache.ts';

/** All addresses of a host name. Rejects where it has none, or nobody knows. */
export type Resolve = (hostname: string) => Promise<readonly LookupAddress[]>;

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
 * Each look-up has a resolver of its own, which reads the machine's name servers anew and waits for no other. Names are tried as
 * they are before they are tried in the search domains, since an owner mostly writes whole names.
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
  // A failure to find out one kind of address says more than the absence of the other.
  return { error: errors.find(error => !NONE.has(error.code)) ?? errors[0] };
}

/** What the machine itself says of names, beside its name servers. */
export interface NameFiles {
  /** The addresses of a name in the hosts file, in its order; none where it is not there. */
  addressesOf(name: string): readonly string[];
  /** The domains in which a short name is looked for too (`search` of resolv.conf). */
  readonly searchDomains: readonly string[];
  /** A name with fewer dots than this is a short one. */
  readonly shortBelow: number;
}

export interface NameFilesOptions {
  readonly hosts?: string;
  readonly resolvConf?: string;
  /** A monotonic clock in milliseconds. */
  readonly now?: () => number;
}

/** Milliseconds for which a file is not read again. Both are small, and kubelets and people do change them. */
const FRESH = 5_000;
const DEFAULT_NDOTS = 1;

/** Reads both files when they are asked for (hosts(5), resolv.conf(5)). A missing file counts as empty. */
export function createNameFiles(options: NameFilesOptions = {}): () => NameFiles {
  const { hosts = '/etc/hosts', resolvConf = '/etc/resolv.conf', now = () => performance.now() } = options;
  let files: NameFiles | null = null;
  let readAt = 0;
  return () => {
    if (files && now() - readAt < FRESH) return files;
    // Look-ups of others may hold the thread pool.
    const table = parseHosts(linesOf(hosts));
    files = { addressesOf: name => table.get(name) ?? [], ...parseResolvConf(linesOf(resolvConf)) };
    readAt = now();
    return files;
  };
}

/** The words of each line, without comments. */
function linesOf(path: string): string[][] {
  let text = '';
  try {
    text = readFileSync(path, 'utf8');
  } catch {
    return [];
  }
  return text.split('\n').map(line =>
    line
      .replace(/[#;].*/, '')
      .split(/\s+/)
      .filter(Boolean),
  );
}

function parseHosts(lines: readonly string[][]): Map<string, string[]> {
  const table = new Map<string, string[]>();
  for (const [address = '', ...names] of lines) {
    if (isIP(address) === 0) continue;
    for (const name of names.map(text => text.toLowerCase())) table.set(name, [...(table.get(name) ?? []), address]);
  }
  return table;
}

/** The last line of `search` counts. */
function parseResolvConf(lines: readonly string[][]): Pick<NameFiles, 'searchDomains' | 'shortBelow'> {
  const search = lines.findLast(([keyword]) => keyword === 'search' || keyword === 'domain') ?? [];
  const options = lines.filter(([keyword]) => keyword === 'options').flat();
  const ndots = options.findLast(option => /^ndots:\d+$/.test(option))?.slice('ndots:'.length);
  return {
    searchDomains: search.slice(1).map(domain => domain.replace(/\.$/, '').toLowerCase()),
    shortBelow: ndots === undefined ? DEFAULT_NDOTS : Number(ndots),
  };
}
