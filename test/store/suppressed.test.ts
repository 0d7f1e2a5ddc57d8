import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { it, type TestContext } from 'node:test';
import type pg from 'pg';
import { NEVER_CANCELLED } from '../../src/flow/cancellation.ts';
import { createRegistry } from '../../src/observability/metrics.ts';
import type { Queryable } from '../../src/postgres/pool.ts';
import { createIntakeMetrics, Intake } from '../../src/store/intake/intake.ts';
import { readKeyUsage, UNLIMITED } from '../../src/store/keys/usage.ts';
import type { NewMessage, StoreOutcome } from '../../src/store/messages/new-message.ts';
import { STORE } from '../../src/store/messages/statement.ts';
import { addSuppression, findSuppressed, removeSuppression } from '../../src/store/owners/suppressions.ts';
import { createDatabase } from '../support/database.ts';
import { openPool } from '../support/pool.ts';
import { newMessage } from '../support/stored.ts';

const OWNER = 'acme';
const COUNT = `
  select (select count(*)::integer from emails) as emails, (select count(*)::integer from smtp_relay_messages) as originals,
         (select count(*)::integer from smtp_relay_outbox) as jobs`;

async function setUp(t: TestContext, ...listed: readonly string[]) {
  const parts = new AsyncDisposableStack();
  t.after(() => parts.disposeAsync());
  const db = openPool(await createDatabase({ after: drop => parts.defer(drop) }), 4);
  parts.defer(() => db.end());
  for (const email of listed) await addSuppression(db, { owner: OWNER, email, reason: 'manual' });
  const intake = new Intake(db, { outboxLease: 5000 }, createIntakeMetrics(createRegistry()));
  const counts = async () => (await db.query(COUNT)).rows[0];
  return { db, intake, counts, store: (one: NewMessage) => intake.store(one, NEVER_CANCELLED) };
}

function to(recipients: readonly string[], more: Partial<NewMessage> = {}): NewMessage {
  return { ...newMessage({ recipients }), suppressible: recipients, ...more };
}

it('keeps out of a commit of many only those who are on the list, and names them as the message has them', async t => {
  const { store, counts } = await setUp(t, 'gone@example.com', 'left@example.com');
  const outcomes = await Promise.all([
    store(to(['ann@example.com'])),
    store(to(['Gone@EXAMPLE.com', 'ann@example.com', '"left"@example.com'])),
    store(to(['bob@example.com'])),
    store({ ...newMessage(), suppressible: [] }),
    store(newMessage({ recipients: ['gone@example.com'] })),
  ]);
  const stored: StoreOutcome = { kind: 'stored' };
  const addresses = ['Gone@EXAMPLE.com', '"left"@example.com'];
  assert.deepEqual(outcomes, [stored, { kind: 'suppressed', addresses }, stored, stored, stored]);
  assert.deepEqual(await counts(), { emails: 4, originals: 4, jobs: 4 });
});

it("asks the list of the message's owner, in each form in which an address may be on it", async t => {
  const { store, db } = await setUp(t, 'gone@example.com');
  await db.query(
    "insert into email_suppressions (user_id, email, reason) values ('acme', 'x@bücher.example', 'manual')",
  );
  const kindOf = async (one: NewMessage) => (await store(one)).kind;
  assert.equal(await kindOf(to(['gone@example.com'], { userId: 'other' })), 'stored');
  assert.equal(await kindOf(to(['X@xn--bcher-kva.example'])), 'suppressed');
  assert.equal(await kindOf(to([' gone@example.com '])), 'suppressed');
});

it('names who is on the list also where its addresses have another type, or are compared in another way', async t => {
  const { store, db } = await setUp(t, 'gone@example.com');
  const to1 = () => store(to(['ann@example.com', 'gone@example.com']));
  await db.query(
    "create domain address as text check (value <> ''); alter table email_suppressions alter email type address",
  );
  assert.deepEqual(await to1(), { kind: 'suppressed', addresses: ['gone@example.com'] });
  await db.query(`
    create collation caseless (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
    alter table email_suppressions alter email type varchar(512) collate caseless;
    update email_suppressions set email = 'Gone@Example.com'`);
  assert.deepEqual(await to1(), { kind: 'suppressed', addresses: ['gone@example.com'] });
});

