import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { createDatabase } from '../support/database.ts';
import { eventually } from '../support/eventually.ts';
import { createOpenSendTables } from '../support/opensend/tables.ts';
import { withClient } from '../support/postgres-server.ts';
import { runCli, runInProcess } from './run-cli.ts';

const OWN = { SMTP_RELAY_PIPELINE: 'standalone' };
const PROCESSES = 3;
/** What src/store/schema/migrate.ts locks. */
const LOCK_ID = 0x736d7470;
const WAITING = `
  select count(*)::int from pg_locks
   where locktype = 'advisory' and not granted
     and database = (select oid from pg_database where datname = current_database())`;
const NOWHERE = 'postgres://relay@127.0.0.1:1/pooler';

describe('smtp-relay migrate', () => {
  it('works from many processes at once: one applies everything, the others wait for it', async t => {
    const url = await createDatabase(t, { empty: true });
    const runs = await withClient(url, async client => {
      // None of them begins until all are there.
      await client.query('begin');
      await client.query('select pg_advisory_xact_lock($1)', [LOCK_ID]);
      const begun = Array.from({ length: PROCESSES }, () =>
        runCli(['migrate', '--json'], { DATABASE_URL: url, ...OWN }),
      );
      await eventually(async () => (await client.query(WAITING)).rows[0].count === PROCESSES);
      await client.query('commit');
      return Promise.all(begun);
    });
    const answers = runs.map(({ code, stdout, stderr }) => {
      assert.equal(code, 0, stderr);
      return JSON.parse(stdout);
    });
    const lengths = answers.map(({ applied }) => applied.length).sort();
    assert.deepEqual(lengths.slice(0, -1), [0, 0]);
    assert.ok(lengths.at(-1) > 0);
  });

  it('goes where MIGRATIONS_DATABASE_URL points, with or without another URL', async t => {
    const url = await createDatabase(t, { empty: true });
    const first = await runInProcess(['migrate', '--json'], {
      DATABASE_URL: NOWHERE,
      MIGRATIONS_DATABASE_URL: url,
      ...OWN,
    });
    assert.ok(JSON.parse(first.stdout).applied.length > 0);
    const second = await runInProcess(['migrate', '--set-pipeline', 'standalone', '--json'], {
      MIGRATIONS_DATABASE_URL: url,
    });
    assert.equal(JSON.parse(second.stdout).pipeline, 'standalone');
  });

  it('has an exit code of its own where trying again does not help', async t => {
    const url = await createDatabase(t, { empty: true });
    const cases: [Partial<URL>, RegExp][] = [
      [{ password: 'wrong' }, /refuses the login: password authentication failed/],
      [{ password: '' }, /refuses the login/],
      [{ username: 'nobody' }, /refuses the login/],
      [{ pathname: '/nowhere' }, /refuses the login: database "nowhere" does not exist/],
      [{ search: '?sslmode=require' }, /refuses the login: .*does not support SSL/],
    ];
    for (const [wrong, said] of cases) {
      const address = String(Object.assign(new URL(url), wrong));
      const { code, stderr } = await runInProcess(['migrate'], { DATABASE_URL: address, ...OWN });
      assert.match(stderr, said);
      assert.equal(code, 3, stderr);
    }
    // What is away may come back.
    const { code } = await runInProcess(['migrate'], { DATABASE_URL: NOWHERE, ...OWN });
    assert.equal(code, 1);
  });

  it('says which variables are missing', async () => {
    const { code, stderr } = await runInProcess(['migrate'], {});
    assert.equal(code, 2);
    assert.match(stderr, /set MIGRATIONS_DATABASE_URL, .* or DATABASE_URL in its place, or PGHOST in its place/);
  });

  it('asks whose database it is where that is empty and nothing says so, and changes nothing', async t => {
    const url = await createDatabase(t, { empty: true });
    const { code, stderr } = await runInProcess(['migrate'], { DATABASE_URL: url });
    assert.equal(code, 2);
    assert.match(stderr, /SMTP_RELAY_PIPELINE=standalone.*SMTP_RELAY_PIPELINE=opensend.*migrate --set-pipeline/s);
    const tables = await withClient(url, client => client.query("select from pg_tables where schemaname = 'public'"));
    assert.equal(tables.rowCount, 0);
  });

  it('needs no word where the database says it, and takes no other', async t => {
    const url = await createDatabase(t, { empty: true });
    const migrate = async (env = {}) => runInProcess(['migrate', '--json'], { DATABASE_URL: url, ...env });
    assert.equal((await migrate(OWN)).code, 0);
    assert.equal(JSON.parse((await migrate()).stdout).pipeline, 'standalone');
    const other = await migrate({ SMTP_RELAY_PIPELINE: 'opensend' });
    assert.equal(other.code, 2);
    assert.match(other.stderr, /migrate --set-pipeline opensend/);
  });

  it('makes no installation of OpenSend its own, but where an operator says so', async t => {
    const url = await createDatabase(t, { empty: true });
    await withClient(url, createOpenSendTables);
    const migrate = async (args: readonly string[], env = {}) =>
      runInProcess(['migrate', '--json', ...args], { DATABASE_URL: url, ...env });
    const refused = await migrate([], OWN);
    assert.equal(refused.code, 2);
    assert.match(refused.stderr, /OpenSend.*smtp-relay migrate --set-pipeline standalone/s);
    const unsaid = JSON.parse((await migrate([])).stdout);
    assert.ok(unsaid.applied.length > 0);
    assert.equal(unsaid.pipeline, null);
    assert.equal(JSON.parse((await migrate(['--set-pipeline', 'standalone'])).stdout).pipeline, 'standalone');
  });
});
