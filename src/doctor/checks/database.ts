import { TLSSocket } from 'node:tls';
import type pg from 'pg';
import { checkDatabase } from '../../postgres/pool.ts';
import { advice, type DoctorParts, type Finding, failed, ok } from '../finding.ts';

const FACTS = `
  select current_setting('server_version') as version, current_setting('server_version_num')::int as number,
         current_setting('server_encoding') as encoding, current_user as role, current_database() as name`;

interface Facts {
  readonly version: string;
  readonly number: number;
  readonly encoding: string;
  readonly role: string;
  readonly name: string;
}

/** The oldest that the tests run with. */
const OLDEST = 150_000;

/** Whether the database answers and takes writes, which one it is, and how the connection to it is protected. */
export async function checkConnection({ db }: DoctorParts): Promise<Finding[]> {
  const client = await db.connect();
  try {
    await checkDatabase(client);
    const { rows } = await client.query<Facts>(FACTS);
    const facts = rows[0] as Facts;
    return [
      ok('database', `"${facts.name}" answers, and takes writes, as the role "${facts.role}"`),
      describeVersion(facts),
      describeEncoding(facts),
      describeTls(client),
    ];
  } finally {
    client.release();
  }
}

function describeVersion({ version, number }: Facts): Finding {
  const what = 'version';
  if (number >= OLDEST) return ok(what, `PostgreSQL ${version}`);
  return advice(what, `PostgreSQL ${version} is older than the oldest that is tried, 15`, 'upgrade Postgres');
}

function describeEncoding({ encoding }: Facts): Finding {
  const what = 'encoding';
  if (encoding === 'UTF8') return ok(what, encoding);
  const detail = `${encoding}: messages with characters that it lacks get 451 for ever`;
  return failed(what, detail, 'move to a database with encoding UTF8');
}

function describeTls({ connection, host }: pg.PoolClient): Finding {
  const what = 'TLS to the database';
  const { stream } = connection;
  const remedy = 'append ?sslmode=verify-full to DATABASE_URL, or set SMTP_RELAY_DATABASE_TLS_CA_FILE';
  if (!(stream instanceof TLSSocket)) {
    if (isLocal(host)) return ok(what, `none, on the way to ${host}`);
    return advice(what, `none: whoever is between here and ${host} reads the messages`, remedy);
  }
  const { authorized } = stream;
  const protocol = stream.getProtocol() ?? 'TLS';
  if (authorized) return ok(what, `${protocol}, and the certificate is verified`);
  return advice(what, `${protocol}, but nobody checks who answers`, remedy);
}

function isLocal(host: string): boolean {
  return host.startsWith('/') || ['localhost', '127.0.0.1', '::1'].includes(host);
}
