import assert from 'node:assert/strict';
import { readdir, readFile } from 'node:fs/promises';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { checkSharedTables } from '../../src/store/schema/check-tables.ts';
import { expectedSchemaVersion, migrate, schemaVersion } from '../../src/store/schema/migrate.ts';
import {
  ForeignInstallation,
  PipelineMismatch,
  PipelineUnstated,
  readPipeline,
  setPipeline,
} from '../../src/store/schema/pipeline.ts';
import { createDatabase } from '../support/database.ts';
import { needs } from '../support/needs.ts';
import { catalogue } from '../support/opensend/catalogue.ts';
import { createOpenSendTables, OPENSEND_TABLES } from '../support/opensend/tables.ts';
import { createServer, withClient } from '../support/postgres-server.ts';

const DIRECTORY = fileURLToPath(new URL('../../src/store/schema/migrations', import.meta.url));
const ALL = (await readdir(DIRECTORY)).sort().map(name => name.replace(/\.sql$/, ''));

const ROUNDS = 50;

const TABLES = `
  select table_name as name from information_schema.tables where table_schema = 'public' order by table_name`;

const COLUMNS = `
  select column_name || ' ' || format_type(atttypid, atttypmod) || case when attnotnull then ' not null' else '' end
           || coalesce(' default ' || column_default, '') as column
    from information_schema.columns
    join pg_attribute on attrelid = table_name::regclass and attname = column_name
   where table_schema = 'public' and table_name = $1`;

const INDEXES = `
  select regexp_replace(pg_get_indexdef(indexrelid), '^CREATE (UNIQUE )?INDEX .* USING ', '\\1') as index
    from pg_index where indrelid = $1::regclass`;

/** As an index's condition prints it. */
function ofStatus(...statuses: readonly string[]): string {
  const list = statuses.map(status => `'${status}'::character varying`).join(', ');
  return `((status)::text = ANY ((ARRAY[${list}])::text[]))`;
}

/** Undoes the migration that replaced these indexes. */
const VERSION_BEFORE = `
  drop index smtp_relay_open_emails, smtp_relay_ended_emails, smtp_relay_emails_by_key;
  alter table emails add unique (user_id, idempotency_key);
  create index on emails (status);
  create index on emails (status, created_at);
  create index on emails using gin (tags);
  create index on smtp_relay_claims (until);
  drop function smtp_relay_keep_claim cascade`;

/** What an operator may have added to an installation. */
const OF_ITS_OPERATOR = `
  alter table api_keys add column team text;
  create function touch() returns trigger language plpgsql as 'begin return new; end';
  create trigger emails_touch before update on emails for each row execute function touch();
  insert into api_keys (name, token_hash, user_id) values ('mine', 'abc', 'acme');
  insert into emails ("from", "to", subject, text, user_id)
  values ('a@acme.test', '["b@example.com"]', 'hello', 'Hi', 'acme')`;

