import { createNetworkMatcher } from '../platform/networks.ts';

export interface TrustedNetwork {
  /** CIDR. */
  readonly network: string;
  readonly keyId: string;
}

/**
 * Builds the test for "as which key may this client send without a log-in?".
 *
 * @returns a function of the client's address: the id of the key that the first network with it names, or null
 */
export function createTrust(networks: readonly TrustedNetwork[]): (address: string) => string | null {
  const matchers = networks.map(({ network, keyId }) => ({ keyId, holds: createNetworkMatcher([network]) }));
  return address => matchers.find(({ holds }) => holds(address))?.keyId ?? null;
}
