import {
  defaultRouteName,
  type RouteSetting,
  type SesOverrides,
  type SmtpOverrides,
} from '../../config/formats/routes.ts';
import type { Config } from '../../config/schema.ts';
import { createRouteMatcher } from '../../routing/routes.ts';
import type { Transport } from './contract.ts';
import { type Pinned, pinTo } from './pinned.ts';

export type SesSettings = Config['ses'];
export type SmtpRouteSettings = Config['smtp'] & {
  /** A file with the password; empty: `password` is it. */
  readonly passwordFile: string;
};
export type CaptureSettings = Config['capture'];

/** A way out: a transport and what it needs to know. */
export type Route =
  | {
      readonly name: string;
      readonly transport: 'ses';
      readonly settings: SesSettings;
      /** What the route itself says: it stands above what `domains` says of a domain. */
      readonly pinned: Pinned;
    }
  | { readonly name: string; readonly transport: 'smtp'; readonly settings: SmtpRouteSettings }
  | { readonly name: string; readonly transport: 'capture'; readonly settings: CaptureSettings };

export interface Routes {
  /** The route of messages whose From has this domain: the first that names it, or the default one. */
  routeFor(domain: string): Route;
  /** The route of messages that are to go to nobody, whatever their domain. */
  readonly captured: Route;
}

type RouteConfig = Pick<Config, 'routes' | 'transport' | 'ses' | 'smtp' | 'capture'>;

export function createRoutes(config: RouteConfig): Routes {
  const fallback = routeOf({ domains: [], transport: config.transport }, 'default', config);
  const routes = config.routes.map((setting, index) => ({
    domains: setting.domains,
    route: routeOf(setting, setting.name ?? defaultRouteName(index), config),
  }));
  const find = createRouteMatcher(routes);
  const captured = routeOf({ domains: [], transport: 'capture' }, 'captured', config);
  return { routeFor: domain => find(domain)?.route ?? fallback, captured };
}

function routeOf({ transport, ses, smtp, capture }: RouteSetting, name: string, config: RouteConfig): Route {
  if (transport === 'ses') return { name, transport, settings: { ...config.ses, ...ses }, pinned: pinnedBy(ses) };
  if (transport === 'smtp') return { name, transport, settings: smtpSettings(config.smtp, smtp) };
  return { name, transport, settings: { ...config.capture, ...capture } };
}

function pinnedBy({ region, configurationSet }: SesOverrides = {}): Pinned {
  return { ...(region !== undefined && { region }), ...(configurationSet !== undefined && { configurationSet }) };
}

/** A password is for one server: one that is named by the route never gets that of another. */
function smtpSettings(general: Config['smtp'], own: SmtpOverrides = {}): SmtpRouteSettings {
  const base = own.host === undefined ? general : { ...general, user: '', password: '' };
  const settings = { ...base, passwordFile: '', ...own };
  return own.passwordFile === undefined ? settings : { ...settings, password: '' };
}

/** How each kind of transport is made, for the route of that name and others with the same settings. */
export interface TransportFactories {
  readonly ses: (settings: SesSettings, name: string) => Transport;
  readonly smtp: (settings: SmtpRouteSettings, name: string) => Transport;
  readonly capture: (settings: CaptureSettings, name: string) => Transport;
}

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

function createTransport(route: Route, factories: TransportFactories): Transport {
  if (route.transport === 'ses') return pinTo(factories.ses(route.settings, route.name), route.pinned);
  return route.transport === 'smtp'
    ? factories.smtp(route.settings, route.name)
    : factories.capture(route.settings, route.name);
}