describe('migrate', () => {
  it('makes all tables on an empty database, and then has nothing to do', async t => {
    const url = await createDatabase(t, { empty: true });
    assert.deepEqual(await migrate(url, { pipeline: 'standalone' }), { applied: ALL, pipeline: 'standalone' });
    assert.deepEqual(await migrate(url, { pipeline: 'standalone' }), { applied: [], pipeline: 'standalone' });
    await withClient(url, async client => {
      const { rows } = await client.query<{ name: string }>(TABLES);
      const names = rows.map(row => row.name);
      const ours = ['messages', 'outbox', 'settings', 'idempotency', 'migrations', 'claims', 'attempts', 'webhooks'];
      for (const name of ours) assert.ok(names.includes(`smtp_relay_${name}`), name);
      // All that is not ours by its name is the contract's.
      assert.deepEqual(
        names.filter(name => !name.startsWith('smtp_relay_')),
        ['api_keys', 'domains', 'email_events', 'email_suppressions', 'emails', 'webhook_deliveries', 'webhooks'],
      );
    });
  });

  it('makes the shared tables as the contract has them', async t => {
    const url = await createDatabase(t);
    await withClient(url, async client => {
      const columns = async (table: string) =>
        (await client.query<{ column: string }>(COLUMNS, [table])).rows.map(row => row.column);
      const indexes = async (table: string) =>
        (await client.query<{ index: string }>(INDEXES, [table])).rows.map(row => row.index).sort();
      assert.deepEqual(await columns('api_keys'), [
        'id uuid not null default gen_random_uuid()',
        'name character varying(255) not null',
        'token_hash text not null',
        'token_preview character varying(50)',
        "permission character varying(50) not null default 'full_access'::character varying",
        'domain character varying(255)',
        'user_id text',
        'last_used_at timestamp with time zone',
        'created_at timestamp with time zone not null default now()',
        'document jsonb',
      ]);
      assert.deepEqual(await indexes('emails'), [
        'UNIQUE btree (id)',
        'UNIQUE btree (user_id, idempotency_key) WHERE (idempotency_key IS NOT NULL)',
        'btree (created_at)',
        `btree (created_at) WHERE ${ofStatus('queued', 'processing', 'scheduled')}`,
        `btree (status, created_at) WHERE ${ofStatus('failed', 'bounced', 'complained', 'suppressed', 'canceled', 'cancelled')}`,
        'btree (user_id, created_at)',
      ]);
      assert.deepEqual(await indexes('email_suppressions'), ['UNIQUE btree (id)', 'UNIQUE btree (user_id, email)']);
    });
  });

  it('gives a database of the version before the same indexes', async t => {
    const url = await createDatabase(t);
    await withClient(url, async client => {
      const indexes = async () => [
        (await client.query(INDEXES, ['emails'])).rows,
        (await client.query(INDEXES, ['smtp_relay_claims'])).rows,
      ];
      const fresh = await indexes();
      await client.query(VERSION_BEFORE);
      assert.notDeepEqual(await indexes(), fresh);
      await client.query(await readFile(`${DIRECTORY}/0013_open-messages.sql`, 'utf8'));
      const sorted = (all: unknown[][]) => all.map(each => each.map(index => JSON.stringify(index)).sort());
      assert.deepEqual(sorted(await indexes()), sorted(fresh));
    });
  });

  it('leaves the tables of an OpenSend installation as they are', async t => {
    const url = await createDatabase(t, { empty: true });
    await withClient(url, async client => {
      await createOpenSendTables(client);
      await client.query(OF_ITS_OPERATOR);
      const before = await catalogue(client);
      assert.ok(before.length > 50);
      assert.deepEqual(await migrate(url, { pipeline: 'opensend' }), { applied: ALL, pipeline: 'opensend' });
      assert.deepEqual(await catalogue(client), before);
      const { rows: kept } = await client.query('select subject from emails');
      assert.deepEqual(kept, [{ subject: 'hello' }]);
    });
  });

  it('makes no shared table beside OpenSend, whose own migrations run before, after or at the same moment', async t => {
    const database = await createDatabase(t, { empty: true });
    for (let round = 0; round < ROUNDS; round++) {
      const schema = `round_${round}`;
      await withClient(database, client => client.query(`create schema ${schema}`));
      const url = new URL(database);
      url.searchParams.set('options', `-c search_path=${schema}`);
      // Some versions of an installation migrate in one transaction, some table by table.
      const statements = round % 2 === 0 ? [OPENSEND_TABLES] : OPENSEND_TABLES.split(/;\n/);
      const theirs = withClient(url.href, async client => {
        for (const statement of statements) await client.query(statement);
      });
      const [{ applied }] = await Promise.all([migrate(url.href, { pipeline: 'opensend' }), theirs]);
      assert.deepEqual(applied, ALL);
      await withClient(url.href, client => checkSharedTables(client, 'opensend'));
    }
  });

  it('makes only its own tables beside OpenSend, where those are missing', async t => {
    const url = await createDatabase(t, { empty: true });
    await migrate(url, { pipeline: 'opensend' });
    const { rows } = await withClient(url, client => client.query<{ name: string }>(TABLES));
    assert.deepEqual(
      rows.filter(({ name }) => !name.startsWith('smtp_relay_')),
      [],
    );
    await withClient(url, createOpenSendTables);
  });

  it('makes a shared table again that has gone from a database of its own', async t => {
    const url = await createDatabase(t);
    await withClient(url, client => client.query('drop table webhook_deliveries'));
    assert.deepEqual(await migrate(url), { applied: [], pipeline: 'standalone' });
    await withClient(url, client => checkSharedTables(client, 'standalone'));
  });

  it('is applied once when many start at the same time', async t => {
    const url = await createDatabase(t, { empty: true });
    const results = await Promise.all(Array.from({ length: 5 }, () => migrate(url, { pipeline: 'standalone' })));
    assert.deepEqual(
      results.flatMap(result => result.applied),
      ALL,
    );
  });

  it('waits no longer for another migration than it may', async t => {
    const url = await createDatabase(t, { empty: true });
    await withClient(url, async client => {
      await client.query('begin');
      await client.query('select pg_advisory_xact_lock($1)', [0x736d7470]);
      await assert.rejects(migrate(url, { pipeline: 'standalone', lockTimeout: 100 }), { code: '55P03' });
    });
    assert.deepEqual(await migrate(url, { pipeline: 'standalone' }), { applied: ALL, pipeline: 'standalone' });
  });

  it('is all or nothing', async t => {
    const url = await createDatabase(t, { empty: true });
    await withClient(url, async client => {
      await client.query('create table smtp_relay_outbox (in_the_way text)');
      await assert.rejects(migrate(url, { pipeline: 'standalone' }), /smtp_relay_outbox/);
      const { rows } = await client.query<{ name: string }>(TABLES);
      assert.deepEqual(rows, [{ name: 'smtp_relay_outbox' }]);
      await client.query('drop table smtp_relay_outbox');
    });
    assert.deepEqual(await migrate(url, { pipeline: 'standalone' }), { applied: ALL, pipeline: 'standalone' });
  });

  it('works in the schema that the search path names', async t => {
    const url = new URL(await createDatabase(t, { empty: true }));
    await withClient(url.href, client => client.query('create schema mail'));
    url.searchParams.set('options', '-c search_path=mail,public');
    assert.deepEqual(await migrate(url.href, { pipeline: 'standalone' }), { applied: ALL, pipeline: 'standalone' });
    assert.deepEqual(await migrate(url.href, { pipeline: 'standalone' }), { applied: [], pipeline: 'standalone' });
    await withClient(url.href, async client => {
      const { rows } = await client.query(`select distinct table_schema from information_schema.tables
                                            where table_name ~ '^(emails|smtp_relay_.*)$'`);
      assert.deepEqual(rows, [{ table_schema: 'mail' }]);
    });
  });

  it('works on Postgres 15', { skip: needs('postgres15') }, async t => {
    const server = await createServer(t, { version: '15' });
    const url = await server.createDatabase('relay');
    assert.deepEqual(await migrate(url, { pipeline: 'standalone' }), { applied: ALL, pipeline: 'standalone' });
  });
});

