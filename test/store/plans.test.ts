import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import pg from 'pg';
import { pino } from 'pino';
import { newTrace } from '../../src/observability/tracing.ts';
import { isKept } from '../../src/postgres/pool.ts';
import { type Claim, Claims } from '../../src/store/delivery/claims.ts';
import { readFleet } from '../../src/store/delivery/fleet.ts';
import { readOldestWaiting } from '../../src/store/delivery/oldest-waiting.ts';
import { Republisher } from '../../src/store/delivery/republish.ts';
import { type Settlement, Settler } from '../../src/store/delivery/settle.ts';
import { JobFactsReader } from '../../src/store/delivery/unclaimed.ts';
import { cancelEmail, resolveHeld } from '../../src/store/emails/actions.ts';
import { resolveEmailId } from '../../src/store/emails/find.ts';
import { listEmails } from '../../src/store/emails/list.ts';
import { readEmailStory } from '../../src/store/emails/show.ts';
import { findByHash } from '../../src/store/keys/api-keys.ts';
import { insertMessages } from '../../src/store/messages/insert.ts';
import { Outbox } from '../../src/store/messages/outbox.ts';
import { findSuppressed } from '../../src/store/owners/suppressions.ts';
import { applyRetention } from '../../src/store/retention/retention.ts';
import { leaseDeliveries } from '../../src/store/webhooks/leases.ts';
import { createHitRecorder } from '../../src/tracking/hits.ts';
import { ses } from '../events/support/ses.ts';
import { startEventSystem } from '../events/support/system.ts';
import { openPool } from '../support/pool.ts';
import { newMessage, storeMessage } from '../support/stored.ts';

const logger = pino({ level: 'silent' });
const never = new AbortController().signal;

/** Tables that grow with the mail. Others are read whole where the planner likes that better. */
const LARGE = [
  ...['emails', 'smtp_relay_messages', 'smtp_relay_attempts', 'email_events', 'webhook_deliveries'],
  ...['smtp_relay_outbox', 'email_suppressions', 'api_keys', 'smtp_relay_message_ids'],
];

/** So many messages that are done, of a thousand owners, each with all that belongs to it; and much that waits or is suppressed. */
const FILL = `
  with email as (
    insert into emails ("from", "to", subject, text, status, user_id, created_at)
    select 'a@acme.test', '["b@example.com"]', 'Hello', 'Hi', case when n % 100 = 0 then 'failed' else 'delivered' end,
           'owner' || n % 1000, now() - interval '300 days' + n * interval '10 minutes'
      from generate_series(1, 40000) n returning id, user_id, created_at
  ), original as (
    insert into smtp_relay_messages (email_id, raw, sha256, size_bytes, reverse_path, recipients, message_id, created_at)
    select id, 'Hi', '', 2, '', '["b@example.com"]', id || '@acme.test', created_at from email
  ), attempt as (
    insert into smtp_relay_attempts (email_id, try, transport, recipients, outcome, provider_message_id, started_at, ended_at)
    select id, 0, 'ses', '["b@example.com"]', 'sent', 'ses-' || id, created_at, created_at from email
  ), event as (
    insert into email_events (email_id, source_id, type, payload, user_id, received_at)
    select id, 'ses:' || id, type, '{"recipients": ["b@example.com"]}', user_id, created_at
      from email, unnest('{sent,delivered}'::text[]) type
     where type = 'delivered' or user_id > 'owner5'
    on conflict do nothing returning id, received_at
  ), hook as (
    insert into webhooks (url, event_types, user_id) select 'https://a.test', '["*"]', 'owner' || n from generate_series(1, 200) n
    returning id
  ), first_hook as (
    select id from hook limit 1
  )
  insert into webhook_deliveries (webhook_id, event_id, status, attempt, attempted_at, next_retry_at, created_at)
  select first_hook.id, event.id, 'success', 1, received_at, null, received_at from event, first_hook`;

const FILL_REST = `
  with waiting as (
    insert into emails ("from", "to", subject, user_id) select 'a@acme.test', '[]', '', 'busy' from generate_series(1, 40000)
    returning id, user_id
  ), original as (
    insert into smtp_relay_messages (email_id, raw, sha256, size_bytes, reverse_path, recipients)
    select id, 'Hi', '', 2, '', '["b@example.com"]' from waiting
  ), job as (
    insert into smtp_relay_outbox (email_id, user_id, correlation_id, traceparent) select id, user_id, '', '' from waiting
  ), named as (
    insert into smtp_relay_message_ids (email_id, message_id)
    select gen_random_uuid(), n || '@acme.test' from generate_series(1, 20000) n
  ), suppressed as (
    insert into email_suppressions (user_id, email, reason)
    select 'acme', 'to' || n || '@example.com', 'bounced' from generate_series(1, 20000) n
  )
  insert into api_keys (name, token_hash, user_id) select n, md5(n::text), 'acme' from generate_series(1, 5000) n`;

