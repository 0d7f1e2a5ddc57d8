import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { mail } from '../support/mail.ts';
import { createQueue } from '../support/queue.ts';
import { startRelay, type TestRelay } from '../support/relay.ts';
import { accepted, collectJobs, submit } from './submit.ts';

const MESSAGE = mail('From: a@acme.test', '', 'x');
const TRACEPARENT = /^00-[0-9a-f]{32}-[0-9a-f]{16}-0[01]$/;

interface Entry {
  readonly email_id: string;
  readonly user_id: string;
  readonly try: number;
  readonly correlation_id: string;
  readonly traceparent: string;
  readonly leased_until: Date | null;
}

async function outbox(relay: TestRelay): Promise<Entry[]> {
  return (await relay.db.query<Entry>('select * from smtp_relay_outbox order by id')).rows;
}

async function relayWithQueue(fifo: boolean) {
  const context = { after };
  const queue = await createQueue(context, { fifo });
  const relay = await startRelay(context, { settings: { queueUrl: queue.url } });
  return { ...relay, queue };
}

for (const [kind, fifo] of [
  ['standard', false],
  ['FIFO', true],
] as const) {
  describe(`the send job on a ${kind} queue`, async () => {
    const relay = await relayWithQueue(fifo);
    const jobs = collectJobs(relay);

    it('has exactly the body and the attributes of the contract', async t => {
      const before = Date.now();
      const id = await accepted(t, relay, MESSAGE);
      const { Body = '', MessageAttributes = {}, Attributes = {} } = await jobs.jobOf(id);
      const { requestedAt, trace, ...body } = JSON.parse(Body);
      assert.deepEqual(body, { id: `email.send:${id}`, type: 'email.send', source: 'api', emailId: id });
      assert.equal(new Date(requestedAt).toISOString(), requestedAt);
      assert.ok(Math.abs(Date.parse(requestedAt) - before) < 60_000, requestedAt);
      assert.deepEqual(Object.keys(trace).sort(), ['correlationId', 'traceparent']);
      assert.match(trace.traceparent, TRACEPARENT);
      assert.match(trace.correlationId, /^[0-9a-f]{32}$/);

      const attribute = (value: string) => ({ DataType: 'String', StringValue: value });
      const expected = {
        jobId: attribute(`email.send:${id}`),
        jobType: attribute('email.send'),
        source: attribute('api'),
        correlationId: attribute(trace.correlationId),
        traceparent: attribute(trace.traceparent),
      };
      assert.deepEqual(
        Object.fromEntries(
          Object.entries(MessageAttributes).map(([name, { DataType, StringValue }]) => [
            name,
            { DataType, StringValue },
          ]),
        ),
        expected,
      );
      assert.equal(Attributes.MessageGroupId, fifo ? 'email.send' : undefined);
      assert.equal(Attributes.MessageDeduplicationId, fifo ? `email.send:${id}` : undefined);
    });

    it('is published once for each of many messages, and nothing stays in the outbox', async t => {
      const ids = await Promise.all(Array.from({ length: 25 }, () => accepted(t, relay, MESSAGE)));
      for (const id of ids) await jobs.jobOf(id);
      for (const id of ids) assert.equal(jobs.jobsOf(id).length, 1);
      await relay.stop();
      assert.deepEqual(await outbox(relay), []);
    });
  });
}

describe('without a queue', () => {
  it("nothing is left for OpenSend's worker but the row, which it polls", async t => {
    const relay = await startRelay(t, { queue: false });
    await accepted(t, relay, MESSAGE);
    assert.deepEqual(await outbox(relay), []);
  });

  it('the standalone worker finds the job in the outbox, free to be taken', async t => {
    const relay = await startRelay(t, { queue: false, settings: { pipeline: 'standalone' } });
    const id = await accepted(t, relay, MESSAGE);
    const [entry, ...others] = await outbox(relay);
    assert.deepEqual([entry?.email_id, entry?.user_id, entry?.try, others], [id, relay.owner.userId, 0, []]);
    assert.match(entry?.traceparent ?? '', TRACEPARENT);
    assert.ok((entry?.leased_until?.getTime() ?? 0) <= Date.now(), 'nobody holds it');
  });
});

describe('storing', () => {
  it('is one commit: with a row that Postgres refuses, nothing else of the message is there', async t => {
    const relay = await startRelay(t, { queue: false, settings: { pipeline: 'standalone' } });
    await relay.db.query(`alter table emails add constraint refuse check (subject <> 'refused')`);
    const refused = mail('From: a@acme.test', 'Subject: refused', 'X-OpenSend-Idempotency-Key: k', '', 'x');
    await submit(t, relay, refused, {}, '451 4.3.0 Temporary fault on our side');
    await submit(t, relay, mail('From: a@acme.test', 'Subject: refused', '', 'x'), {}, '451 4.3.0');
    for (const table of ['emails', 'smtp_relay_messages', 'smtp_relay_outbox', 'smtp_relay_idempotency']) {
      assert.deepEqual((await relay.db.query(`select * from ${table}`)).rows, [], table);
    }
  });

  it('takes the other messages of a shared commit, where one is refused', async t => {
    const relay = await startRelay(t, { queue: false });
    await relay.db.query(`alter table emails add constraint refuse check (subject <> 'refused')`);
    const replies = await Promise.all(
      ['a', 'refused', 'b', 'c'].map(subject =>
        submit(t, relay, mail('From: a@acme.test', `Subject: ${subject}`, '', 'x')),
      ),
    );
    assert.deepEqual(
      replies.map(({ code }) => code),
      [250, 451, 250, 250],
    );
  });

  it('is durable before the 250, whatever the database is set to', async t => {
    const relay = await startRelay(t, { queue: false });
    await relay.db.query(`create table seen (setting text)`);
    await relay.db.query(`
      create function note() returns trigger language plpgsql as $$
        begin insert into seen values (current_setting('synchronous_commit')); return new; end $$`);
    await relay.db.query('create trigger note after insert on emails for each row execute function note()');
    const name = new URL(relay.databaseUrl).pathname.slice(1);
    await relay.db.query(`alter database ${name} set synchronous_commit = off`);
    const other = await startRelay(t, { queue: false, shareWith: relay });
    await accepted(t, other, MESSAGE);
    await accepted(t, other, mail('From: a@acme.test', 'X-OpenSend-Idempotency-Key: k', '', 'x'));
    const { rows } = await relay.db.query('select setting from seen');
    assert.deepEqual(rows, [{ setting: 'on' }, { setting: 'on' }]);
  });
});
