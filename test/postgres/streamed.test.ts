import assert from 'node:assert/strict';
import { hash, randomBytes, randomUUID } from 'node:crypto';
import { describe, it } from 'node:test';
import type pg from 'pg';
import { queryStreamed } from '../../src/postgres/binary.ts';
import { createDatabase } from '../support/database.ts';
import { needs } from '../support/needs.ts';
import { createServer, withClient } from '../support/postgres-server.ts';

/** Base64, as a JSON string has it: what a message beside OpenSend is. */
const BYTES = Buffer.from(randomBytes(300_000).toString('base64'));
/** What a test looks at within the statement and behind it. */
const SETTINGS = `current_setting('plan_cache_mode') as plan, current_setting('default_toast_compression') as compression`;

describe('a statement with large parameters', () => {
  it('takes them as they are, and answers like any other', async t => {
    await withClient(await createDatabase(t), async client => {
      const values = [7, null, [BYTES.subarray(0, 10), BYTES.subarray(10)]];
      const { rows, rowCount } = await queryStreamed(
        client,
        `select $1::int as number, $2::text as nothing, encode(sha256($3::bytea), 'hex') as sha256 from generate_series(1, 2)`,
        values,
      );
      const sha256 = hash('sha256', BYTES, 'hex');
      assert.deepEqual(
        rows,
        Array.from({ length: 2 }, () => ({ number: 7, nothing: null, sha256 })),
      );
      assert.equal(rowCount, 2);
    });
  });

  it('has settings of its own, which end with its transaction', async t => {
    await withClient(await createDatabase(t), async client => {
      const { rows } = await queryStreamed(client, `select length($1::bytea), ${SETTINGS}`, [[BYTES]]);
      // The embedded Postgres knows no LZ4.
      assert.deepEqual(rows, [{ length: BYTES.length, plan: 'force_generic_plan', compression: 'pglz' }]);
      assert.deepEqual((await client.query(`select ${SETTINGS}`)).rows, [{ plan: 'auto', compression: 'pglz' }]);
    });
  });

  it('fails as one, and leaves the connection as it was', async t => {
    await withClient(await createDatabase(t), async client => {
      await client.query('create table stored (bytes bytea, check (length(bytes) < 10))');
      await assert.rejects(queryStreamed(client, 'insert into stored values ($1)', [[BYTES]]), { code: '23514' });
      const { rows } = await client.query(`select count(*)::int as stored, ${SETTINGS} from stored`);
      assert.deepEqual(rows, [{ stored: 0, plan: 'auto', compression: 'pglz' }]);
    });
  });

  it('keeps within a transaction that is open already', async t => {
    await withClient(await createDatabase(t), async client => {
      await client.query('create table stored (bytes bytea)');
      await client.query('begin');
      await queryStreamed(client, 'insert into stored values ($1)', [[BYTES]]);
      await client.query('rollback');
      const { rows } = await client.query(`select count(*)::int as stored, ${SETTINGS} from stored`);
      assert.deepEqual(rows, [{ stored: 0, plan: 'auto', compression: 'pglz' }]);
    });
  });

  it('needs no right to pg_settings, which some take from all', async t => {
    await withClient(await createDatabase(t), async client => {
      const role = `closed_${randomUUID().replaceAll('-', '')}`;
      await client.query(`revoke select on pg_settings from public; create role ${role}; set role ${role}`);
      await assert.rejects(client.query('select from pg_settings'), { code: '42501' });
      const { rows } = await queryStreamed(client, 'select length($1::bytea)', [[BYTES]]);
      assert.deepEqual(rows, [{ length: BYTES.length }]);
      await client.query(`reset role; drop role ${role}`);
    });
  });

  it('has texts compressed by LZ4, where the server has it and nobody has chosen', {
    skip: needs('postgres15'),
  }, async t => {
    const server = await createServer(t, { version: '15' });
    const url = await server.createDatabase('streamed');
    await withClient(url, client => client.query('create table stored (id serial, content text)'));
    const store = (db: pg.Client) =>
      queryStreamed(db, 'insert into stored (content) values ($1)', [[Buffer.from('compressible '.repeat(40_000))]]);
    await withClient(url, store);
    await withClient(url, client => client.query('alter database streamed set default_toast_compression = pglz'));
    await withClient(url, store);
    const { rows } = await withClient(url, client =>
      client.query('select pg_column_compression(content) as by, length(content) from stored order by id'),
    );
    const length = 'compressible '.length * 40_000;
    assert.deepEqual(rows, [
      { by: 'lz4', length },
      { by: 'pglz', length },
    ]);
  });
});
