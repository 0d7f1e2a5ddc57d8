import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { describe, it } from 'node:test';
import { countLeft, job, publish } from '../queue/sqs-jobs.ts';
import { eventually } from '../support/eventually.ts';
import { createQueue } from '../support/queue.ts';
import { startRelay } from '../support/relay.ts';
import { emailIdOf, messageFrom, SmtpClient } from '../support/smtp-client.ts';
import { storeMessage } from '../support/stored.ts';
import { startWorker, type TestWorker } from '../support/worker.ts';

async function statusOf({ db }: Pick<TestWorker, 'db'>, id: string): Promise<string> {
  return (await db.query('select status from emails where id = $1', [id])).rows[0]?.status;
}

describe('the worker', () => {
  for (const queue of [true, false]) {
    it(`delivers what the relay took, ${queue ? 'by a queue' : 'straight from the outbox'}`, async t => {
      const relay = await startRelay(t, { queue, settings: { pipeline: 'standalone', transport: 'capture' } });
      const worker = await startWorker(t, { databaseUrl: relay.databaseUrl, queue: relay.queue });
      const client = await SmtpClient.loggedIn(t, relay);
      const data = `${messageFrom('hello@acme.test')}\r\nX-Dot\r\n..\r\n`;
      const to = ['someone@example.com', 'blind@example.com'];
      const id = emailIdOf(await client.transact({ from: 'bounces@acme.test', to, data }, '250 '));
      await eventually(async () => (await statusOf(worker, id)) === 'sent');
      const [captured, ...others] = await worker.captured();
      assert.deepEqual(others, []);
      assert.deepEqual(captured?.envelope.recipients, to);
      assert.equal(captured?.envelope.reversePath, 'bounces@acme.test');
      const sent = String(captured?.raw);
      assert.ok(sent.endsWith('\r\n\r\nHi\r\nX-Dot\r\n.\r\n\r\n'), sent);
      assert.match(
        sent,
        /^Received: from smtp-client\b.*\r\n(?:[ \t].*\r\n)*From: hello@acme\.test\r\nTo: someone@example\.com\r\nSubject: Hello\r\nDate: .*\r\nMessage-ID: <.*>\r\n\r\n/,
      );
      const { rows } = await worker.db.query('select type, payload from email_events where email_id = $1', [id]);
      assert.deepEqual(
        rows.map(row => row.type),
        ['sent'],
      );
      assert.deepEqual(rows[0].payload.recipients, to);
    });
  }

  it('leaves nobody out who came onto the list meanwhile, but does not send to them', async t => {
    const worker = await startWorker(t);
    await worker.db.query(
      "insert into email_suppressions (user_id, email, reason) values ('acme', 'b@example.com', 'manual')",
    );
    const some = await storeMessage(worker.db, { recipients: ['a@example.com', 'b@example.com'] });
    const all = await storeMessage(worker.db, { recipients: ['b@example.com'] });
    await eventually(
      async () => (await statusOf(worker, some)) === 'sent' && (await statusOf(worker, all)) === 'suppressed',
    );
    const captured = await worker.captured();
    assert.deepEqual(
      captured.map(({ envelope }) => envelope.recipients),
      [['a@example.com']],
    );
    const { rows } = await worker.db.query(
      "select payload->'recipients' as recipients from email_events where type = 'suppressed'",
    );
    assert.deepEqual(rows, [{ recipients: ['b@example.com'] }, { recipients: ['b@example.com'] }]);
  });

  it('leaves the jobs of messages that are not its own to whose they are, and takes all of its own off the queue', async t => {
    const queue = await createQueue(t);
    const worker = await startWorker(t, { queue });
    const insert = `insert into emails ("from", "to", subject, status) values ('a@acme.test', '["b@example.com"]', 'hello', $1) returning id`;
    const insertTheirs = async (status: string) => (await worker.db.query(insert, [status])).rows[0].id;
    // OpenSend's, and one of another database.
    const theirs = [await insertTheirs('queued'), await insertTheirs('scheduled'), randomUUID()];
    const done = await storeMessage(worker.db, { outboxLease: null });
    await worker.db.query("update emails set status = 'canceled' where id = $1", [done]);
    const swept = await storeMessage(worker.db, { outboxLease: null });
    await worker.db.query("update emails set status = 'sent' where id = $1", [swept]);
    await worker.db.query('delete from smtp_relay_messages where email_id = $1', [swept]);
    const own = await storeMessage(worker.db, { outboxLease: null });
    await publish(
      queue.url,
      [...theirs, done, swept, own].map(emailId => job({ emailId })),
    );
    await eventually(async () => (await statusOf(worker, own)) === 'sent');
    await eventually(() => worker.logs.some(({ msg }) => /no relay of this database has accepted/.test(msg)));
    await eventually(async () => {
      const { waiting, underWay } = await countLeft(queue.url);
      return waiting + underWay === theirs.length;
    });
    await worker.stop();
    const left = await eventually(async () => {
      const messages = await queue.receiveAll();
      return messages.length === theirs.length ? messages : null;
    });
    assert.deepEqual(left?.map(({ Body }) => JSON.parse(Body ?? '').emailId).sort(), theirs.toSorted());
    assert.equal(await statusOf(worker, String(theirs[0])), 'queued');
  });

  it('stops and hands over: nothing is lost, nothing sent twice', async t => {
    const queue = await createQueue(t);
    const first = await startWorker(t, { queue });
    const ids = await Promise.all(Array.from({ length: 100 }, () => storeMessage(first.db)));
    await eventually(async () => (await first.captured()).length > 5);
    await first.stop();
    const before = await first.captured();
    const second = await startWorker(t, { databaseUrl: first.databaseUrl, queue });
    await eventually(async () => {
      const { rows } = await second.db.query("select count(*)::integer as sent from emails where status = 'sent'");
      return rows[0].sent === ids.length;
    });
    const sent = [...before, ...(await second.captured())].map(({ envelope }) => envelope.emailId);
    assert.deepEqual(sent.sort(), [...ids].sort());
  });
});
