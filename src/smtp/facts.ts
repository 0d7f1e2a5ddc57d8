import { domainOf } from '../message/address.ts';
import type { Facts } from '../policy/decide.ts';
import type { TransportLimits } from '../policy/transport-limits.ts';
import type { FactsQuestion } from './submission.ts';

export interface FactsSources {
  /** Those of the addresses that are on the owner's suppression list. */
  readonly findSuppressed: (userId: string, addresses: readonly string[]) => Promise<readonly string[]>;
  /** Whether the domain is one of the owner's; null where that is not asked (`senderDomains: any`). */
  readonly isOwned: ((userId: string, domain: string) => Promise<boolean>) | null;
  readonly transport: TransportLimits;
  readonly sentAsReceived: boolean;
}

/** Gathers what the policy needs to know about a message, from the store. */
export async function gatherFacts(question: FactsQuestion, sources: FactsSources): Promise<Facts> {
  const { userId, keyDomain } = question.owner;
  const [suppressed, domainOwned] = await Promise.all([
    sources.findSuppressed(userId, question.recipients),
    sources.isOwned?.(userId, domainOf(question.sender.from.address)) ?? null,
  ]);
  return { keyDomain, domainOwned, suppressed, transport: sources.transport, sentAsReceived: sources.sentAsReceived };
}
