import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { createDatabase } from '../support/database.ts';
import { eventually } from '../support/eventually.ts';
import { withClient } from '../support/postgres-server.ts';
import { runCli, runInProcess } from './run-cli.ts';

const OWN = { SMTP_RELAY_PIPELINE: 'standalone' };
const PROCESSES = 3;
/** What src/store/migrate.ts locks. */
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

  it('says which variables are missing', async () => {
    const { code, stderr } = await runInProcess(['migrate'], {});
    assert.equal(code, 2);
    assert.match(stderr, /set MIGRATIONS_DATABASE_URL, .* or DATABASE_URL in its place, or PGHOST in its place/);
  });
});
