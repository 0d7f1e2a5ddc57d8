import type { Config } from './schema.ts';

/** Where the database is and who logs in. */
export interface DatabaseLogin {
  /** As node-postgres reads it. */
  readonly url: string;
  /** A file that holds the password, whatever the URL says; null without one. */
  readonly passwordFile: string | null;
}

type DatabaseConfig = Pick<Config, 'databaseUrl' | 'migrationsDatabaseUrl' | 'database'>;

/** How relay, worker and commands log in to the database. */
export function databaseLogin({ databaseUrl, database }: DatabaseConfig): DatabaseLogin {
  return { url: completeUrl(databaseUrl || 'postgres://', database), passwordFile: database.passwordFile || null };
}

/** How migrations log in: past the pooler, where the configuration names another way to the same database. */
export function migrationsLogin(config: DatabaseConfig): DatabaseLogin {
  return databaseLogin({ ...config, databaseUrl: config.migrationsDatabaseUrl || config.databaseUrl });
}

const PARTS = /^(?<scheme>\w+:\/\/)(?<authority>[^/?#]*)(?<path>\/[^?#]*)?(?:\?(?<query>[^#]*))?/;
const AUTHORITY = /^(?:(?<user>[^:]*)(?::(?<password>.*))?@)?(?<host>\[.*\]|[^:]*)(?::(?<port>\d+))?$/;

/** What the URL says counts; what it leaves out comes from the settings that stand for libpq's `PG*` variables. */
function completeUrl(url: string, database: Config['database']): string {
  const { scheme, authority = '', path = '', query = '' } = PARTS.exec(url)?.groups ?? {};
  const said = AUTHORITY.exec(authority)?.groups ?? {};
  const parameters = new URLSearchParams(query);
  const others = {
    host: database.host,
    port: database.port === 0 ? '' : String(database.port),
    user: database.user,
    password: database.password,
    sslmode: database.sslMode,
    sslrootcert: database.sslRootCert,
  };
  for (const [name, value] of Object.entries(others)) {
    if (value !== '' && !said[name] && !parameters.has(name)) parameters.set(name, value);
  }
  verifyServer(parameters);
  const name = path.length > 1 ? path : `/${encodeURI(database.name)}`;
  return `${scheme}${authority}${name}${parameters.size === 0 ? '' : `?${parameters}`}`;
}

/**
 * node-postgres takes these modes for `verify-full`, and says on standard error that a later version will not. Here they
 * mean that for good: a mode that does not verify is asked for by its name, `no-verify`.
 */
const VERIFYING_MODES = ['prefer', 'require', 'verify-ca'];

function verifyServer(parameters: URLSearchParams): void {
  if (parameters.get('uselibpqcompat') === 'true') return;
  if (VERIFYING_MODES.includes(parameters.get('sslmode') ?? '')) parameters.set('sslmode', 'verify-full');
}
