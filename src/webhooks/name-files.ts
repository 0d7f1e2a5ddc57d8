import { readFileSync } from 'node:fs';
import { isIP } from 'node:net';

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

/** Reads both files while somebody looks (hosts(5), resolv.conf(5)). Files that are not there say nothing. */
export function createNameFiles(options: NameFilesOptions = {}): () => NameFiles {
  const { hosts = '/etc/hosts', resolvConf = '/etc/resolv.conf', now = () => performance.now() } = options;
  let files: NameFiles | null = null;
  let readAt = 0;
  return () => {
    if (files && now() - readAt < FRESH) return files;
    // Not by the thread pool, which look-ups of others may hold.
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

/** Of `search` the last line counts. */
function parseResolvConf(lines: readonly string[][]): Pick<NameFiles, 'searchDomains' | 'shortBelow'> {
  const search = lines.findLast(([keyword]) => keyword === 'search' || keyword === 'domain') ?? [];
  const options = lines.filter(([keyword]) => keyword === 'options').flat();
  const ndots = options.findLast(option => /^ndots:\d+$/.test(option))?.slice('ndots:'.length);
  return {
    searchDomains: search.slice(1).map(domain => domain.replace(/\.$/, '').toLowerCase()),
    shortBelow: ndots === undefined ? DEFAULT_NDOTS : Number(ndots),
  };
}