interface Statement {
  readonly text: string;
  readonly values: readonly unknown[];
}

interface PlanNode {
  readonly 'Node Type': string;
  readonly 'Relation Name'?: string;
  readonly 'Index Name'?: string;
  readonly Plans?: readonly PlanNode[];
}

let statements: Statement[] = [];

/** Notes what it sends. */
class NotingClient extends pg.Client {
  override query(...args: unknown[]): never {
    const [statement, values] = args;
    if (typeof statement === 'string')
      statements.push({ text: statement, values: Array.isArray(values) ? values : [] });
    else if (isKept(statement)) statements.push({ text: statement.text, values: statement.values ?? [] });
    return (super.query as (...all: unknown[]) => never)(...args);
  }
}

let pool: pg.Pool;
let system: Awaited<ReturnType<typeof startEventSystem>>;
const ended: (() => unknown)[] = [];

before(async () => {
  system = await startEventSystem({ after: fn => void ended.push(fn) });
  pool = openPool(system.databaseUrl, 2, { Client: NotingClient });
  await pool.query(FILL);
  await pool.query(FILL_REST);
  await pool.query('vacuum analyze');
});

after(async () => {
  await pool.end();
  for (const end of ended.toReversed()) await end();
});

/** The nodes of the plans of what some work sends: with its values, and without, as a session that keeps plans has them. */
async function plansOf(work: () => Promise<unknown>): Promise<PlanNode[]> {
  statements = [];
  await work();
  const sent = statements.filter(({ text }) => /^\s*(with|select|insert|update|delete)\b/.test(text));
  const plans: PlanNode[] = [];
  for (const { text, values } of sent) {
    for (const [options, given] of [
      ['format json', values],
      ['format json, generic_plan', []],
    ] as const) {
      const { rows } = await pool.query(`explain (${options}) ${text}`, [...given]);
      plans.push(...nodesOf(rows[0]['QUERY PLAN'][0].Plan));
    }
  }
  return plans;
}

function nodesOf(node: PlanNode): PlanNode[] {
  return [node, ...(node.Plans ?? []).flatMap(nodesOf)];
}

async function holds(work: () => Promise<unknown>, ...indexes: readonly string[]): Promise<void> {
  const nodes = await plansOf(work);
  const read = nodes.filter(node => node['Node Type'] === 'Seq Scan' && LARGE.includes(node['Relation Name'] ?? ''));
  assert.deepEqual(read, [], 'reads a large table');
  const used = new Set(nodes.flatMap(node => node['Index Name'] ?? []));
  assert.deepEqual(
    indexes.filter(index => !used.has(index)),
    [],
    `uses ${[...used].join(', ')}`,
  );
}

function settlement(claim: Claim, standing: Settlement['standing']): Settlement {
  const attempt = {
    transport: 'ses',
    recipients: ['to@example.com'],
    outcome: 'sent' as const,
    code: null,
    message: null,
    providerMessageId: randomUUID(),
    startedAt: new Date(),
  };
  const event = {
    id: randomUUID(),
    emailId: claim.emailId,
    userId: 'owner1',
    type: 'sent' as const,
    sourceId: randomUUID(),
    payload: {},
  };
  return { claim, standing, attempts: [attempt], events: [event], trace: newTrace(), notice: null };
}

