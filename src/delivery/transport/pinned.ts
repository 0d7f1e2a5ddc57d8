import type { SendingDomain, Transport } from './contract.ts';

/** What a route says of its domains, in place of what `domains` says. */
export type Pinned = Partial<Pick<SendingDomain, 'region' | 'configurationSet'>>;

/**
 * A transport for which the region and the configuration set of a route stand above those of the sender's domain. All its members
 * and all their arguments go through as they are, whatever a transport may have yet; only in messages the domain is another.
 */
export function pinTo(transport: Transport, pinned: Pinned): Transport {
  if (Object.keys(pinned).length === 0) return transport;
  const pin = (argument: unknown): unknown =>
    isOfDomain(argument) ? { ...argument, domain: { ...argument.domain, ...pinned } } : argument;
  return new Proxy(transport, {
    get(target, name) {
      const member: unknown = Reflect.get(target, name);
      return typeof member === 'function' ? (...values: unknown[]) => member.apply(target, values.map(pin)) : member;
    },
  });
}

function isOfDomain(value: unknown): value is { readonly domain: object } {
  return (
    typeof value === 'object' &&
    value !== null &&
    'domain' in value &&
    typeof value.domain === 'object' &&
    value.domain !== null
  );
}
