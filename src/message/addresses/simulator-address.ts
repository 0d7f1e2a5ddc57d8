import { comparableAddress, domainOf, localPartOf } from './address.ts';

/** What happens to mail for an address of a simulator; `refused` is the hard bounce of an address on SES's own list. */
export type Simulation = 'delivered' | 'bounced' | 'refused' | 'complained' | 'suppressed';

/** OpenSend's test addresses (pipeline contract, "What the worker makes of a row"). */
const OPENSEND: ReadonlyMap<string, Simulation> = new Map([
  ['delivered', 'delivered'],
  ['bounced', 'bounced'],
  ['complained', 'complained'],
  ['suppressed', 'suppressed'],
]);

/** SES developer guide, "Using the mailbox simulator". An out-of-office answer is mail of its own: the message has arrived. */
const SES: ReadonlyMap<string, Simulation> = new Map([
  ['success', 'delivered'],
  ['ooto', 'delivered'],
  ['bounce', 'bounced'],
  ['suppressionlist', 'refused'],
  ['complaint', 'complained'],
]);

const SIMULATORS: ReadonlyMap<string, ReadonlyMap<string, Simulation>> = new Map([
  ['resend.dev', OPENSEND],
  ['simulator.amazonses.com', SES],
]);

/**
 * What a test address stands for: whatever its case, and with any `+label`.
 *
 * @param address one that `parseAddress` has read
 * @returns null where it is none
 */
export function simulationOf(address: string): Simulation | null {
  const addresses = SIMULATORS.get(domainOf(address));
  if (addresses === undefined) return null;
  // Quoted it is the same mailbox (RFC 5321 section 4.1.2).
  const [name = ''] = localPartOf(comparableAddress(address))
    .replace(/^"(.*)"$/, '$1')
    .split('+');
  return addresses.get(name) ?? null;
}

/** Whether it is SES's own simulator, to which SES may be left to send. */
export function isSesSimulator(address: string): boolean {
  return domainOf(address) === 'simulator.amazonses.com';
}
