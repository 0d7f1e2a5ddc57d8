import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { readdir, readFile } from 'node:fs/promises';
import { describe, it, type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { runner } from 'node-pg-migrate';
import type pg from 'pg';
import { readConcurrentIndexes } from '../../src/store/schema/concurrent-indexes.ts';
import { migrate } from '../../src/store/schema/migrate.ts';
import { makeSharedTables, setPipeline } from '../../src/store/schema/pipeline.ts';
import { MAIN } from '../cli/run-cli.ts';
import { createDatabase } from '../support/database.ts';
import { CHILD_ENVIRONMENT } from '../support/environment.ts';
import { eventually } from '../support/eventually.ts';
import { openPool } from '../support/pool.ts';
import { withClient } from '../support/postgres-server.ts';
import { storeMessage } from '../support/stored.ts';

const FOLDER = new URL('../../src/store/schema/migrations/', import.meta.url);
const INDEX_FOLDER = new URL('../../src/store/schema/concurrent-indexes/', import.meta.url);
/** What comes behind it builds indexes on tables that mail is written to. */
const VERSION = 9;
const ROUNDS = 50;

/** The shared tables as they were then. */
const SHARED_BEFORE = `
  drop index smtp_relay_open_emails, smtp_relay_ended_emails, smtp_relay_emails_by_key, smtp_relay_events_of_message;
  alter table emails add unique (user_id, idempotency_key);
  create index on emails (status);
  create index on emails (status, created_at);
  create index on emails using gin (tags);
  create index on email_events (email_id);
  insert into emails ("from", "to", subject, user_id, status)
  select 'a@acme.test', '[]', 'before', 'acme', 'delivered' from generate_series(1, 1000)`;

const INDEXES = `
  select relname || ': ' || regexp_replace(pg_get_indexdef(indexrelid), '^CREATE (UNIQUE )?INDEX .* USING ', '\\1') as index
    from pg_index join pg_class on pg_class.oid = indrelid
   where relname ~ '^(emails|email_events|smtp_relay_.*)$' and indisvalid order by 1`;

/** Builds that wait until nobody reads what was there before them. */
const WAITING = `
  select count(*)::integer as n from pg_stat_progress_create_index
   where datname = current_database() and phase like 'waiting for%'`;

const names = async () => (await readdir(FOLDER)).filter(name => name.endsWith('.sql')).sort();

/** A database of an earlier version, with mail in it. */
async function startBefore(t: TestContext): Promise<string> {
  const url = await createDatabase(t, { empty: true });
  await withClient(url, client => makeBefore(client));
  return url;
}

async function makeBefore(client: pg.Client): Promise<void> {
  const dir = fileURLToPath(FOLDER);
  const quiet = { debug() {}, info() {}, warn() {}, error() {} };
  const migrations = { dir, migrationsTable: 'smtp_relay_migrations', direction: 'up' as const, count: VERSION };
  await runner({ ...migrations, dbClient: client, noLock: true, singleTransaction: true, logger: quiet });
  await setPipeline(client, 'standalone');
  await makeSharedTables(client);
  await client.query(SHARED_BEFORE);
}

async function indexesOf(url: string): Promise<string[]> {
  return withClient(url, async client => (await client.query<{ index: string }>(INDEXES)).rows.map(row => row.index));
}

/** A transaction that sees what was there at its beginning, as a dump has. @returns what ends it */
async function openSnapshot(t: TestContext, url: string): Promise<() => Promise<void>> {
  const pool = openPool(url, 1);
  const client = await pool.connect();
  await client.query('begin isolation level repeatable read');
  await client.query('select from emails limit 1');
  let isOpen = true;
  const end = async () => {
    if (!isOpen) return;
    isOpen = false;
    await client.query('commit');
    client.release();
    await pool.end();
  };
  t.after(end);
  return end;
}

async function untilBuilding(url: string): Promise<void> {
  await withClient(url, client => eventually(async () => (await client.query(WAITING)).rows[0].n > 0));
}

describe('migrations of a database with mail in it', () => {
  it('gives it the indexes of a new one, while mail is stored', async t => {
    const url = await startBefore(t);
    const end = await openSnapshot(t, url);
    const migrated = migrate(url);
    await untilBuilding(url);
    const pool = openPool(url, 2);
    t.after(() => pool.end());
    // The build does not end before the transaction does: what is stored now does not wait for it.
    for (let message = 0; message < 20; message += 1) {
      await pool.query(`insert into emails ("from", "to", subject) values ('a@acme.test', '[]', 'meanwhile')`);
      await pool.query('insert into email_events (email_id, type, payload) select id, $1, $2 from emails limit 1', [
        'sent',
        '{}',
      ]);
    }
    await end();
    assert.deepEqual(
      (await migrated).applied,
      (await names()).slice(VERSION).map(name => name.slice(0, -4)),
    );
    assert.deepEqual(await indexesOf(url), await indexesOf(await createDatabase(t)));
    await storeMessage(pool);
  });

  it('waits for a build that goes on without its migrator, and takes what it made', async t => {
    const url = await startBefore(t);
    const end = await openSnapshot(t, url);
    const env = { ...CHILD_ENVIRONMENT, DATABASE_URL: url };
    const killed = spawn(process.execPath, [MAIN, 'migrate'], { env, stdio: 'ignore' });
    await untilBuilding(url);
    killed.kill('SIGKILL');
    const migrated = migrate(url);
    await untilBuilding(url);
    await end();
    await migrated;
    assert.deepEqual(await indexesOf(url), await indexesOf(await createDatabase(t)));
  });

  it('builds anew what an aborted build left behind', async t => {
    const url = await startBefore(t);
    await openSnapshot(t, url).then(async end => {
      const aborted = assert.rejects(migrate(url));
      await untilBuilding(url);
      await withClient(url, client =>
        client.query(
          'select pg_terminate_backend(pid) from pg_stat_progress_create_index where datname = current_database()',
        ),
      );
      await aborted;
      await end();
    });
    const invalid = 'select indexrelid::regclass::text as name from pg_index where not indisvalid';
    const left = await withClient(url, client => client.query(invalid));
    assert.deepEqual(left.rows, [{ name: 'smtp_relay_events_of_message' }]);
    await migrate(url);
    assert.deepEqual(await indexesOf(url), await indexesOf(await createDatabase(t)));
    assert.equal((await withClient(url, client => client.query(invalid))).rowCount, 0);
  });

  it('holds nobody up for long where somebody holds a table', async t => {
    const url = await startBefore(t);
    const pool = openPool(url, 2);
    t.after(() => pool.end());
    const reader = await pool.connect();
    await reader.query('begin');
    await reader.query('select from emails limit 1');
    const migrated = migrate(url);
    // Until it was seen to hold one up, and gave way.
    const longest = await eventually(async () => {
      const began = performance.now();
      await pool.query(`insert into emails ("from", "to", subject) values ('a@acme.test', '[]', 'meanwhile')`);
      const took = performance.now() - began;
      return took > 500 && took;
    });
    await reader.query('commit');
    reader.release();
    // It would wait for two minutes.
    assert.ok(longest && longest < 50_000, `${longest} ms`);
    assert.equal((await migrated).applied.length, (await names()).length - VERSION);
  });

  it('is done once by two at the same time, fifty times', async t => {
    const fresh = await indexesOf(await createDatabase(t));
    const expected = (await names()).slice(VERSION).map(name => name.slice(0, -4));
    const rounds = Array.from({ length: ROUNDS }, (_, round) => round).values();
    const lane = async () => {
      for (const _ of rounds) {
        const url = await startBefore(t);
        const both = await Promise.all([migrate(url), migrate(url)]);
        assert.deepEqual(both.flatMap(({ applied }) => applied).sort(), expected);
        assert.deepEqual(await indexesOf(url), fresh);
      }
    };
    await Promise.all(Array.from({ length: 5 }, lane));
  });

  it('makes no index on a table that is there in a transaction, but where it was built before', async () => {
    for (const name of (await names()).slice(VERSION)) {
      const sql = await readFile(new URL(name, FOLDER), 'utf8');
      const made = [...sql.matchAll(/create table (?:if not exists )?(\w+)/g)].map(([, table]) => table);
      const built = (await readConcurrentIndexes(new URL(name, INDEX_FOLDER))).map(index => index.name);
      for (const [, safe, index, table] of sql.matchAll(
        /create (?:unique )?index (if not exists )?(?:(\w+) )?on (\w+)/g,
      )) {
        if (made.includes(table)) continue;
        assert.ok(safe && index && built.includes(index), `${name}: ${index ?? 'an index'} on ${table}`);
      }
    }
  });
});
