import { join } from 'node:path';
import { type RouteSetting, routes as routesFormat } from '../config/formats/routes.ts';
import type { LiveConfig } from '../config/live.ts';
import type { Config } from '../config/schema.ts';
import type { TransportKind } from '../config/transports/list.ts';
import type { Logger } from '../observability/log.ts';
import type { Queryable } from '../postgres/pool.ts';

export interface DeclaredRoutesOptions {
  /** Below which the files with passwords are. */
  readonly secretsDirectory: string;
  readonly logger: Logger;
  /** A monotonic clock in milliseconds. */
  readonly now?: () => number;
}

/** Routes that documents declare; they come after those of the configuration. */
export interface DeclaredRoutes {
  /**
   * The routes, at most five seconds old. The very same list as before where nothing has changed, so that what is made of it
   * can be kept. Where the database does not answer, the last list stays.
   *
   * @throws the database's error, where the routes were never read
   */
  current(): Promise<readonly RouteSetting[]>;
  /**
   * The routes as they were last read, none before that; asking has older ones read anew. For callers that
   * cannot wait, and may be a few seconds late.
   */
  latest(): readonly RouteSetting[];
}

const TTL = 5_000;
/** The same list each time. */
const NONE: readonly RouteSetting[] = [];

/** Domains that name a route come first, as they are more exact than any pattern. */
const READ = `
  select name, domains, transport, settings, 1 as rank from smtp_relay_routes where domains <> '[]'
  union all
  select r.name, jsonb_agg(distinct lower(d.name)), r.transport, r.settings, 0
    from smtp_relay_domain_routes a
    join domains d on d.id = a.domain_id
    join smtp_relay_routes r on r.name = a.route
   group by r.id
   order by rank, name`;

interface StoredRoute {
  readonly name: string;
  readonly domains: readonly string[];
  readonly transport: TransportKind;
  readonly settings: Readonly<Record<string, unknown>>;
}

/** Reads declared routes when they are asked for; what was found is kept for five seconds. */
export function createDeclaredRoutes(
  db: Queryable,
  { secretsDirectory, logger, now = () => performance.now() }: DeclaredRoutesOptions,
): DeclaredRoutes {
  let known: { readonly text: string; readonly list: readonly RouteSetting[] } | undefined;
  let readAt = Number.NEGATIVE_INFINITY;
  let reading: Promise<void> | undefined;

  async function read(): Promise<void> {
    const { rows } = await db.query<StoredRoute>(READ);
    const text = JSON.stringify(rows);
    if (text !== known?.text) known = { text, list: rows.flatMap(row => routeOf(row, secretsDirectory, logger)) };
  }

  async function refresh(): Promise<void> {
    const asked = now();
    try {
      await read();
    } catch (error) {
      if (known === undefined) throw error;
      logger.warn({ err: error }, 'declared routes cannot be read; the last ones stay');
    }
    readAt = asked;
  }

  function refreshOld(): Promise<void> | undefined {
    if (now() - readAt < TTL) return;
    reading ??= refresh().finally(() => {
      reading = undefined;
    });
    return reading;
  }

  return {
    async current() {
      await refreshOld();
      return known?.list ?? NONE;
    },
    latest() {
      // Whoever began to read tells of it, and not all who ask meanwhile.
      if (!reading) refreshOld()?.catch(error => logger.warn({ err: error }, 'declared routes cannot be read'));
      return known?.list ?? NONE;
    },
  };
}

/** Where no documents can declare any. */
const NO_DECLARED_ROUTES: DeclaredRoutes = { current: async () => NONE, latest: () => NONE };

/**
 * The same as `perGeneration`, with the declared routes behind the configured ones: made anew when either changes.
 *
 * @param make given the configuration with all routes in force
 */
export function perRoutes<T>(
  live: Pick<LiveConfig, 'current'>,
  declared: Pick<DeclaredRoutes, 'latest'>,
  make: (config: Config) => T,
): () => T {
  let made: { readonly of: Config; readonly list: readonly RouteSetting[]; readonly value: T } | undefined;
  return () => {
    const { current: config } = live;
    const list = declared.latest();
    if (made?.of !== config || made.list !== list) {
      made = { of: config, list, value: make({ ...config, routes: [...config.routes, ...list] }) };
    }
    return made.value;
  };
}

/** The declared routes as the configuration has them: none beside OpenSend, whose worker knows SES only. */
export function createConfiguredRoutes(
  live: Pick<LiveConfig, 'current'>,
  db: Queryable,
  logger: Logger,
): DeclaredRoutes {
  const { pipeline, resources } = live.current;
  if (pipeline === 'opensend') return NO_DECLARED_ROUTES;
  return createDeclaredRoutes(db, { secretsDirectory: resources.secretsDirectory || resources.directory, logger });
}

/** What an older or newer version has written may not be readable for this one. */
function routeOf(row: StoredRoute, secretsDirectory: string, logger: Logger): readonly RouteSetting[] {
  const { name, domains, transport, settings } = row;
  const { passwordFile, ...rest } = settings;
  const own = typeof passwordFile === 'string' ? { ...rest, passwordFile: join(secretsDirectory, passwordFile) } : rest;
  try {
    return routesFormat.parse(JSON.stringify([{ name, domains, transport, [transport]: own }]));
  } catch (error) {
    logger.error({ err: error, route: name }, 'declared route cannot be used');
    return [];
  }
}
