import { capture } from './capture.ts';
import { ses } from './ses.ts';
import { smtp } from './smtp.ts';
import type {
  Overrides as OverridesOf,
  RouteFields,
  RouteSettings as SettingsOf,
  TransportDescription,
} from './transport.ts';

/** All transports by the names that settings, routes and metrics have for them. */
export const TRANSPORTS = { ses, smtp, capture };

/** Which kind of transport carries a message. */
export type TransportKind = keyof typeof TRANSPORTS;

export const TRANSPORT_KINDS = Object.keys(TRANSPORTS) as readonly TransportKind[];

type Described = typeof TRANSPORTS;

/** What a route by such a transport has of its own. */
export type Overrides<K extends TransportKind> = OverridesOf<Described[K]['route']>;

/** The settings in force for a route by such a transport. */
export type RouteSettings<K extends TransportKind> = SettingsOf<Described[K]['settings'], Described[K]['route']>;

/** A description, for code that goes through all kinds, or learns the kind while it runs. */
export function descriptionOf(kind: TransportKind): TransportDescription<object, RouteFields> {
  return TRANSPORTS[kind];
}

/** The settings of all transports, in groups of their names. */
export const transportSettings = Object.fromEntries(TRANSPORT_KINDS.map(kind => [kind, TRANSPORTS[kind].settings])) as {
  readonly [K in TransportKind]: Described[K]['settings'];
};
