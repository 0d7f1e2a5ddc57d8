import assert from 'node:assert/strict';
import { it, type TestContext } from 'node:test';
import type { Pipeline } from '../../../src/store/schema/pipeline.ts';
import { createDatabase } from '../database.ts';
import { withClient } from '../postgres-server.ts';
import { findUnsent } from './sent.ts';

const INSERT = `insert into emails ("from", "to", subject, text, user_id) values ($1, '["b@example.com"]', 'Hi', 'Hi', 'acme')`;

async function databaseWith(t: TestContext, pipeline: Pipeline, ...senders: string[]): Promise<string> {
  const url = await createDatabase(t, { pipeline });
  await withClient(url, async client => {
    for (const sender of senders) await client.query(INSERT, [sender]);
  });
  return url;
}

const statuses = (url: string) =>
  withClient(url, async client => (await client.query('select status from emails order by "from"')).rows);

it("shows what SES refuses to OpenSend's worker, and nothing of what it takes", async t => {
  const url = await databaseWith(t, 'opensend', 'a@acme.test', 'ü <b@acme.test>');
  assert.match(
    String(await findUnsent(url)),
    /1 messages .*: Local address contains illegal character\n.*"ü <b@acme\.test>"/s,
  );
  assert.deepEqual(await statuses(url), [{ status: 'sent' }, { status: 'failed' }]);
  assert.equal(await findUnsent(url), null);
});

it('leaves out a refusal that belongs to the test', async t => {
  const url = await databaseWith(t, 'opensend', 'ü <b@acme.test>');
  assert.equal(await findUnsent(url, { refusal: /illegal character/, because: 'it is what is tried' }), null);
});

it('leaves the database of another pipeline alone', async t => {
  const url = await databaseWith(t, 'standalone', 'ü <b@acme.test>');
  assert.equal(await findUnsent(url), null);
  assert.deepEqual(await statuses(url), [{ status: 'queued' }]);
});
