import { descriptionOf, TRANSPORT_KINDS, type TransportKind } from '../config/transports/list.ts';
import type { Carried } from '../config/transports/transport.ts';
import { comparableDomain } from '../message/addresses/address.ts';
import { MAX_LINE } from '../message/bytes.ts';
import type { Refusal } from '../message/refusal.ts';
import { refuseForSes, type SesContent } from './ses-rules.ts';

/** What a transport cannot carry, known before a message is accepted for it. */
export interface TransportLimits extends Omit<Carried, 'longLines' | 'rules'> {
  readonly kind: TransportKind;
  /** The longest line in bytes, CRLF not counted. */
  readonly lineBytes: number;
  /** Refuses what it would refuse in header and structure. @param sentAsReceived else the message is made anew by another */
  readonly refuse: (content: SesContent, sentAsReceived: boolean) => Refusal | null;
}

const TAKES_ALL = (): null => null;

const LIMITS = Object.fromEntries(TRANSPORT_KINDS.map(kind => [kind, limitsOf(kind)])) as Readonly<
  Record<TransportKind, TransportLimits>
>;

export function transportLimits(kind: TransportKind): TransportLimits {
  return LIMITS[kind];
}

function limitsOf(kind: TransportKind): TransportLimits {
  const { longLines, rules, ...carries } = descriptionOf(kind).carries;
  const lineBytes = longLines ? Number.POSITIVE_INFINITY : MAX_LINE;
  return { kind, ...carries, lineBytes, refuse: rules === 'ses' ? refuseForSes : TAKES_ALL };
}

/** What of a route says which messages are its own. */
export interface RoutePattern {
  /** Names (`acme.com`), or `*.` and a name for all domains below it. */
  readonly domains: readonly string[];
  readonly transport: TransportKind;
}

/**
 * Finds the route of a sender's domain: the first in the list that names it. Names are compared as A-labels, without regard to
 * case.
 *
 * @returns a function of the domain; null is for none, and so for the default transport
 */
export function createRouteMatcher<R extends Pick<RoutePattern, 'domains'>>(
  routes: readonly R[],
): (domain: string) => R | null {
  const matchers = routes.map(route => ({ route, matches: createMatcher(route.domains) }));
  return domain => {
    const comparable = comparableDomain(domain);
    return matchers.find(({ matches }) => matches(comparable))?.route ?? null;
  };
}

function createMatcher(patterns: readonly string[]): (domain: string) => boolean {
  const isWildcard = (pattern: string): boolean => pattern.startsWith('*.');
  const names = new Set(patterns.filter(pattern => !isWildcard(pattern)).map(comparableDomain));
  const suffixes = patterns.filter(isWildcard).map(pattern => `.${comparableDomain(pattern.slice(2))}`);
  return domain => names.has(domain) || suffixes.some(suffix => domain.endsWith(suffix) && domain !== suffix);
}

/** What may be accepted, depending on the transport that a message will take. */
export interface RouteLimits {
  /** The limits of messages from this domain. */
  readonly of: (domain: string) => TransportLimits;
  /** Whether any transport takes local parts with other characters than ASCII; which one it will be shows in From only. */
  readonly anySmtpUtf8: boolean;
}

export function createRouteLimits(routes: readonly RoutePattern[], fallback: TransportKind): RouteLimits {
  const find = createRouteMatcher(routes);
  const kinds = [fallback, ...routes.map(({ transport }) => transport)];
  return {
    of: domain => transportLimits(find(domain)?.transport ?? fallback),
    anySmtpUtf8: kinds.some(kind => transportLimits(kind).smtpUtf8),
  };
}
