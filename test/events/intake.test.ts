import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { describe, it, type TestContext } from 'node:test';
import { findSuppressed } from '../../src/store/owners/suppressions.ts';
import { eventually } from '../support/eventually.ts';
import { withClient } from '../support/postgres-server.ts';
import { asIdentityNotification, inEventBridge, inSns, MESSAGE_ID, ses, TIMESTAMP } from './support/ses.ts';
import { startEventSystem } from './support/system.ts';

function permutations<T>(items: readonly T[]): T[][] {
  if (items.length < 2) return [[...items]];
  return items.flatMap((item, index) => permutations(items.toSpliced(index, 1)).map(rest => [item, ...rest]));
}

const EVENTS = `select type, payload, source_id, user_id from email_events where email_id = $1 order by type`;

describe('event intake', { concurrency: true }, () => {
  it('writes an event with all that a webhook tells', async t => {
    const system = await startEventSystem(t);
    const emailId = await system.addEmail();
    assert.equal(await system.record(ses.bounce({ emailId })), true);
    const [event, ...others] = await system.rows(EVENTS, [emailId]);
    assert.deepEqual([event.type, event.user_id, others], ['bounced', 'acme', []]);
    assert.deepEqual(event.payload, {
      email_id: emailId,
      created_at: new Date('2026-01-01').toISOString(),
      from: 'Acme <hello@acme.test>',
      to: ['recipient@example.com'],
      subject: 'Hello',
      tags: { order: '7' },
      recipients: ['recipient@example.com'],
      message_id: '1@acme.test',
      provider: { transport: 'ses', message_id: MESSAGE_ID },
      occurred_at: TIMESTAMP,
      bounce: { type: 'Permanent', sub_type: 'General', message: 'smtp; 550 5.1.1 user unknown' },
    });
    assert.equal(await system.counted('smtp_relay_events_total', { type: 'bounced', way: 'sns' }), 1);
  });

  it('finds the message by its tag, or by the id that SES gave', async t => {
    const system = await startEventSystem(t);
    const byTag = await system.addEmail();
    const byId = await system.addEmail({ providerMessageId: 'by-id' });
    await system.record(ses.delivery({ emailId: byTag, messageId: 'unheard-of' }));
    await system.record(asIdentityNotification(ses.delivery({ messageId: 'by-id' })));
    assert.deepEqual([await system.statusOf(byTag), await system.statusOf(byId)], ['delivered', 'delivered']);
  });

  it("drops what is not about a message of ours, quietly: other applications use the account's SES too", async t => {
    const system = await startEventSystem(t);
    assert.equal(await system.record(ses.complaint()), true);
    assert.equal(await system.record(ses.complaint({ emailId: randomUUID() })), true);
    assert.deepEqual(await system.rows('select from email_events'), []);
    assert.deepEqual(await system.rows('select from email_suppressions'), []);
    assert.equal(await system.counted('smtp_relay_notifications_total', { way: 'sns', result: 'unknown' }), 2);
  });

  it('comes to the same in every order', async t => {
    const system = await startEventSystem(t);
    const orders = permutations([ses.send, ses.delivery, ses.bounce, ses.complaint]);
    assert.equal(orders.length, 24);
    for (const [index, order] of orders.entries()) {
      const emailId = await system.addEmail();
      for (const record of order) await system.record(record({ emailId, messageId: `order-${index}` }));
      assert.equal(await system.statusOf(emailId), 'complained');
      const types = (await system.rows(EVENTS, [emailId])).map(({ type }) => type);
      assert.deepEqual(types, ['bounced', 'complained', 'delivered', 'sent']);
    }
    const [row, ...rest] = await system.rows('select user_id, email, reason from email_suppressions');
    assert.deepEqual([row, rest], [{ user_id: 'acme', email: 'recipient@example.com', reason: 'complained' }, []]);
  });

  it('shows the gravest of what happened, also with several recipients and in one batch', async t => {
    const system = await startEventSystem(t);
    const recipients = ['a@x.test', 'b@x.test'];
    const emailId = await system.addEmail({ recipients });
    const records = [
      ses.bounce({ emailId, destination: ['a@x.test'] }),
      ses.delivery({ emailId, destination: ['b@x.test'] }),
    ];
    await system.intake.record(
      records.map(record => JSON.stringify(record)),
      'sqs',
    );
    assert.equal(await system.statusOf(emailId), 'bounced');
  });

  it('shows delivered after a passing bounce of who has got it, such as being out of office, in every order', async t => {
    const system = await startEventSystem(t);
    const away = (options: object) => ses.bounce({ ...options, type: 'Transient' });
    for (const [index, order] of permutations([ses.send, ses.delivery, away]).entries()) {
      const emailId = await system.addEmail();
      for (const record of order) await system.record(record({ emailId, messageId: `away-${index}` }));
      assert.equal(await system.statusOf(emailId), 'delivered', `order ${index}`);
      const types = (await system.rows(EVENTS, [emailId])).map(({ type }) => type);
      assert.deepEqual(types, ['bounced', 'delivered', 'sent'], 'the event stays');
    }
  });

  it('shows bounced after any bounce that is no answer', async t => {
    const system = await startEventSystem(t);
    const [a, b] = ['a@x.test', 'b@x.test'] as const;
    const passing = (address: string) => ses.bounce({ destination: [address], type: 'Transient' });
    const got = (address: string) => ses.delivery({ destination: [address] });
    for (const [index, order] of [
      [passing(a)],
      [got(a), passing(b)],
      [passing(b), got(a)],
      [got(a), passing(a), passing(b)],
      [passing(a), passing(b), got(a)],
      [got(a), ses.bounce({ destination: [a] })],
      [got(a), passing(a), ses.bounce({ destination: [a] })],
      [ses.bounce({ destination: [a] }), passing(a), got(a)],
      [got(a), ses.bounce({ destination: [a], type: 'Undetermined' })],
    ].entries()) {
      const emailId = await system.addEmail({ recipients: [a, b] });
      for (const { mail, ...record } of order) {
        const tags = { 'smtp-relay-email-id': [emailId] };
        await system.record({ ...record, mail: { ...mail, messageId: `bounce-${index}`, tags } });
      }
      assert.equal(await system.statusOf(emailId), 'bounced', `order ${index}`);
    }
  });

  it('leaves it failed where the worker failed for another, whatever passes', async t => {
    const system = await startEventSystem(t);
    const emailId = await system.addEmail({ status: 'failed' });
    await system.pool.query(
      "insert into email_events (email_id, type, payload, user_id) values ($1, 'failed', '{}', 'acme')",
      [emailId],
    );
    await system.record(ses.bounce({ emailId, type: 'Transient' }));
    await system.record(ses.delivery({ emailId }));
    assert.equal(await system.statusOf(emailId), 'failed');
  });

  for (const [name, record, status] of [
    ['a Delivery', ses.delivery, 'delivered'],
    ['a Reject', ses.reject, 'failed'],
    ['a DeliveryDelay', ses.delay, 'sent'],
    ['an Open', ses.open, 'sent'],
    ['a Click', ses.click, 'sent'],
  ] as const) {
    it(`shows ${status} after ${name}`, async t => {
      const system = await startEventSystem(t);
      const emailId = await system.addEmail();
      await system.record(record({ emailId }));
      assert.equal(await system.statusOf(emailId), status);
    });
  }

  it('leaves the status of messages that are not done to the worker', async t => {
    const system = await startEventSystem(t);
    for (const status of ['queued', 'processing', 'suppressed', 'canceled', 'cancelled']) {
      const emailId = await system.addEmail({ status });
      await system.record(ses.bounce({ emailId, messageId: status }));
      assert.equal(await system.statusOf(emailId), status);
      assert.equal((await system.rows(EVENTS, [emailId])).length, 1);
    }
  });

  it('writes the same occurrence once, by whichever ways and however often at once it comes', async t => {
    const system = await startEventSystem(t);
    const emailId = await system.addEmail({ providerMessageId: MESSAGE_ID });
    const record = ses.bounce({ emailId });
    const ways = [record, inSns(record), inEventBridge(record), asIdentityNotification(record)];
    const texts = ways.map(way => JSON.stringify(way));
    const calls = Array.from({ length: 12 }, (_, index) =>
      system.intake.record(index % 2 ? texts : texts.toReversed(), index % 3 ? 'sns' : 'sqs'),
    );
    assert.deepEqual(new Set((await Promise.all(calls)).flat()), new Set([true]));
    assert.equal((await system.rows(EVENTS, [emailId])).length, 1);
    assert.equal((await system.rows('select from email_suppressions')).length, 1);
  });

  it('is one with the event that the worker wrote when SES took the message', async t => {
    const system = await startEventSystem(t);
    const emailId = await system.addEmail();
    const values = [emailId, `ses:${MESSAGE_ID}:send`];
    await system.rows(
      `insert into email_events (email_id, source_id, type, payload) values ($1, $2, 'sent', '{}')`,
      values,
    );
    assert.equal(await system.record(ses.send({ emailId })), true);
    assert.equal((await system.rows(EVENTS, [emailId])).length, 1);
    assert.equal(await system.counted('smtp_relay_notifications_total', { way: 'sns', result: 'duplicate' }), 1);
  });

  it('says of each notification whether it could be read, and takes the others', async t => {
    const system = await startEventSystem(t);
    const emailId = await system.addEmail();
    const texts = ['garbage', JSON.stringify(ses.send({ emailId })), JSON.stringify(ses.subscription())];
    assert.deepEqual(await system.intake.record(texts, 'sqs'), [false, true, true]);
    assert.equal((await system.rows(EVENTS, [emailId])).length, 1);
    for (const result of ['invalid', 'recorded', 'ignored']) {
      assert.equal(await system.counted('smtp_relay_notifications_total', { way: 'sqs', result }), 1, result);
    }
  });

  it('stores what strangers wrote, whatever it is', async t => {
    const system = await startEventSystem(t);
    const emailId = await system.addEmail();
    const link = 'https://acme.test/\0\ud800';
    assert.equal(
      await system.record(ses.click({ emailId, link, destination: [`"a b\\"@x.test`, 'no address'] })),
      true,
    );
    assert.equal(await system.record(ses.complaint({ emailId, destination: ['no address'] })), true);
    assert.deepEqual(
      (await system.rows(EVENTS, [emailId])).map(({ type }) => type),
      ['clicked', 'complained'],
    );
    assert.deepEqual(await system.rows('select from email_suppressions'), []);
  });

  it('keeps one notification that Postgres refuses from keeping out the others', async t => {
    const system = await startEventSystem(t);
    const emailIds = [await system.addEmail(), await system.addEmail()];
    await system.rows(`alter table email_events add check (payload ->> 'subject' <> 'Hello' or type <> 'opened')`);
    const texts = [ses.open({ emailId: emailIds[0] ?? '' }), ses.send({ emailId: emailIds[1] ?? '' })];
    assert.deepEqual(
      await system.intake.record(
        texts.map(text => JSON.stringify(text)),
        'sqs',
      ),
      [false, true],
    );
    assert.equal((await system.rows('select from email_events')).length, 1);
  });

  it('sees the status that the worker is just writing', async t => {
    const system = await startEventSystem(t);
    const emailId = await system.addEmail({ status: 'processing' });
    const { recording } = await withClient(system.databaseUrl, async worker => {
      await worker.query('begin');
      await worker.query('select from emails where id = $1 for no key update', [emailId]);
      const recording = system.record(ses.bounce({ emailId }));
      const waiting = `select from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()`;
      await eventually(async () => (await system.rows(waiting)).length > 0);
      await worker.query(`update emails set status = 'sent' where id = $1`, [emailId]);
      await worker.query('commit');
      return { recording };
    });
    await recording;
    assert.equal(await system.statusOf(emailId), 'bounced');
  });

  it('fails as a whole where the database is away, so that it is asked again', async t => {
    const system = await startEventSystem(t);
    const emailId = await system.addEmail();
    await system.rows('alter table email_events rename to gone');
    await assert.rejects(system.record(ses.send({ emailId })), /email_events/);
  });

  it('makes webhook deliveries due by the same commit, for new events only', async t => {
    const system = await startEventSystem(t);
    const emailId = await system.addEmail();
    const hook = `insert into webhooks (url, event_types, user_id) values ('https://x.test', $1, $2)`;
    await system.rows(hook, ['["email.delivered"]', 'acme']);
    await system.rows(hook, ['["email.delivered"]', 'other']);
    await system.rows(hook, ['["email.bounced"]', 'acme']);
    for (let time = 0; time < 2; time += 1) await system.record(ses.delivery({ emailId }));
    const due = await system.rows('select status from webhook_deliveries');
    assert.deepEqual(due, [{ status: 'pending' }]);
    assert.equal(system.told.deliveries, 1);
  });
});

