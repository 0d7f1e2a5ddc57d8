import { senderDomainsMode } from '../config/derived.ts';
import type { Config } from '../config/schema.ts';
import { comparableAddress, comparableDomain, domainOf, localPartOf } from '../message/addresses/address.ts';
import type { TransportLimits } from '../routing/routes.ts';
import type { Facts } from './decide.ts';
import type { FactsQuestion } from './submission.ts';

/** What the store and the routes tell. */
type StoredFacts = Omit<Facts, 'outside'>;

export interface FactsSources {
  /** Those of the addresses that are on the owner's suppression list. */
  readonly findSuppressed: (userId: string, addresses: readonly string[]) => Promise<readonly string[]>;
  /** Whether the domain is one of the owner's. */
  readonly isOwned: (userId: string, domain: string) => Promise<boolean>;
  /** The limits of the transport that takes messages from this domain. */
  readonly limitsOf: (domain: string) => TransportLimits;
  readonly config: Pick<Config, 'pipeline' | 'senderDomains' | 'failureNotices'>;
}

/** Gathers what the policy needs to know about a message, from the store. */
export async function gatherFacts(question: FactsQuestion, sources: FactsSources): Promise<StoredFacts> {
  const { userId, domain: keyDomain } = question.key;
  const { pipeline, failureNotices } = sources.config;
  const sentAsReceived = pipeline === 'standalone';
  const transport = sources.limitsOf(domainOf(question.sender.from.address));
  // Failures are reported to MAIL FROM, whatever the transport.
  const hasReturn = transport.bouncesToSender || (sentAsReceived && failureNotices === 'on');
  const [suppressed, foreignDomain, foreignReturn] = await Promise.all([
    question.recipients.length > 0 ? sources.findSuppressed(userId, question.recipients) : [],
    findForeignDomain(question, sources),
    hasReturn ? findForeignReturn(question, sources) : null,
  ]);
  return { keyDomain, foreignDomain, foreignReturn, suppressed, transport, sentAsReceived };
}

/** SES lets an account send as any of its identities, in From and in Sender; which tenant may use which is for us to say. */
async function findForeignDomain(
  { key, sender }: FactsQuestion,
  { isOwned, config }: FactsSources,
): Promise<string | null> {
  if (senderDomainsMode(config) === 'any') return null;
  const addresses = [sender.from.address, ...(sender.sender ? [sender.sender.address] : [])];
  for (const domain of new Set(addresses.map(domainOf))) {
    if (!(await isOwned(key.userId, domain))) return domain;
  }
  return null;
}

/** What is allowed in From is allowed here. Who may write any From may write any MAIL FROM, too. */
async function findForeignReturn(
  { key, sender, reversePath }: FactsQuestion,
  { isOwned, config }: FactsSources,
): Promise<string | null> {
  const domain = domainOf(reversePath);
  if (domain === '' || domain === domainOf(sender.from.address)) return null;
  if (key.domain === null && senderDomainsMode(config) === 'any') return null;
  if (key.domain !== null && domain === comparableDomain(key.domain)) return null;
  return (await isOwned(key.userId, domain)) ? null : domain;
}

/**
 * Builds the test for "may mail go to this address?".
 *
 * @param entries addresses (`qa@acme.com`), domains (`acme.com`), or `*.` and a domain for all below it, but not itself; none
 * lets everybody in. Compared as A-labels, without regard to case
 * @returns a function of addresses that `parseAddress` has read
 */
export function createAllowList(entries: readonly string[]): (address: string) => boolean {
  if (entries.length === 0) return () => true;
  const exact = new Set(entries.map(comparable));
  const suffixes = entries.filter(isWildcard).map(entry => `.${comparableDomain(entry.slice(2))}`);
  return address => {
    const domain = domainOf(address);
    return (
      exact.has(comparableAddress(address)) || exact.has(domain) || suffixes.some(suffix => domain.endsWith(suffix))
    );
  };
}

function isWildcard(entry: string): boolean {
  return entry.startsWith('*.');
}

function comparable(entry: string): string {
  if (!entry.includes('@')) return comparableDomain(entry);
  return comparableAddress(`${localPartOf(entry)}@${comparableDomain(domainOf(entry))}`);
}
