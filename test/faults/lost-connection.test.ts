import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { createDatabase } from '../support/database.ts';
import { eventually } from '../support/eventually.ts';
import { seedOwner } from '../support/owner.ts';
import { withClient } from '../support/postgres-server.ts';
import { startRelay } from '../support/relay.ts';
import { emailIdOf, messageFrom, SmtpClient } from '../support/smtp-client.ts';
import { startTcpProxy } from './support/tcp-proxy.ts';

const databaseUrl = await createDatabase({ after });
const owner = await withClient(databaseUrl, client => seedOwner(client));
const { hostname: host, port } = new URL(databaseUrl);
const proxy = await startTcpProxy({ after }, { host, port: Number(port) });
const relay = await startRelay(
  { after },
  {
    shareWith: { databaseUrl, owner },
    settings: {
      pipeline: 'standalone',
      databaseUrl: proxy.through(databaseUrl),
      // The proxy knows statements by their text, which those that are kept come without.
      preparedStatements: 'off',
      'publishing.sweepInterval': 200,
    },
  },
);

const FROM = 'a@acme.test';
const envelope = { from: FROM, to: ['b@example.com'] };
const STORED = `
  select emails.id, (select count(*) from smtp_relay_messages where email_id = emails.id)::integer as originals
    from emails where subject = $1`;

async function storedAs(subject: string): Promise<unknown[]> {
  return (await relay.db.query(STORED, [subject])).rows;
}

function withKey(subject: string): string {
  return `X-OpenSend-Idempotency-Key: ${subject}\r\n${messageFrom(FROM, { subject })}`;
}

/** Waits for the job and a while longer than its lease: a second one would come by then. */
async function publishedJobs(): Promise<string[]> {
  await eventually(async () => (await relay.db.query('select 1 from smtp_relay_outbox')).rows.length === 0);
  const jobs = (await relay.queue?.receiveAll()) ?? [];
  return jobs.map(({ Body }) => JSON.parse(Body ?? '').emailId);
}

describe('a database connection lost between the statement and its answer', () => {
  it('is made good: the message is stored once, published once, and answered with 250', async t => {
    const client = await SmtpClient.loggedIn(t, relay);
    const cut = proxy.cutAfter('insert into emails');
    const data = messageFrom(FROM, { subject: 'one statement' });
    const reply = await client.transact({ ...envelope, data }, '250 2.0.0');
    await cut;
    assert.deepEqual(await storedAs('one statement'), [{ id: emailIdOf(reply), originals: 1 }]);
    assert.deepEqual(await publishedJobs(), [emailIdOf(reply)]);
  });

  it('is made good for all messages that shared the commit', async t => {
    const clients = await Promise.all(Array.from({ length: 8 }, () => SmtpClient.loggedIn(t, relay)));
    const cut = proxy.cutAfter('insert into emails');
    const replies = await Promise.all(
      clients.map((client, index) =>
        client.transact({ ...envelope, data: messageFrom(FROM, { subject: `together ${index}` }) }, '250 2.0.0'),
      ),
    );
    await cut;
    for (const [index, reply] of replies.entries()) {
      assert.deepEqual(await storedAs(`together ${index}`), [{ id: emailIdOf(reply), originals: 1 }]);
    }
    assert.deepEqual(new Set(await publishedJobs()), new Set(replies.map(emailIdOf)));
  });

  it('is made good for one whose recipient came onto the suppression list after the commit', async t => {
    const subject = 'suppressed since';
    await relay.db.query(`
      create function suppress_since() returns trigger language plpgsql as $$
      begin
        insert into email_suppressions (user_id, email, reason) values (new.user_id, 'b@example.com', 'bounced');
        return null;
      end $$;
      create trigger suppress_since after insert on emails for each row when (new.subject = '${subject}')
        execute function suppress_since()`);
    t.after(async () => {
      await relay.db.query('drop trigger suppress_since on emails; delete from email_suppressions');
    });
    const client = await SmtpClient.loggedIn(t, relay);
    const cut = proxy.cutAfter('insert into emails');
    const reply = await client.transact({ ...envelope, data: messageFrom(FROM, { subject }) }, '250 2.0.0');
    await cut;
    assert.deepEqual(await storedAs(subject), [{ id: emailIdOf(reply), originals: 1 }]);
    assert.deepEqual(await publishedJobs(), [emailIdOf(reply)]);
    const next = messageFrom(FROM, { subject: 'next' });
    await client.transact({ ...envelope, data: next }, '550 5.7.1 b@example.com is on your suppression list');
  });

  for (const [what, text] of [
    ['the commit', 'commit\0'],
    ['the insertion', 'insert into emails'],
  ] as const) {
    it(`is made good under an idempotency key, where it was ${what}`, async t => {
      const client = await SmtpClient.loggedIn(t, relay);
      const subject = `keyed, ${text.length}`;
      const cut = proxy.cutAfter(text);
      const first = await client.transact({ ...envelope, data: withKey(subject) }, '250 2.0.0');
      await cut;
      assert.deepEqual(await storedAs(subject), [{ id: emailIdOf(first), originals: 1 }]);
      const again = await client.transact({ ...envelope, data: withKey(subject) }, '250 2.0.0');
      assert.equal(emailIdOf(again), emailIdOf(first));
      assert.deepEqual(await publishedJobs(), [emailIdOf(first)]);
    });
  }

  it('is made good while the server still works on the lost statement', async t => {
    const client = await SmtpClient.loggedIn(t, relay);
    const subject = 'still running';
    await withClient(databaseUrl, async blocker => {
      await blocker.query('begin; lock table emails in share mode');
      const cut = proxy.cutAfter('insert into emails');
      const reply = client.transact({ ...envelope, data: messageFrom(FROM, { subject }) }, '250 2.0.0');
      await cut;
      // Both the lost statement and its repetition wait for the lock.
      await eventually(async () => {
        // Not by the blocker: a transaction sees only the sessions that were there when it first looked.
        const { rows } = await relay.db.query(
          "select 1 from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'",
        );
        return rows.length >= 2;
      });
      await blocker.query('commit');
      const id = emailIdOf(await reply);
      assert.deepEqual(await storedAs(subject), [{ id, originals: 1 }]);
    });
    assert.equal((await publishedJobs()).length, 1);
  });
});