describe('suppression by events', { concurrency: true }, () => {
  const isSuppressed = async (
    system: Awaited<ReturnType<typeof startEventSystem>>,
    email: string,
    userId = 'acme',
  ): Promise<boolean> => (await findSuppressed(system.pool, [{ userId, email }])).size > 0;

  async function after(t: TestContext, record: (options: { emailId: string; destination: string[] }) => object) {
    const system = await startEventSystem(t);
    const emailId = await system.addEmail();
    await system.record(record({ emailId, destination: ['Jo@BÜCHER.example'] }));
    return { system, emailId };
  }

  it('suppresses a recipient that bounced for good, for that owner', async t => {
    const { system, emailId } = await after(t, ses.bounce);
    assert.equal(await isSuppressed(system, 'jo@xn--bcher-kva.example'), true);
    assert.equal(await isSuppressed(system, 'jo@xn--bcher-kva.example', 'other'), false);
    const [row] = await system.rows('select * from email_suppressions');
    const [event] = await system.rows('select id from email_events');
    assert.deepEqual(
      [row.reason, row.source_event_id, row.source_email_id, row.source_message_id, row.metadata.bounce.sub_type],
      ['bounced', event.id, emailId, MESSAGE_ID, 'General'],
    );
  });

  it('suppresses a recipient that complained', async t => {
    const { system } = await after(t, ses.complaint);
    assert.equal(await isSuppressed(system, 'jo@xn--bcher-kva.example'), true);
  });

  it('does not suppress after bounces that may pass', async t => {
    const { system } = await after(t, options => ses.bounce({ ...options, type: 'Transient' }));
    assert.equal(await isSuppressed(system, 'jo@xn--bcher-kva.example'), false);
  });

  it('lets a complaint replace a bounce, and nothing replace what a person decided', async t => {
    const system = await startEventSystem(t);
    const emailId = await system.addEmail();
    await system.rows(
      `insert into email_suppressions (user_id, email, reason) values ('acme', 'manual@x.test', 'manual')`,
    );
    const destination = ['manual@x.test', 'auto@x.test'];
    for (const record of [ses.bounce, ses.complaint, ses.bounce]) {
      await system.record(record({ emailId, destination, messageId: randomUUID() }));
    }
    assert.deepEqual(await system.rows('select email, reason from email_suppressions order by email'), [
      { email: 'auto@x.test', reason: 'complained' },
      { email: 'manual@x.test', reason: 'manual' },
    ]);
  });

  it('does not suppress again what a person took off the list, when the same bounce is told again', async t => {
    const { system, emailId } = await after(t, ses.bounce);
    await system.rows('delete from email_suppressions');
    await system.record(ses.bounce({ emailId, destination: ['Jo@BÜCHER.example'] }));
    assert.deepEqual(await system.rows('select from email_suppressions'), []);
  });

  it('has no list for a message without an owner', async t => {
    const system = await startEventSystem(t);
    const emailId = await system.addEmail({ userId: null });
    assert.equal(await system.record(ses.bounce({ emailId })), true);
    assert.equal(await system.statusOf(emailId), 'bounced');
  });
});
