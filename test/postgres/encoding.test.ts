import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { it } from 'node:test';
import { migrate } from '../../src/store/schema/migrate.ts';
import { shared } from '../support/environment.ts';
import { seedOwner } from '../support/owner.ts';
import { withClient } from '../support/postgres-server.ts';
import { startRelay, type TestContext } from '../support/relay.ts';
import { messageFrom, SmtpClient } from '../support/smtp-client.ts';

async function createDatabaseIn(t: TestContext, encoding: string): Promise<string> {
  const name = `test_${randomBytes(8).toString('hex')}`;
  const admin = shared('postgresUrl');
  const create = `create database ${name} template template0 encoding '${encoding}' lc_collate 'C' lc_ctype 'C'`;
  await withClient(admin, client => client.query(create));
  t.after(() => withClient(admin, async client => void (await client.query(`drop database ${name} with (force)`))));
  const url = new URL(admin);
  url.pathname = `/${name}`;
  return url.href;
}

for (const [encoding, code] of [
  ['LATIN1', '451 4.3.0'],
  ['SQL_ASCII', '250 2.0.0'],
] as const) {
  it(`a database in ${encoding} is told of at the start, and is never the client's fault`, async t => {
    const parts = new AsyncDisposableStack();
    t.after(() => parts.disposeAsync());
    const databaseUrl = await createDatabaseIn({ after: drop => parts.defer(drop) }, encoding);
    await migrate(databaseUrl, { pipeline: 'standalone' });
    const owner = await withClient(databaseUrl, client => seedOwner(client));
    const context = { after: (stop: () => Promise<void>) => parts.defer(stop) };
    const settings = { pipeline: 'standalone' } as const;
    const relay = await startRelay(context, { shareWith: { databaseUrl, owner }, queue: false, settings });
    assert.equal(relay.logs.filter(line => line['encoding'] === encoding && line.level === 50).length, 1);
    const client = await SmtpClient.loggedIn(t, relay);
    const envelope = { from: 'a@acme.test', to: ['b@example.com'] };
    await client.transact(
      { ...envelope, data: messageFrom('a@acme.test', { subject: '=?utf-8?Q?=E2=9C=93?=' }) },
      code,
    );
    await client.transact({ ...envelope, data: messageFrom('a@acme.test', { subject: 'plain' }) }, '250 2.0.0');
    client.end();
  });
}
