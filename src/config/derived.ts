import { hostname } from 'node:os';
import type { Config } from './schema.ts';

/** SES takes at most this many recipients in one call, and OpenSend's worker makes one call a message. */
export const OPENSEND_RECIPIENTS = 50;

/** What any server should take (RFC 5321 section 4.5.3.1.8 asks for a hundred). */
const MOST_RECIPIENTS = 1000;

/**
 * The most recipients of one message: what is configured, or what the pipeline can deliver. A key may have fewer
 * (`RateLimits.mostRecipients`).
 */
export function recipientLimit({ limits, pipeline }: Pick<Config, 'limits' | 'pipeline'>): number {
  return limits.recipients || (pipeline === 'standalone' ? MOST_RECIPIENTS : OPENSEND_RECIPIENTS);
}

/**
 * The most RCPT commands of one transaction. A client that is told 452 sends the same message to the rest, which would come
 * to everybody once more where its header names the recipients: there the end of the message tells.
 */
export function envelopeLimit(config: Pick<Config, 'limits' | 'pipeline' | 'recipients'>): number {
  const limit = recipientLimit(config);
  return config.recipients === 'headers' ? Math.max(limit, MOST_RECIPIENTS) : limit;
}

/** Whether a sender's domain has to be one of the owner's, with `auto` resolved by the pipeline. */
export function senderDomainsMode(config: Pick<Config, 'senderDomains' | 'pipeline'>): 'owned' | 'any' {
  if (config.senderDomains !== 'auto') return config.senderDomains;
  return config.pipeline === 'standalone' ? 'owned' : 'any';
}

/** The name by which the relay greets clients (RFC 5321 section 4.2): what is configured, or the machine's. */
export function greetingName(config: Pick<Config, 'hostname'>): string {
  return config.hostname || hostname();
}

/** Whether clients can switch to TLS. */
export function hasTls(config: Pick<Config, 'tls'>): boolean {
  return config.tls.certPath !== '' && config.tls.keyPath !== '';
}

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
  const { url } = completeUrl(databaseUrl || 'postgres://', database);
  return { url, passwordFile: database.passwordFile || null };
}

/** How migrations log in: past the pooler, where the configuration names another way to the same database. */
export function migrationsLogin(config: DatabaseConfig): DatabaseLogin {
  return databaseLogin({ ...config, databaseUrl: config.migrationsDatabaseUrl || config.databaseUrl });
}

/** Whether TLS was chosen here, without a check of who answers, since nothing says how to check it. */
export function trustsAnyServer({ databaseUrl, migrationsDatabaseUrl, database }: DatabaseConfig): boolean {
  const urls = [databaseUrl || 'postgres://', migrationsDatabaseUrl || databaseUrl];
  return urls.some(url => url !== '' && completeUrl(url, database).trustsAny);
}

const PARTS = /^(?<scheme>\w+:\/\/)(?<authority>[^/?#]*)(?<path>\/[^?#]*)?(?:\?(?<query>[^#]*))?/;
const AUTHORITY = /^(?:(?<user>[^:]*)(?::(?<password>.*))?@)?(?<host>\[.*\]|[^:]*)(?::(?<port>\d+))?$/;

/** What the URL says counts; what it leaves out comes from the settings that stand for libpq's `PG*` variables. */
function completeUrl(url: string, database: Config['database']): { readonly url: string; readonly trustsAny: boolean } {
  const { scheme, authority = '', path = '', query = '' } = PARTS.exec(url)?.groups ?? {};
  const said = AUTHORITY.exec(authority)?.groups ?? {};
  const parameters = new URLSearchParams(query);
  const host = said['host'] || database.host;
  const others = {
    host: database.host,
    port: database.port === 0 ? '' : String(database.port),
    user: database.user,
    password: database.password,
    sslmode: database.sslMode,
    sslrootcert: isSocket(parameters.get('host') ?? host) ? '' : database.tlsCaFile || database.sslRootCert,
  };
  for (const [name, value] of Object.entries(others)) {
    if (value !== '' && !said[name] && !parameters.has(name)) parameters.set(name, value);
  }
  const trustsAny = chooseTls(parameters, parameters.get('host') ?? host);
  verifyServer(parameters);
  const name = path.length > 1 ? path : `/${encodeURI(database.name)}`;
  return { url: `${scheme}${authority}${name}${parameters.size === 0 ? '' : `?${parameters}`}`, trustsAny };
}

/** Of AWS, in China too. */
const AWS_HOST = /\.amazonaws\.(?:com|com\.cn|eu)\.?$/i;
/** Whoever says one of these says how the connection is to be. */
const TLS_PARAMETERS = ['sslmode', 'ssl', 'sslrootcert', 'sslcert', 'sslkey', 'sslnegotiation'];

/**
 * RDS refuses a connection without TLS, and OpenSend switches it on by itself for a host of AWS, without a check of who answers:
 * so its URLs say nothing of it, and are to work here as they are.
 *
 * @returns whether it did so here
 */
function chooseTls(parameters: URLSearchParams, host: string): boolean {
  if (!AWS_HOST.test(host) || TLS_PARAMETERS.some(name => parameters.get(name))) return false;
  // In libpq's meaning, `require` alone checks nothing, and there is no mode of the other name.
  parameters.set('sslmode', isLibpqs(parameters) ? 'require' : 'no-verify');
  return true;
}

/**
 * node-postgres takes these modes for `verify-full`, and says on standard error that a later version will not. Here they
 * mean that for good: a mode that does not verify is asked for by its name, `no-verify`.
 */
const VERIFYING_MODES = ['prefer', 'require', 'verify-ca'];

function verifyServer(parameters: URLSearchParams): void {
  if (isLibpqs(parameters)) return;
  if (VERIFYING_MODES.includes(parameters.get('sslmode') ?? '')) parameters.set('sslmode', 'verify-full');
}

/** A folder's name, where no TLS is spoken. */
function isSocket(host: string): boolean {
  return /^(?:\/|%2f)/i.test(host);
}

function isLibpqs(parameters: URLSearchParams): boolean {
  return parameters.get('uselibpqcompat') === 'true';
}

/** Whether any mail goes out to people. */
export function sendsToPeople({ transport, routes }: Pick<Config, 'transport' | 'routes'>): boolean {
  return transport !== 'capture' || routes.some(route => route.transport !== 'capture');
}
