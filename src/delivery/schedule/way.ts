import type { TransportKind } from '../../config/transports/list.ts';
import type { ProviderError } from '../../store/delivery/settle.ts';
import type { OutgoingMessage, RouteFault, Transport } from '../transport/contract.ts';
import type { SendAllowance } from '../transport/send-allowance.ts';
import type { Circuit } from './circuit.ts';

/**
 * A way out, as far as messages share it: what one of them meets there, the next one meets too. A smarthost is one, and so is
 * SES with one account in one region.
 */
export interface Way {
  readonly transport: Transport;
  readonly kind: TransportKind;
  /** For people: the route's name, and the region where it has several. */
  readonly name: string;
  /** The most calls that it bears at the same time; Infinity: as many as there are. */
  readonly calls: number;
  /** The most recipients of one call. */
  readonly maxRecipients: number;
  /** Where its rate is limited. */
  readonly allowance: SendAllowance | null;
  readonly circuit: Circuit;
  /**
   * Shuts the part of it that this message goes by, whose messages have a way of their own from then on. Absent where it is such a
   * part itself.
   */
  shutPart?(message: Pick<OutgoingMessage, 'domain'>, reason: RouteFault): void;
}

/** What is said of a message whose way out is shut; null while it is not. */
export function shutError({ circuit: { reason } }: Way): ProviderError | null {
  return reason && { code: 'RouteUnavailable', message: `${WHY[reason]}; the message waits until that is over` };
}

/** For owners too. */
const WHY: Readonly<Record<RouteFault, string>> = {
  connect: 'whoever is to take the mail does not answer',
  credentials: "whoever is to take the mail refuses the relay's log-in",
  paused: 'the account is not allowed to send just now',
  quota: 'the account has sent what it may send in a day',
  throttled: 'whoever takes the mail asks for fewer calls',
};
