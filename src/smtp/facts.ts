import { domainOf } from '../message/address.ts';
import type { Facts } from '../policy/decide.ts';
import type { TransportLimits } from '../policy/transport-limits.ts';
import type { FactsQuestion } from './submission.ts';

/** What the store and the routes tell. */
export type StoredFacts = Omit<Facts, 'outside'>;

export interface FactsSources {
  /** Those of the addresses that are on the owner's suppression list. */
  readonly findSuppressed: (userId: string, addresses: readonly string[]) => Promise<readonly string[]>;
  /** Whether the domain is one of the owner's; null where that is not asked (`senderDomains: any`). */
  readonly isOwned: ((userId: string, domain: string) => Promise<boolean>) | null;
  /** The limits of the transport that takes messages from this domain. */
  readonly limitsOf: (domain: string) => TransportLimits;
  readonly sentAsReceived: boolean;
}

/** Gathers what the policy needs to know about a message, from the store. */
export async function gatherFacts(question: FactsQuestion, sources: FactsSources): Promise<StoredFacts> {
  const { userId, keyDomain } = question.owner;
  const [suppressed, foreignDomain] = await Promise.all([
    sources.findSuppressed(userId, question.recipients),
    findForeignDomain(question, sources),
  ]);
  const transport = sources.limitsOf(domainOf(question.sender.from.address));
  return { keyDomain, foreignDomain, suppressed, transport, sentAsReceived: sources.sentAsReceived };
}

/** SES lets an account send as any of its identities, in From and in Sender; which tenant may use which is for us to say. */
async function findForeignDomain({ owner, sender }: FactsQuestion, { isOwned }: FactsSources): Promise<string | null> {
  if (isOwned === null) return null;
  const addresses = [sender.from.address, ...(sender.sender ? [sender.sender.address] : [])];
  for (const domain of new Set(addresses.map(domainOf))) {
    if (!(await isOwned(owner.userId, domain))) return domain;
  }
  return null;
}
