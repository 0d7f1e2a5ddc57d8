import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import pg from 'pg';
import { databaseLogin, migrationsLogin } from '../../src/config/derived.ts';
import { loadConfig } from '../../src/config/load.ts';
import { ConfigError } from '../../src/config/problem.ts';
import { renderEffective } from '../../src/config/reference.ts';
import { writeFiles } from './support/fixtures.ts';

/** What node-postgres makes of it. */
function read(url: string) {
  const { host, port, user, password, database, ssl } = new pg.Client({ connectionString: url });
  return { host, port, user, password, database, ssl };
}

const PG = {
  PGHOST: 'db.example.com',
  PGPORT: '6432',
  PGUSER: 'relay@tenant',
  PGPASSWORD: 'p w&=+/%2F#?',
  PGDATABASE: 'my mail',
};

describe('the login', () => {
  it('is what DATABASE_URL says, where nothing else is said', () => {
    for (const url of ['postgres://relay:p%40ss@db/mail', 'postgres://relay@/mail?host=%2Frun%2Fpostgresql']) {
      assert.deepEqual(databaseLogin(loadConfig({ DATABASE_URL: url }).config), { url, passwordFile: null });
    }
  });

  it('is what the PG variables say, without a URL', () => {
    const { url } = databaseLogin(loadConfig(PG).config);
    assert.deepEqual(read(url), {
      host: PG.PGHOST,
      port: 6432,
      user: PG.PGUSER,
      password: PG.PGPASSWORD,
      database: PG.PGDATABASE,
      ssl: false,
    });
  });

  it('takes what the URL leaves out from the PG variables, and nothing else', () => {
    const whole = 'postgres://a:b@[::1]:1/c?sslmode=disable';
    assert.equal(databaseLogin(loadConfig({ ...PG, PGSSLMODE: 'verify-full', DATABASE_URL: whole }).config).url, whole);
    const { url } = databaseLogin(loadConfig({ ...PG, PGSSLMODE: 'require', DATABASE_URL: 'postgres://x@db' }).config);
    const { host, user, password, database, ssl } = read(url);
    assert.deepEqual(
      { host, user, password, database, ssl },
      { host: 'db', user: 'x', password: PG.PGPASSWORD, database: PG.PGDATABASE, ssl: {} },
    );
  });

  describe('to a host of AWS', () => {
    const RDS = 'postgres://relay:secret@db.cluster-x.eu-central-1.rds.amazonaws.com:5432/mail';
    const look = (env: Record<string, string>) => {
      const { config, warnings } = loadConfig(env);
      return { ssl: read(databaseLogin(config).url).ssl, warned: warnings.some(text => /tlsCaFile/.test(text)) };
    };
    const ANYBODY = { ssl: { rejectUnauthorized: false }, warned: true };

    it('is by TLS where nothing says so, with a warning that says how to check who answers', () => {
      for (const url of [
        RDS,
        RDS.replace('.com:5432', '.com'),
        RDS.replace('.com:', '.com.cn:'),
        RDS.replace('rds.amazonaws.com', 'RDS.AmazonAWS.com'),
        `${RDS}?application_name=x`,
        `${RDS}?sslmode=`,
        'postgres://relay:p%40ss@/mail?host=db.rds.amazonaws.com',
      ]) {
        assert.deepEqual(look({ DATABASE_URL: url }), ANYBODY, url);
      }
      assert.deepEqual(look({ ...PG, PGHOST: 'db.rds.amazonaws.com' }), ANYBODY);
      assert.deepEqual(look({ DATABASE_URL: `${RDS}?uselibpqcompat=true` }), ANYBODY);
      const pooled = loadConfig({ DATABASE_URL: 'postgres://pooler/mail', MIGRATIONS_DATABASE_URL: RDS });
      assert.deepEqual(read(migrationsLogin(pooled.config).url).ssl, { rejectUnauthorized: false });
      assert.equal(read(databaseLogin(pooled.config).url).ssl, false);
      assert.match(pooled.warnings.join(), /global-bundle\.pem.*SMTP_RELAY_DATABASE_TLS_CA_FILE/);
      assert.doesNotMatch(pooled.warnings.join(), /secret/);
    });

    it('is as it is stated, where that is stated', () => {
      assert.deepEqual(look({ DATABASE_URL: `${RDS}?sslmode=disable` }), { ssl: false, warned: false });
      assert.deepEqual(look({ DATABASE_URL: RDS, PGSSLMODE: 'disable' }), { ssl: false, warned: false });
      assert.deepEqual(look({ DATABASE_URL: `${RDS}?sslmode=require` }), { ssl: {}, warned: false });
      const meant = { ssl: { rejectUnauthorized: false }, warned: false };
      assert.deepEqual(look({ DATABASE_URL: `${RDS}?sslmode=no-verify` }), meant);
    });

    it('is none of these where the name only looks like one', () => {
      for (const host of ['amazonaws.com.example.com', 'myamazonaws.com', 'db.internal', '10.0.0.1']) {
        assert.deepEqual(look({ DATABASE_URL: `postgres://amazonaws.com:x@${host}/mail` }), {
          ssl: false,
          warned: false,
        });
      }
    });
  });

  it('needs a URL or a host', () => {
    const { PGHOST: _, ...others } = PG;
    assert.throws(
      () => loadConfig(others),
      (error: unknown) => error instanceof ConfigError && /or PGHOST in its place/.test(error.message),
    );
  });

  it('can come from mounted files, one a variable', t => {
    const directory = writeFiles(t, { PGHOST: 'db\n', PGPASSWORD: 'secret\n' });
    const { url } = databaseLogin(loadConfig({ SMTP_RELAY_SECRETS_DIR: directory }).config);
    const { host, password } = read(url);
    assert.deepEqual({ host, password }, { host: 'db', password: 'secret' });
  });

  it('names the file of a password that changes often', () => {
    const { config } = loadConfig({ ...PG, DATABASE_PASSWORD_FILE: '/run/token' });
    assert.equal(databaseLogin(config).passwordFile, '/run/token');
  });

  it('of migrations goes past the pooler, with the same user unless it says another', () => {
    const { config } = loadConfig({
      ...PG,
      DATABASE_URL: 'postgres://pooler/mail',
      MIGRATIONS_DATABASE_URL: 'postgres://owner@db:5432/mail',
    });
    const { host, port, user, password } = read(migrationsLogin(config).url);
    assert.deepEqual(
      { host, port, user, password },
      { host: 'db', port: 5432, user: 'owner', password: PG.PGPASSWORD },
    );
    assert.equal(read(databaseLogin(config).url).host, 'pooler');
    const { config: without } = loadConfig({ DATABASE_URL: 'postgres://pooler/mail' });
    assert.deepEqual(migrationsLogin(without), databaseLogin(without));
  });

  it('keeps its passwords to itself', () => {
    const secret = 'hunter2hunter2';
    const shown = renderEffective(
      loadConfig({ PGHOST: 'db', PGPASSWORD: secret, MIGRATIONS_DATABASE_URL: `postgres://a:${secret}@db/x` }),
    );
    assert.doesNotMatch(JSON.stringify(shown), new RegExp(secret));
  });
});
