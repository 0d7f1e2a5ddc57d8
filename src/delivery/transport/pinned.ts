import type { OutgoingMessage, SendingDomain, Transport } from '../transport.ts';

/** What a route says of its domains, in place of what `domains` says. */
export type Pinned = Partial<Pick<SendingDomain, 'region' | 'configurationSet'>>;

/** A transport for which the region and the configuration set of a route stand above those of the sender's domain. */
export function pinTo(transport: Transport, pinned: Pinned): Transport {
  if (Object.keys(pinned).length === 0) return transport;
  const pin = <M extends Pick<OutgoingMessage, 'domain'>>(message: M): M => {
    return { ...message, domain: message.domain && { ...message.domain, ...pinned } };
  };
  const { kind, maxRecipients } = transport;
  return {
    kind,
    maxRecipients,
    ...(transport.admit && {
      admit: async (recipients, signal, message) => transport.admit?.(recipients, signal, pin(message)),
    }),
    send: (message, signal) => transport.send(pin(message), signal),
    close: () => transport.close(),
  };
}