it('finds an address without reading the list of its owner, also where most owners have short lists and one has a long one', async t => {
  const { db } = await setUp(t);
  await db.query(`
    create index by_owner on email_suppressions (user_id); create index by_address on email_suppressions (email);
    insert into email_suppressions (user_id, email, reason)
    select case when n % 2 = 0 then 'acme' else 'owner' || n end, n || '@example.com', 'bounced' from generate_series(1, 40000) n;
    analyze email_suppressions`);
  const assertQuick = async (text: string, values: readonly unknown[]): Promise<void> => {
    const { rows } = await db.query(`explain ${text}`, [...values]);
    const plan = rows.map(row => row['QUERY PLAN']).join('\n');
    assert.match(plan, /Scan using (?:by_address|email_suppressions_user_id_email_key) on email_suppressions/);
  };
  await assertQuick(STORE.originals.withJob.all, ['[]', Buffer.alloc(0), null, null, null, null, null, 5]);
  const asked: pg.QueryConfig[] = [];
  const query = async (statement: pg.QueryConfig) => {
    asked.push(statement);
    return { rows: [] };
  };
  const questions = Array.from({ length: 1_000 }, (_, n) => ({ userId: OWNER, email: `${n}@example.com` }));
  await findSuppressed({ query } as unknown as Queryable, questions);
  for (const { text, values = [] } of asked) await assertQuick(text, values);
  assert.equal(asked.length, 1);
});

it('counts nothing for a key whose message the list keeps out', async t => {
  const { store, db } = await setUp(t, 'gone@example.com');
  const keyId = randomUUID();
  const limits = {
    messagesPerMinute: UNLIMITED,
    recipientsPerMinute: UNLIMITED,
    messagesPerDay: 2,
    recipientsPerDay: UNLIMITED,
  };
  const counted = { keyId, recipients: 1, limits };
  const outcomes = await Promise.all([
    store(to(['gone@example.com'], { counted })),
    store(to(['ann@example.com'], { counted })),
    store(to(['gone@example.com'], { counted })),
    store(to(['bob@example.com'], { counted })),
  ]);
  assert.deepEqual(
    outcomes.map(({ kind }) => kind),
    ['suppressed', 'stored', 'suppressed', 'stored'],
  );
  assert.equal((await readKeyUsage(db, keyId))?.dayMessages, 2);
  // Who is on the list is told so, and not to come again tomorrow.
  assert.equal((await store(to(['gone@example.com'], { counted }))).kind, 'suppressed');
  assert.equal((await store(to(['ann@example.com'], { counted }))).kind, 'over');
});

it('keeps a large one out, too', async t => {
  const { store, counts } = await setUp(t, 'gone@example.com');
  const raw = `From: a@acme.test\r\n\r\n${'x'.repeat(300_000)}\r\n`;
  const large = { ...newMessage({ raw, recipients: ['gone@example.com'] }), suppressible: ['gone@example.com'] };
  assert.equal((await store(large)).kind, 'suppressed');
  assert.deepEqual(await counts(), { emails: 0, originals: 0, jobs: 0 });
});

it('does not use an idempotency key up for one that it keeps out', async t => {
  const { store, db } = await setUp(t, 'gone@example.com');
  const idempotency = { key: 'k', envelopeHash: Buffer.alloc(32, 1), contentHash: Buffer.alloc(32, 2) };
  const keyed = () => to(['gone@example.com'], { idempotency });
  assert.equal((await store(keyed())).kind, 'suppressed');
  await removeSuppression(db, OWNER, 'gone@example.com');
  assert.equal((await store(keyed())).kind, 'stored');
});