describe('schema version', () => {
  it('is 0 before the first migration and the expected one after the last', async t => {
    const url = await createDatabase(t, { empty: true });
    await withClient(url, async client => {
      assert.equal(await schemaVersion(client), 0);
      await migrate(url, { pipeline: 'standalone' });
      assert.equal(await schemaVersion(client), ALL.length);
      assert.equal(await expectedSchemaVersion(), ALL.length);
    });
  });
});

describe('pipeline', () => {
  for (const [what, fill] of [
    ['with messages', "insert into emails (\"from\", \"to\", subject) values ('a@acme.test', '[]', 'hello')"],
    ['just installed', 'select'],
    ['half migrated', 'drop table webhook_deliveries, email_events, emails'],
  ] as const) {
    it(`standalone is not recorded on tables that nobody has recorded, ${what}, but by an operator`, async t => {
      const url = await createDatabase(t, { empty: true });
      await withClient(url, async client => {
        await createOpenSendTables(client);
        await client.query(fill);
        const before = await catalogue(client);
        await assert.rejects(migrate(url, { pipeline: 'standalone' }), ForeignInstallation);
        assert.equal(await schemaVersion(client), 0, 'nothing is changed');
        await migrate(url);
        await assert.rejects(migrate(url, { pipeline: 'standalone' }), ForeignInstallation);
        assert.equal(await readPipeline(client), null);
        assert.deepEqual(await catalogue(client), before);
      });
      const told = await migrate(url, { pipeline: 'standalone', override: true });
      assert.equal(told.pipeline, 'standalone');
      await withClient(url, client => checkSharedTables(client, 'standalone'));
    });
  }

  it('has to be named on an empty database, and is known from then on', async t => {
    const url = await createDatabase(t, { empty: true });
    await assert.rejects(migrate(url), PipelineUnstated);
    await withClient(url, async client => assert.equal(await schemaVersion(client), 0));
    await migrate(url, { pipeline: 'opensend' });
    assert.deepEqual(await migrate(url), { applied: [], pipeline: 'opensend' });
  });

  it('is recorded by the first who claims it; another is refused with the way out', async t => {
    const url = await createDatabase(t);
    await migrate(url, { pipeline: 'standalone' });
    await migrate(url, { pipeline: 'standalone' });
    await assert.rejects(migrate(url, { pipeline: 'opensend' }), (error: Error) => {
      assert.ok(error instanceof PipelineMismatch);
      assert.match(error.message, /smtp-relay migrate --set-pipeline opensend/);
      return true;
    });
    await withClient(url, async client => {
      await setPipeline(client, 'opensend');
      assert.equal(await readPipeline(client), 'opensend');
    });
    await migrate(url, { pipeline: 'opensend' });
  });

  it('is claimed by one of two at the same time', async t => {
    const url = await createDatabase(t, { empty: true });
    const claims = (['standalone', 'opensend'] as const).map(pipeline => migrate(url, { pipeline }));
    const results = await Promise.allSettled(claims);
    assert.deepEqual(results.map(result => result.status).sort(), ['fulfilled', 'rejected']);
  });
});
