import { comparableAddress, comparableDomain, domainOf, localPartOf } from '../message/addresses/address.ts';

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
