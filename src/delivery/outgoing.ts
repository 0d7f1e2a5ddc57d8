import { domainOf } from '../message/address.ts';
import { MAX_LINE } from '../message/mending/long-lines.ts';
import { mend } from '../message/mending/mend.ts';
import type { Logger } from '../observability/log.ts';
import { transportLimits } from '../policy/transport-limits.ts';
import type { Claim } from '../store/claims.ts';
import type { DomainSettings } from '../store/sending-domains.ts';
import { compose } from './compose.ts';
import { type ReceivedMode, receivedField } from './received.ts';
import type { OutgoingMessage, Transport } from './transport.ts';

/** A message ready for its transport; each call adds its recipients. */
export interface Outgoing {
  readonly transport: Transport;
  readonly message: Omit<OutgoingMessage, 'recipients'>;
}

export interface OutgoingBuilder {
  /** What the message leaves by. */
  transportOf(claim: Claim): Promise<Transport>;
  /** null where the message is not kept any more. */
  build(claim: Claim): Promise<Outgoing | null>;
}

/** Rewrites a composed message for tracking, as its domain and the message itself ask for. */
export type Track = (
  raw: Buffer,
  message: { readonly claim: Claim; readonly fromDomain: string; readonly domain: DomainSettings | null },
) => Promise<Buffer>;

export interface OutgoingDependencies {
  readonly readRaw: (emailId: string, sizeBytes: number) => Promise<Buffer | null>;
  readonly findDomain: (userId: string, domain: string) => Promise<DomainSettings | null>;
  readonly transportFor: (fromDomain: string) => Promise<Transport>;
  /** What takes messages that are to go to nobody. */
  readonly captureTransport: () => Transport;
  readonly receivedHeader: () => ReceivedMode;
  /** Whether a client's DKIM signature is left out of what goes by SES. */
  readonly unsignedForSes: boolean;
  readonly track: Track;
  readonly logger: Logger;
}

/** Puts together which bytes go out, and who takes them. */
export function createOutgoingBuilder(dependencies: OutgoingDependencies): OutgoingBuilder {
  const { readRaw, findDomain, transportFor, captureTransport, receivedHeader, unsignedForSes, track, logger } =
    dependencies;
  const transportOf = async ({ message }: Claim): Promise<Transport> =>
    message.captured ? captureTransport() : transportFor(domainOf(addressIn(message.from)));
  return {
    transportOf,
    async build(claim) {
      const { emailId, message } = claim;
      const from = addressIn(message.from);
      const fromDomain = domainOf(from);
      const [stored, domain] = await Promise.all([
        message.raw ?? readRaw(emailId, message.sizeBytes),
        message.userId === null ? null : findDomain(message.userId, fromDomain),
      ]);
      if (stored === null) return null;
      const { acceptedAt } = message;
      const received = receivedField(receivedHeader(), { emailId, ...message });
      const transport = await transportOf(claim);
      const { messageBytes, lineBytes, strictTypes, smtpUtf8: takesUtf8 } = transportLimits(transport.kind);
      const unsigned = unsignedForSes && transport.kind === 'ses';
      const mended = await mend(stored, { lines: lineBytes <= MAX_LINE, types: strictTypes, unsigned });
      // A client that did not ask for SMTPUTF8 may not write such domains, and does.
      const plainDomains = transport.kind === 'smtp' && !message.smtpUtf8;
      const options = { emailId, acceptedAt, fromDomain, plainAddresses: !takesUtf8, plainDomains, unsigned };
      const composed = compose(mended, { ...options, received });
      const tracked = await track(composed, { claim, fromDomain, domain }).catch(error => {
        // A message that cannot be tracked is still a message.
        logger.error({ emailId, err: error }, 'message not rewritten for tracking');
        return composed;
      });
      // What was small enough to be accepted goes out with nothing added rather than not at all.
      const plain = () => compose(mended, options);
      const raw = [tracked, composed].find(({ length }) => length <= messageBytes) ?? plain();
      const { userId, reversePath, bodyType, smtpUtf8, tags } = message;
      const outgoing = { emailId, userId, raw, reversePath, from, bodyType, smtpUtf8, tags, domain };
      return { transport, message: outgoing };
    },
  };
}

/** The address of a mailbox as `emails.from` has it: `Name <address>`, or the address alone. */
export function addressIn(mailbox: string): string {
  return /<([^<>]*)>$/.exec(mailbox)?.[1] ?? mailbox;
}
