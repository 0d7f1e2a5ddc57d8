import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { checkSharedTables, TablesUnfit } from '../../src/store/schema/check-tables.ts';
import { createDatabase } from '../support/database.ts';
import { withClient } from '../support/postgres-server.ts';

/** What is altered, and what is said of it. */
const UNFIT: readonly (readonly [string, string])[] = [
  ['drop table webhook_deliveries', 'webhook_deliveries is missing'],
  ['alter table emails drop column provider_dead_lettered_at', 'emails.provider_dead_lettered_at is missing'],
  ['alter table emails alter "from" type varchar(255)', 'emails.from is varchar(255), and varchar(512) is needed'],
  ['alter table emails alter subject type varchar(998)', 'emails.subject is varchar(998), and text is needed'],
  ['alter table api_keys alter domain type char(255)', 'api_keys.domain is char(255), and varchar(255) is needed'],
  ['alter table emails alter status type name', 'emails.status is name, and varchar(50) is needed'],
  [
    "create type reason as enum ('manual'); alter table email_suppressions alter reason type reason using 'manual'",
    'email_suppressions.reason is reason, and varchar(50) is needed',
  ],
  ['alter table emails alter headers type text', 'emails.headers is text, and jsonb is needed'],
  ['alter table emails alter cc set not null', 'emails.cc does not take null'],
  ['alter table emails add team text not null', 'emails.team takes no null and has no default'],
  ['alter table emails alter created_at drop default', 'emails.created_at takes no null and has no default'],
];

const FIT = [
  'alter table emails alter "from" type text',
  'alter table emails alter status type varchar(80)',
  'alter table emails alter subject type varchar',
  "alter table emails add team text not null default 'none'",
  'alter table emails add number bigint generated always as identity',
  'alter table emails add note text',
  'alter table emails alter provider_retry_count type bigint',
  'alter table api_keys drop column document',
  "create domain address as text check (value <> ''); alter table email_suppressions alter email type address",
];

describe('the shared tables', () => {
  for (const pipeline of ['standalone', 'opensend'] as const) {
    it(`fit in the pipeline ${pipeline}, and each that does not is named`, async t => {
      await withClient(await createDatabase(t, { pipeline }), async client => {
        await checkSharedTables(client, pipeline);
        for (const [statement, problem] of UNFIT) {
          await client.query(`begin; ${statement}`);
          await assert.rejects(checkSharedTables(client, pipeline), (error: unknown) => {
            assert.ok(error instanceof TablesUnfit);
            assert.deepEqual(error.problems, [problem], statement);
            assert.match(error.message, pipeline === 'opensend' ? /v1\.0\.0.*0036/ : /smtp-relay migrate/);
            return true;
          });
          await client.query('rollback');
        }
      });
    });
  }

  it('may be wider than they need be, and have more', async t => {
    await withClient(await createDatabase(t, { pipeline: 'opensend' }), async client => {
      for (const statement of FIT) await client.query(statement);
      await checkSharedTables(client, 'opensend');
    });
  });
});
