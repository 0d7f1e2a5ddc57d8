import { Resolver } from 'node:dns/promises';
import { type Command, InvalidArgumentError, Option } from 'commander';
import { loadConfig } from '../../config/load.ts';
import { type Check, trackingHost } from '../../domains/check.ts';
import { checkConfiguredDomain, withSes } from '../../domains/configured.ts';
import type { SesIdentity } from '../../domains/identities.ts';
import { type DnsRecord, dnsRecords, zoneFile } from '../../domains/records.ts';
import { StoreError } from '../../postgres/errors.ts';
import type { Queryable } from '../../postgres/pool.ts';
import { type Domain, findDomain, normaliseDomain, setDomainStatus } from '../../store/owners/domains.ts';
import { type CliContext, examples, type JsonOptions, jsonOption, print, printable } from '../command.ts';
import { withDatabase } from '../database.ts';
import { CheckFailed } from '../errors.ts';

export interface SetUp {
  readonly identity: SesIdentity;
  readonly records: readonly DnsRecord[];
}

interface CheckOptions extends JsonOptions {
  readonly owner?: string;
  readonly nameserver?: string;
}

/** What SES says of an identity, in the words of `domains.status`. */
const STATUS: Readonly<Record<string, string>> = {
  SUCCESS: 'verified',
  PENDING: 'pending',
  FAILED: 'failed',
  TEMPORARY_FAILURE: 'temporary_failure',
  NOT_STARTED: 'not_started',
};

/**
 * Has SES know a domain. Doing it again changes nothing and tells the same.
 *
 * @param mailFrom a label, or a name below the domain; null leaves it as it is
 */
export async function setUpAtSes(
  context: CliContext,
  db: Queryable,
  domain: Domain,
  mailFrom: string | null,
): Promise<SetUp> {
  const { config } = loadConfig(context.env, { checkTlsFiles: false });
  const name = normaliseDomain(domain.name);
  const host = mailFrom && mailFromHost(mailFrom, name);
  return withSes(config, domain.region, async ses => {
    await ses.create(name);
    if (host) await ses.setMailFrom(name, host);
    const identity = await ses.find(name);
    if (!identity) throw new Error(`Amazon SES in ${domain.region} does not know ${name} yet; run it again`);
    await setDomainStatus(db, domain.id, statusOf(identity));
    const tracking = trackingHost(domain, config.tracking.baseUrl);
    return { identity, records: dnsRecords({ identity, region: domain.region, tracking }) };
  });
}

/** The records as they go into a zone file. */
export function describeSetUp({ records }: SetUp): string {
  return zoneFile(records);
}

export function addDomainCheck(domains: Command, context: CliContext): void {
  examples(
    domains
      .command('check')
      .description('Say what a domain still needs at SES and in DNS; the exit code is 1 while something is missing')
      .argument('<domain>')
      .option('--owner <id>', 'whose domain; needed where several owners have it')
      .addOption(nameserverOption())
      .addOption(jsonOption())
      .action(async (name: string, options: CheckOptions) => {
        const { domain, report } = await withDatabase(context, async pool => {
          const domain = await findDomain(pool, name, options.owner);
          const { config } = loadConfig(context.env, { checkTlsFiles: false });
          const report = await checkConfiguredDomain(config, domain, options.nameserver);
          if (report.identity) await setDomainStatus(pool, domain.id, statusOf(report.identity));
          return { domain, report };
        });
        print(context, options, { domain: domain.name, ...report }, report.checks.map(describeCheck).join(''));
        if (!report.complete) throw new CheckFailed(`${domain.name} is not complete yet`);
      }),
    'domains check acme.test',
    'domains check acme.test --nameserver 192.0.2.53',
    'domains check acme.test --json | jq \'.checks[] | select(.state != "ok")\'',
  );
}

const STATE_WIDTH = 'missing'.length;

function describeCheck({ state, what, detail }: Check): string {
  return `${state.padEnd(STATE_WIDTH)}  ${printable(`${what}: ${detail}`)}\n`;
}

/** A domain is verified by its DKIM records. */
function statusOf({ verified, dkim }: SesIdentity): string {
  return verified ? 'verified' : (STATUS[dkim.status] ?? 'pending');
}

function mailFromHost(text: string, domain: string): string {
  const host = normaliseDomain(text.includes('.') ? text : `${text}.${domain}`);
  if (!host.endsWith(`.${domain}`)) throw new StoreError('invalid', `${text} is not below ${domain}`);
  return host;
}

/** For commands that look into DNS. */
export function nameserverOption(): Option {
  const doc = "ask this DNS server, such as the zone's own, which knows new records at once";
  return new Option('--nameserver <address>', doc).argParser(parseServer);
}

function parseServer(text: string): string {
  try {
    new Resolver().setServers([text]);
    return text;
  } catch {
    throw new InvalidArgumentError('It must be an IP address, with a port behind a colon where it is not 53.');
  }
}