describe('the plans of hot statements, on tables with very many rows', () => {
  const claims = () => new Claims(pool, { worker: 'w', leaseTime: 60_000 });
  const claimed = async () => {
    const ids = [await storeMessage(pool, { userId: 'owner1' }), await storeMessage(pool, { userId: 'owner1' })];
    return claims().take(ids);
  };

  it('intake, which reads suppressions alone', async () => {
    const messages = [newMessage(), newMessage()].map(message => ({ ...message, suppressible: ['to@example.com'] }));
    await holds(() => insertMessages(pool, messages, { outboxLease: 0 }), 'email_suppressions_user_id_email_key');
  });

  it('a claim', async () => {
    const ids = [await storeMessage(pool), await storeMessage(pool)];
    await holds(
      () => claims().take(ids),
      'emails_pkey',
      'smtp_relay_messages_pkey',
      'smtp_relay_attempts_email_id_idx',
    );
  });

  it('what is to be known of jobs that brought no claim', async () => {
    await holds(() => new JobFactsReader(pool).isForeign(randomUUID()), 'emails_pkey', 'smtp_relay_messages_pkey');
  });

  it('a take-over', async () => {
    await claimed();
    await pool.query(
      "update smtp_relay_claims set until = now() - interval '1 h', state = 'sending', in_flight = '[]'",
    );
    await holds(() => claims().takeOver(10), 'emails_pkey', 'smtp_relay_attempts_email_id_idx');
  });

  it('a renewal, and the beginning of a call', async () => {
    const all = await claimed();
    await holds(() => claims().renew(all));
    await holds(() => Promise.all(all.map(claim => claims().beginSending(claim, ['to@example.com']))));
  });

  it('settlements, and the gravest status with them', async () => {
    const settler = new Settler({ pool, worker: 'w', logger });
    const [one, other] = (await claimed()) as [Claim, Claim];
    const indexes = ['emails_pkey', 'smtp_relay_events_of_message', 'smtp_relay_attempts_email_id_idx'];
    await holds(() => settler.settle(settlement(one, { kind: 'sent' }), never), ...indexes);
    const error = { code: 'x', message: 'y' };
    await holds(() => settler.settle(settlement(other, { kind: 'retry', error, afterMs: 1000 }), never), 'emails_pkey');
    await holds(() => settler.settle(settlement(one, { kind: 'sent' }), never), 'emails_pkey');
  });

  it('jobs that are taken from the outbox, renewed, given back and removed', async () => {
    const outbox = new Outbox(pool);
    await holds(() => outbox.takeInTurn(10, 1000), 'smtp_relay_outbox_coalesce_due_at_idx');
    await holds(() => outbox.leaseDue(10, 1000), 'smtp_relay_outbox_due_at_idx');
    const keys = [{ emailId: randomUUID(), try: 0 }];
    await holds(() => outbox.renew(keys, 1000), 'smtp_relay_outbox_email_id_try_key');
    await holds(() => outbox.release(keys), 'smtp_relay_outbox_email_id_try_key');
    await holds(() => outbox.remove(keys), 'smtp_relay_outbox_email_id_try_key');
  });

  it('a look for webhook deliveries, with something due and with nothing', async () => {
    const look = () => leaseDeliveries(pool, { rooms: [], room: 8, limit: 64, leaseTime: 1000 });
    await holds(look, 'smtp_relay_due_deliveries');
    await pool.query(`
      update webhook_deliveries set status = 'pending', next_retry_at = now()
       where id in (select id from webhook_deliveries limit 20000)`);
    await pool.query('analyze webhook_deliveries');
    const indexes = ['webhook_deliveries_status_next_retry_at_idx', 'smtp_relay_due_deliveries', 'email_events_pkey'];
    await holds(look, ...indexes);
  });

  it('retention of each kind', async () => {
    const FOREVER = Number.POSITIVE_INFINITY;
    const keep = { raw: FOREVER, bodies: FOREVER, events: FOREVER, deliveries: FOREVER, messages: FOREVER };
    const age = 299.9 * 86_400_000;
    const apply = (kind: keyof typeof keep) =>
      applyRetention({ db: pool, periods: { ...keep, [kind]: age }, signal: never });
    const emails = ['emails_created_at_idx', 'emails_pkey'];
    const ofMessage = [
      ...['smtp_relay_messages_pkey', 'smtp_relay_attempts_email_id_idx', 'smtp_relay_events_of_message'],
      ...['webhook_deliveries_event_id_idx', 'email_events_pkey', 'smtp_relay_outbox_email_id_try_key'],
    ];
    await holds(() => apply('bodies'), ...emails);
    await holds(() => apply('raw'), 'smtp_relay_messages_created_at_idx', 'smtp_relay_messages_pkey');
    await holds(() => apply('events'), 'email_events_user_id_received_at_idx', 'webhook_deliveries_event_id_idx');
    await holds(() => apply('messages'), ...emails, ...ofMessage);
  });

  it('a look at the whole installation', async () => {
    const indexes = ['smtp_relay_attempts_pkey', 'smtp_relay_messages_created_at_idx'];
    await holds(() => readFleet(pool), ...indexes, 'smtp_relay_open_emails');
    await holds(() => readOldestWaiting(pool), 'smtp_relay_open_emails');
  });

  it('lists', async () => {
    await holds(() => listEmails(pool, { limit: 50 }), 'emails_created_at_idx');
    await holds(() => listEmails(pool, { owner: 'owner7', limit: 50 }), 'emails_user_id_created_at_idx');
    await holds(() => listEmails(pool, { status: 'failed', limit: 50 }), 'smtp_relay_ended_emails');
    await holds(() => listEmails(pool, { status: 'queued', limit: 50 }), 'smtp_relay_open_emails');
    await holds(() => listEmails(pool, { status: 'processing', limit: 50 }), 'smtp_relay_open_emails', 'emails_pkey');
    await holds(() => listEmails(pool, { status: 'scheduled', limit: 50 }), 'smtp_relay_open_emails');
    await holds(() => listEmails(pool, { status: 'canceled', limit: 50 }), 'smtp_relay_ended_emails');
    for (const status of ['delivered', 'sent', 'nonsense']) {
      await holds(() => listEmails(pool, { status, limit: 50 }), 'emails_created_at_idx');
    }
    const byBoth = ['emails_user_id_created_at_idx', 'smtp_relay_ended_emails'];
    await holds(() => listEmails(pool, { owner: 'busy', status: 'failed', limit: 50 }), ...byBoth);
    const [since, before] = [new Date(Date.now() - 30 * 86_400_000), new Date(Date.now() - 20 * 86_400_000)];
    await holds(() => listEmails(pool, { since, before, limit: 50 }), 'emails_created_at_idx');
    await holds(() => listEmails(pool, { owner: 'owner7', since, status: 'sent', limit: 50 }), byBoth[0] as string);
    await holds(() => listEmails(pool, { messageId: 'nobodys@acme.test', limit: 50 }), 'emails_pkey');
  });

  it('one message and its whole story, by each of its names', async () => {
    const id = await storeMessage(pool, { messageId: 'mine@acme.test' });
    const names = ['smtp_relay_messages_by_message_id', 'smtp_relay_attempts_provider_message_id_idx', 'emails_pkey'];
    await holds(() => resolveEmailId(pool, 'mine@acme.test'), ...names);
    const unknown = [...names.slice(0, 2), 'smtp_relay_message_ids_by_message_id', 'emails_created_at_idx'];
    await holds(() => resolveEmailId(pool, '<nobodys@acme.test>').catch(() => {}), ...unknown);
    await holds(() => readEmailStory(pool, id), 'emails_pkey', 'smtp_relay_events_of_message');
  });

  it('cancelling, and resolving', async () => {
    const id = await storeMessage(pool);
    await holds(() => cancelEmail(pool, id), 'emails_pkey');
    await holds(() => resolveHeld(pool, id, 'sent').catch(() => {}), 'smtp_relay_attempts_email_id_idx');
  });

  it('lost jobs', async () => {
    await holds(() => new Republisher({ db: pool, after: 60_000 }).next(), 'smtp_relay_open_emails');
  });

  it('events that come in, and the gravest status that they make', async () => {
    const { rows } = await pool.query(`select id from emails where status = 'delivered' limit 1`);
    const [{ id }] = rows as [{ id: string }];
    const intake = (await import('../../src/events/intake.ts')).createEventIntake({
      ...{ pool, metrics: system.metrics, logger },
      onDeliveriesDue() {},
    });
    const record = JSON.stringify(ses.complaint({ emailId: id }));
    await holds(
      () => intake.record([record], 'sns'),
      ...['emails_pkey', 'smtp_relay_events_of_message', 'smtp_relay_attempts_email_id_idx'],
    );
  });

  it('hits of tracking links', async () => {
    const emailId = await storeMessage(pool);
    const hit = { type: 'opened' as const, emailId, url: null, userAgent: 'Web', id: randomUUID(), at: new Date() };
    await holds(() => createHitRecorder({ pool })([hit]), 'emails_pkey', 'smtp_relay_messages_pkey');
  });

  it('keys and suppressions', async () => {
    await holds(() => findByHash(pool, 'abc'), 'api_keys_token_hash_key');
    const questions = [{ userId: 'acme', email: 'to7@example.com' }];
    await holds(() => findSuppressed(pool, questions), 'email_suppressions_user_id_email_key');
  });
});
