import type { TransportKind } from '../../config/transports/list.ts';
import { domainOf } from '../../message/addresses/address.ts';
import type { Logger } from '../../observability/log.ts';
import type { ProviderError } from '../../store/delivery/settle.ts';
import type { DomainSettings } from '../../store/owners/domain-lookup.ts';
import type { CircuitMetrics } from '../metrics.ts';
import { addressIn } from '../outgoing/outgoing.ts';
import type { OutgoingMessage, RouteFault, SendAllowance, SendingDomain, Transport } from '../transport/contract.ts';
import { type AskForTurn, Circuit } from './circuit.ts';

/** What decides by which way a message leaves. */
export interface Departing {
  readonly userId: string | null;
  /** The From mailbox, maybe with a display name. */
  readonly from: string;
  readonly captured: boolean;
}

/** A way out that is shut, for people. */
export interface ShutWay {
  readonly route: string;
  readonly reason: RouteFault;
  /** ISO 8601. */
  readonly since: string;
}

export interface Ways {
  /** @throws where routes or domain cannot be known now */
  wayOf(message: Departing): Promise<Way>;
  /** Those that are shut. */
  readonly shut: readonly ShutWay[];
}

export interface WaysDependencies {
  readonly findDomain: (userId: string, domain: string) => Promise<DomainSettings | null>;
  readonly transportFor: (fromDomain: string) => Promise<Transport>;
  readonly captureTransport: () => Transport;
  /** The route that a transport was made for. */
  readonly nameOf: (transport: Transport) => string;
  /** Milliseconds between two tries of a message, at first and at most. */
  readonly pauses: { readonly firstPause: number; readonly longestPause: number };
  /** By which the workers agree on who tries a way out that is shut, by its name. Absent: each tries for itself. */
  readonly turns?: (way: string) => AskForTurn;
  /** Something may begin that could not before. */
  readonly onChange: () => void;
  readonly metrics: CircuitMetrics;
  readonly logger: Logger;
}

/** Of a transport, as far as messages share it. */
interface Place {
  readonly region: string;
  readonly part?: string;
}

/** Parts of one transport that may be shut by themselves at the same time: each has a metric of its own. */
const MAX_PARTS = 100;

/** Finds the way out of each message, and knows which are shut. */
export function createWays(dependencies: WaysDependencies): Ways {
  const { findDomain, transportFor, captureTransport, nameOf } = dependencies;
  const ways = new Map<Transport, Map<string, Way>>();
  const parts = new Map<Transport, Map<string, Way>>();
  const shut = new Map<Way, ShutWay>();

  function noteChange(way: Way): void {
    const { logger, metrics, onChange } = dependencies;
    const { reason } = way.circuit;
    const { name: route } = way;
    const before = shut.get(way);
    if (before) metrics.open.set({ route, reason: before.reason }, 0);
    if (reason === null) {
      shut.delete(way);
      logger.info({ route, transport: way.kind }, 'a way out works again');
    } else {
      shut.set(way, { route, reason, since: before?.since ?? new Date().toISOString() });
      metrics.open.set({ route, reason }, 1);
      metrics.openings.inc({ reason });
      logger.warn(
        { route, transport: way.kind, reason },
        'a way out cannot be used: its messages wait, and one at a time tries it',
      );
    }
    onChange();
  }

  function create(transport: Transport, domain: SendingDomain | null, { region, part = '' }: Place): Way {
    const name = [nameOf(transport), region, part].filter(word => word !== '').join(' ');
    const circuit = new Circuit({
      now: () => performance.now(),
      pauses: dependencies.pauses,
      ...(dependencies.turns && { askForTurn: dependencies.turns(name) }),
      onAnswer: dependencies.onChange,
      onChange: () => noteChange(way),
    });
    const way: Way = {
      transport,
      kind: transport.kind,
      name,
      calls: transport.calls ?? Number.POSITIVE_INFINITY,
      maxRecipients: transport.maxRecipients,
      allowance: transport.allowance?.({ domain }) ?? null,
      circuit,
      ...(part === '' && { shutPart: (message, reason) => shutPart(way, message.domain, reason) }),
    };
    return way;
  }

  /** From then on until it works again, its messages wait by themselves. */
  function shutPart({ transport }: Way, domain: SendingDomain | null, reason: RouteFault): void {
    const region = transport.region?.({ domain }) ?? '';
    const part = transport.part?.({ domain }) ?? '';
    const known = parts.get(transport) ?? new Map<string, Way>();
    parts.set(transport, known);
    for (const [key, { circuit }] of known) if (circuit.reason === null) known.delete(key);
    const key = `${region} ${part}`;
    if (part === '' || known.has(key) || known.size >= MAX_PARTS) return;
    const way = create(transport, domain, { region, part });
    known.set(key, way);
    const passage = way.circuit.begin();
    way.circuit.tell(reason, passage);
    way.circuit.end(passage);
  }

  /** Only while it is shut. */
  function partOf(transport: Transport, domain: SendingDomain | null, region: string): Way | null {
    const known = parts.get(transport);
    if (!known || known.size === 0) return null;
    const way = known.get(`${region} ${transport.part?.({ domain }) ?? ''}`);
    return way && way.circuit.reason !== null ? way : null;
  }

  return {
    async wayOf({ userId, from, captured }) {
      const fromDomain = domainOf(addressIn(from));
      const [transport, domain] = await Promise.all([
        captured ? captureTransport() : transportFor(fromDomain),
        userId === null ? null : findDomain(userId, fromDomain),
      ]);
      const byRegion = ways.get(transport) ?? new Map<string, Way>();
      ways.set(transport, byRegion);
      const region = transport.region?.({ domain }) ?? '';
      const way = byRegion.get(region) ?? create(transport, domain, { region });
      byRegion.set(region, way);
      return partOf(transport, domain, region) ?? way;
    },
    get shut() {
      return [...shut.values()];
    },
  };
}

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

/** Where nothing is left of the day's quota, that is known before a call says so. */
export function holdWithoutQuota({ allowance, circuit }: Way): void {
  if (allowance?.quotaLeft === 0) circuit.hold('quota');
  else circuit.release();
}
