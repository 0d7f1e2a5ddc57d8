import { Resolver } from 'node:dns/promises';
import type { Config } from '../config/schema.ts';
import { normaliseDomain } from '../store/owners/domains.ts';
import { checkDomain, type DomainReport } from './check.ts';
import type { SesIdentities } from './identities.ts';

type DomainsConfig = Pick<Config, 'ses' | 'tracking'>;

/** Milliseconds for a question to DNS, and how often it is asked. */
const DNS = { timeout: 3_000, tries: 2 };

/**
 * Looks at a domain with SES, DNS and tracking as they are configured.
 *
 * @param nameserver an IP address, with a port behind a colon where it is not 53; the system's unless given
 * @throws the error of SES
 */
export function checkConfiguredDomain(
  config: DomainsConfig,
  domain: Parameters<typeof checkDomain>[0]['domain'],
  nameserver?: string,
): Promise<DomainReport> {
  const dns = createResolver(nameserver);
  return withSes(config, domain.region, ses =>
    checkDomain({
      domain: { ...domain, name: normaliseDomain(domain.name) },
      ses,
      dns,
      trackingBaseUrl: config.tracking.baseUrl,
      canSign: config.tracking.secrets.length > 0,
      defaultConfigurationSet: config.ses.configurationSet,
    }),
  );
}

/** @param nameserver as above */
export function createResolver(nameserver?: string): Resolver {
  const dns = new Resolver(DNS);
  if (nameserver !== undefined) dns.setServers([nameserver]);
  return dns;
}

/** Does work with SES in a region, as configured, and hangs up after it. */
export async function withSes<T>(
  { ses: { endpoint, roleArn } }: Pick<Config, 'ses'>,
  region: string,
  work: (ses: SesIdentities) => Promise<T>,
): Promise<T> {
  // The SDK takes a while to load, and few commands need it.
  const { SesIdentities } = await import('./identities.ts');
  const ses = new SesIdentities({ region, endpoint: endpoint || null, roleArn: roleArn || null });
  try {
    return await work(ses);
  } finally {
    ses.close();
  }
}
