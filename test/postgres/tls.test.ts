import assert from 'node:assert/strict';
import dns from 'node:dns';
import { chown, copyFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { after, describe, it, type TestContext } from 'node:test';
import { pino } from 'pino';
import { makeAccountDirectory, postgresAccount } from '../../dev/postgres/account.ts';
import { databaseLogin, migrationsLogin } from '../../src/config/derived.ts';
import { loadConfig } from '../../src/config/load.ts';
import { DatabaseClient } from '../../src/postgres/client.ts';
import { createPool } from '../../src/postgres/pool.ts';
import { untilKnown } from '../../src/postgres/until-known.ts';
import { migrate } from '../../src/store/schema/migrate.ts';
import { eventually } from '../support/eventually.ts';
import { createServer } from '../support/postgres-server.ts';
import { makeCertificate } from '../support/tls.ts';

/** Resolves to 127.0.0.1 like a name, and the certificate does not have it. */
const OTHER_NAME = '127.1';
const account = postgresAccount();
const RDS_NAME = 'db.cluster-x.eu-central-1.rds.amazonaws.com';
const certificate = await makeCertificate({ after }, { name: RDS_NAME });
const other = await makeCertificate({ after });
const server = await startTlsServer();
const { username, password, port } = new URL(server.url('postgres'));
/** The certificate is for this name. */
const url = `postgres://${username}:${password}@localhost:${port}/postgres`;

/** Postgres takes a key only from a file of its own user's. */
async function startTlsServer() {
  const directory = await makeAccountDirectory(account);
  after(() => rm(directory, { recursive: true, force: true }));
  const files = { ssl_cert_file: join(directory, 'tls.crt'), ssl_key_file: join(directory, 'tls.key') };
  await copyFile(certificate.certPath, files.ssl_cert_file);
  await copyFile(certificate.keyPath, files.ssl_key_file);
  if (account) for (const file of Object.values(files)) await chown(file, account.uid, account.gid);
  return createServer({ after }, { settings: { ssl: 'on', ...files } });
}

/** Connects as the configuration of this environment says. @returns whether the connection is encrypted */
async function connect(t: TestContext, env: Record<string, string>): Promise<boolean> {
  const { config } = loadConfig(env);
  const options = { ...config.database, databaseUrl: databaseLogin(config) };
  const pool = createPool(options, pino({ level: 'silent' }));
  t.after(() => pool.end());
  const { rows } = await pool.query('select ssl from pg_stat_ssl where pid = pg_backend_pid()');
  return rows[0].ssl;
}

describe('TLS to Postgres', () => {
  it('is off unless asked for', async t => {
    assert.equal(await connect(t, { DATABASE_URL: url }), false);
  });

  for (const mode of ['verify-full', 'verify-ca', 'require', 'prefer']) {
    it(`sslmode=${mode} checks authority and host`, async t => {
      const warnings: Error[] = [];
      const collect = (warning: Error) => void warnings.push(warning);
      process.on('warning', collect);
      t.after(() => process.off('warning', collect));
      const rooted = `${url}?sslmode=${mode}&sslrootcert=${certificate.caPath}`;
      assert.equal(await connect(t, { DATABASE_URL: rooted }), true);
      await assert.rejects(connect(t, { DATABASE_URL: `${url}?sslmode=${mode}&sslrootcert=${other.caPath}` }), {
        code: /CERT|SIGNATURE/,
      });
      await assert.rejects(connect(t, { DATABASE_URL: `${url}?sslmode=${mode}` }), { code: /CERT|SIGNATURE/ });
      await assert.rejects(connect(t, { DATABASE_URL: rooted.replace('@localhost:', `@${OTHER_NAME}:`) }), {
        code: 'ERR_TLS_CERT_ALTNAME_INVALID',
      });
      assert.deepEqual(warnings, []);
    });
  }

  it('an authority alone asks for TLS with all checks', async t => {
    assert.equal(await connect(t, { DATABASE_URL: `${url}?sslrootcert=${certificate.caPath}` }), true);
    await assert.rejects(connect(t, { DATABASE_URL: `${url}?sslrootcert=${other.caPath}` }), {
      code: /CERT|SIGNATURE/,
    });
  });

  it('database.tlsCaFile does so for any host, where the URL names no authority', async t => {
    const ours = { SMTP_RELAY_DATABASE_TLS_CA_FILE: certificate.caPath };
    const others = { SMTP_RELAY_DATABASE_TLS_CA_FILE: other.caPath };
    assert.equal(await connect(t, { DATABASE_URL: url, ...ours, PGSSLROOTCERT: other.caPath }), true);
    assert.equal(await connect(t, { DATABASE_URL: `${url}?sslmode=require`, ...ours }), true);
    assert.equal(await connect(t, { DATABASE_URL: `${url}?sslrootcert=${certificate.caPath}`, ...others }), true);
    assert.equal(await connect(t, { DATABASE_URL: `${url}?sslmode=disable`, ...ours }), false);
    await assert.rejects(connect(t, { DATABASE_URL: url, ...others }), { code: /CERT|SIGNATURE/ });
  });

  describe('of RDS, whose URL says nothing of it', () => {
    const rds = url.replace('@localhost:', `@${RDS_NAME}:`);
    /** Names under amazonaws.com are this machine. */
    const resolve = (t: TestContext) => {
      const lookup = dns.lookup as (name: string, ...rest: unknown[]) => void;
      t.mock.method(dns, 'lookup', (name: string, ...rest: unknown[]) =>
        lookup(name.endsWith('.amazonaws.com') ? '127.0.0.1' : name, ...rest),
      );
    };

    it('is there, unverified', async t => {
      resolve(t);
      assert.equal(await connect(t, { DATABASE_URL: rds }), true);
      assert.equal(await connect(t, { DATABASE_URL: rds.replace(RDS_NAME, `other.${RDS_NAME}`) }), true);
      assert.equal(await connect(t, { DATABASE_URL: `${rds}?sslmode=disable` }), false);
    });

    it('is verified, authority and host, against the bundle where one is given', async t => {
      resolve(t);
      const bundle = { SMTP_RELAY_DATABASE_TLS_CA_FILE: certificate.caPath };
      assert.equal(await connect(t, { DATABASE_URL: rds, ...bundle }), true);
      const wrong = { DATABASE_URL: rds, SMTP_RELAY_DATABASE_TLS_CA_FILE: other.caPath };
      await assert.rejects(connect(t, wrong), { code: /CERT|SIGNATURE/ });
      await assert.rejects(connect(t, { DATABASE_URL: rds.replace(RDS_NAME, `other.${RDS_NAME}`), ...bundle }), {
        code: 'ERR_TLS_CERT_ALTNAME_INVALID',
      });
    });

    it('holds for migrations and for the connection that listens, too', async t => {
      resolve(t);
      const { config } = loadConfig({ DATABASE_URL: rds });
      await migrate(migrationsLogin(config), { pipeline: 'standalone' });
      const client = new DatabaseClient(databaseLogin(config));
      await client.connect();
      t.after(() => client.end());
      const { rows } = await client.query('select ssl from pg_stat_ssl where pid = pg_backend_pid()');
      assert.deepEqual(rows, [{ ssl: true }]);
    });
  });

  it('a certificate for the address will do', async t => {
    const byAddress = url.replace('@localhost:', '@127.0.0.1:');
    assert.equal(await connect(t, { DATABASE_URL: `${byAddress}?sslrootcert=${certificate.caPath}` }), true);
  });

  it('sslmode=no-verify encrypts, whoever answers', async t => {
    assert.equal(await connect(t, { DATABASE_URL: `${url}?sslmode=no-verify` }), true);
  });

  for (const query of ['?sslmode=disable', `?sslrootcert=${certificate.caPath}`]) {
    it(`statements are cancelled by the same way as they came: ${query.slice(0, 12)}`, async t => {
      const { config } = loadConfig({ DATABASE_URL: `${url}${query}` });
      const pool = createPool({ ...config.database, databaseUrl: databaseLogin(config) }, pino({ level: 'silent' }));
      t.after(() => pool.end());
      const off = new AbortController();
      const work = untilKnown(pool, client => client.query('select pg_sleep(60)'), {
        isFinal: () => true,
        limit: 0,
        conflicts: 1,
        signal: off.signal,
      });
      const isAsleep = "select 1 from pg_stat_activity where wait_event = 'PgSleep'";
      await eventually(async () => (await pool.query(isAsleep)).rows.length > 0);
      const reason = new Error('called off');
      off.abort(reason);
      await assert.rejects(work, reason);
      assert.deepEqual((await pool.query(isAsleep)).rows, []);
    });
  }

  it('a server without TLS is refused', async t => {
    const plain = (await createServer(t)).url('postgres');
    await assert.rejects(connect(t, { DATABASE_URL: `${plain}?sslmode=require` }), /does not support SSL/);
  });

  it('the PG variables say the same, and need no URL', async t => {
    const variables = {
      PGHOST: 'localhost',
      PGPORT: port,
      PGUSER: username,
      PGPASSWORD: decodeURIComponent(password),
      PGDATABASE: 'postgres',
      PGSSLMODE: 'verify-full',
      PGSSLROOTCERT: certificate.caPath,
    };
    assert.equal(await connect(t, variables), true);
    await assert.rejects(connect(t, { ...variables, PGSSLROOTCERT: other.caPath }), { code: /CERT|SIGNATURE/ });
    await assert.rejects(connect(t, { ...variables, PGHOST: OTHER_NAME }), { code: 'ERR_TLS_CERT_ALTNAME_INVALID' });
  });
});
