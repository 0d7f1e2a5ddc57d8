import { defaultRouteName, type RouteSetting } from '../../config/formats/routes.ts';
import type { Config } from '../../config/schema.ts';
import { descriptionOf, type RouteSettings, type TransportKind } from '../../config/transports/list.ts';
import { createRouteMatcher } from '../../routing/routes.ts';
import type { SendingDomain, Transport } from './contract.ts';

interface RouteBy<K extends TransportKind> {
  readonly name: string;
  readonly transport: K;
  readonly settings: RouteSettings<K>;
  /** What the route itself says: it stands above what `domains` says of a domain. */
  readonly pinned: Pinned;
}

/** A way out: a transport and what it needs to know. */
export type Route = { readonly [K in TransportKind]: RouteBy<K> }[TransportKind];

export interface Routes {
  /** Every way out that a message may take but `captured`, the default one last. */
  readonly all: readonly Route[];
  /** The route of messages whose From has this domain: the first that names it, or the default one. */
  routeFor(domain: string): Route;
  /** The route of messages that are to go to nobody, whatever their domain. */
  readonly captured: Route;
}

type RouteConfig = Pick<Config, 'routes' | 'transport' | TransportKind>;

export function createRoutes(config: RouteConfig): Routes {
  const fallback = routeOf({ domains: [], transport: config.transport }, 'default', config);
  const routes = config.routes.map((setting, index) => ({
    domains: setting.domains,
    route: routeOf(setting, setting.name ?? defaultRouteName(index), config),
  }));
  const find = createRouteMatcher(routes);
  const captured = routeOf({ domains: [], transport: 'capture' }, 'captured', config);
  const all = [...routes.map(({ route }) => route), fallback];
  return { all, routeFor: domain => find(domain)?.route ?? fallback, captured };
}

function routeOf(setting: RouteSetting, name: string, config: RouteConfig): Route {
  const { transport } = setting;
  const { combine, aboveDomain = [] } = descriptionOf(transport);
  const general: object = config[transport];
  const own: Readonly<Record<string, unknown>> = setting[transport] ?? {};
  const pinned = aboveDomain.flatMap(key => (own[key] === undefined ? [] : [[key, own[key]]]));
  const settings = combine?.(general, own) ?? { ...general, ...own };
  return { name, transport, settings, pinned: Object.fromEntries(pinned) } as Route;
}

/** How each kind of transport is made, for the route of that name and others with the same settings. */
export type TransportFactories = {
  readonly [K in TransportKind]: (settings: RouteSettings<K>, name: string) => Transport;
};

export interface Transports {
  /** The transport of messages whose From has this domain; made when it is first needed. */
  transportFor(domain: string): Transport;
  /** The transport of messages that are to go to nobody. */
  captureTransport(): Transport;
  /** The name of the route that a transport was made for. */
  nameOf(transport: Transport): string;
  /** Closes all of them. */
  close(): Promise<void>;
}

/**
 * Routes whose settings are the same share a transport, so that connections and rates are shared too, also with those of an
 * earlier configuration. A transport that no route leads to any more is kept for what is still on its way by it: idle, it
 * closes its connections by itself.
 *
 * @param routes those in force now; asked for at each message
 */
export function createTransports(routes: () => Routes, factories: TransportFactories): Transports {
  const made = new Map<string, Transport>();
  const byRoute = new WeakMap<Route, Transport>();
  const names = new WeakMap<Transport, string>();
  const create = (route: Route): Transport => {
    const { name, ...rest } = route;
    const key = JSON.stringify(rest);
    const transport = made.get(key) ?? createTransport(route, factories);
    made.set(key, transport);
    if (!names.has(transport)) names.set(transport, name);
    return transport;
  };
  const transportOf = (route: Route): Transport => {
    const transport = byRoute.get(route) ?? create(route);
    byRoute.set(route, transport);
    return transport;
  };
  return {
    transportFor: domain => transportOf(routes().routeFor(domain)),
    captureTransport: () => transportOf(routes().captured),
    nameOf: transport => names.get(transport) ?? transport.kind,
    async close() {
      await Promise.all([...made.values()].map(transport => transport.close()));
    },
  };
}

function createTransport({ transport, settings, name, pinned }: Route, factories: TransportFactories): Transport {
  const create = factories[transport] as (settings: Route['settings'], name: string) => Transport;
  return pinTo(create(settings, name), pinned);
}

/** What a route says of its domains, in place of what `domains` says. */
type Pinned = Partial<Pick<SendingDomain, 'region' | 'configurationSet'>>;

/**
 * A transport for which the region and the configuration set of a route stand above those of the sender's domain. All its members
 * and all their arguments go through as they are, whatever a transport may have yet; only in messages the domain is another.
 */
function pinTo(transport: Transport, pinned: Pinned): Transport {
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
