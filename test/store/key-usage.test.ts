import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { it } from 'node:test';
import { createRegistry } from '../../src/observability/metrics.ts';
import { createIntakeMetrics, Intake } from '../../src/store/intake/intake.ts';
import { deleteOldKeyUsage, readKeyUsage, UNLIMITED, type UsageLimits } from '../../src/store/keys/usage.ts';
import type { NewMessage, StoreOutcome } from '../../src/store/messages/new-message.ts';
import { createDatabase } from '../support/database.ts';
import { earlyInMinute } from '../support/minute.ts';
import { openPool } from '../support/pool.ts';
import type { TestContext } from '../support/relay.ts';
import { newMessage } from '../support/stored.ts';

const none: UsageLimits = {
  messagesPerMinute: UNLIMITED,
  recipientsPerMinute: UNLIMITED,
  messagesPerDay: UNLIMITED,
  recipientsPerDay: UNLIMITED,
};

async function setUp(t: TestContext, { pods = 1 } = {}) {
  const parts = new AsyncDisposableStack();
  t.after(() => parts.disposeAsync());
  const connectionString = await createDatabase({ after: drop => parts.defer(drop) });
  const intakes = Array.from({ length: pods }, () => {
    const pool = openPool(connectionString, 4);
    parts.defer(() => pool.end());
    return new Intake(pool, { outboxLease: 5000 }, createIntakeMetrics(createRegistry()));
  });
  const db = openPool(connectionString, 2);
  parts.defer(() => db.end());
  return { intakes, intake: intakes[0] as Intake, db };
}

function message(keyId: string, limits: Partial<UsageLimits>, recipients = 1, extra: Partial<NewMessage> = {}) {
  return { ...newMessage(), counted: { keyId, recipients, limits: { ...none, ...limits } }, ...extra };
}

function kinds(outcomes: readonly StoreOutcome[]): Record<string, number> {
  return Object.fromEntries(
    ['stored', 'over'].map(kind => [kind, outcomes.filter(outcome => outcome.kind === kind).length]),
  );
}

const COUNT = `
  select (select count(*)::integer from emails) as emails, (select count(*)::integer from smtp_relay_messages) as originals,
         (select count(*)::integer from smtp_relay_outbox) as jobs`;

it('several pods that race to a limit let in exactly as many, and store nothing of the others', async t => {
  const { intakes, db } = await setUp(t, { pods: 3 });
  const key = randomUUID();
  const sends = Array.from({ length: 90 }, (_, n) => intakes[n % 3]?.store(message(key, { messagesPerDay: 50 })));
  const outcomes = (await Promise.all(sends)) as StoreOutcome[];
  assert.deepEqual(kinds(outcomes), { stored: 50, over: 40 });
  assert.deepEqual((await db.query(COUNT)).rows, [{ emails: 50, originals: 50, jobs: 50 }]);
  assert.equal((await readKeyUsage(db, key))?.dayMessages, 50);
});

it('recipients are counted as exactly, whatever their sum in one commit', async t => {
  const { intakes, db } = await setUp(t, { pods: 2 });
  const key = randomUUID();
  const sizes = Array.from({ length: 60 }, (_, n) => 1 + (n % 7));
  const sends = sizes.map((size, n) => intakes[n % 2]?.store(message(key, { recipientsPerDay: 100 }, size)));
  const outcomes = (await Promise.all(sends)) as StoreOutcome[];
  const sent = sizes.reduce((sum, size, n) => sum + (outcomes[n]?.kind === 'stored' ? size : 0), 0);
  assert.equal((await readKeyUsage(db, key))?.dayRecipients, sent);
  // What is left is less than the smallest that was refused asked for.
  const refused = sizes.filter((_, n) => outcomes[n]?.kind === 'over');
  assert.ok(sent <= 100 && sent + Math.min(...refused) > 100, `${sent} sent`);
});

it('a key that is over its limit does not hold up others of the same commit', async t => {
  const { intake, db } = await setUp(t);
  const [poor, rich] = [randomUUID(), randomUUID()];
  const sends = Array.from({ length: 20 }, (_, n) =>
    intake.store(n % 2 ? message(poor, { messagesPerDay: 3 }) : message(rich, { messagesPerDay: 1000 })),
  );
  const outcomes = await Promise.all([...sends, intake.store(newMessage())]);
  assert.deepEqual(kinds(outcomes), { stored: 14, over: 7 });
  assert.deepEqual((await db.query(COUNT)).rows[0].emails, 14);
});

it('a new minute and a new day begin at nothing; the day goes on over minutes', async t => {
  const { intake, db } = await setUp(t);
  const key = randomUUID();
  const limits = { messagesPerMinute: 1, messagesPerDay: 2 };
  await earlyInMinute();
  assert.equal((await intake.store(message(key, limits))).kind, 'stored');
  assert.equal((await intake.store(message(key, limits))).kind, 'over');
  await db.query('update smtp_relay_key_usage set minute = minute - 1');
  assert.equal((await intake.store(message(key, limits))).kind, 'stored');
  await db.query('update smtp_relay_key_usage set minute = minute - 1');
  const over = await intake.store(message(key, limits));
  assert.ok(over.kind === 'over');
  assert.deepEqual([over.usage.dayMessages, over.usage.minuteMessages], [2, 0]);
  assert.ok(over.usage.minuteLeft >= 1 && over.usage.minuteLeft <= 60);
  assert.ok(over.usage.dayLeft >= 1 && over.usage.dayLeft <= 86_400);
  await db.query('update smtp_relay_key_usage set minute = minute - 1440, day = day - 1');
  assert.equal((await intake.store(message(key, limits))).kind, 'stored');
});

it('a pod whose minute is over does not turn the clock back', async t => {
  const { intake, db } = await setUp(t);
  const key = randomUUID();
  await earlyInMinute();
  await intake.store(message(key, { messagesPerMinute: 5 }));
  await db.query('update smtp_relay_key_usage set minute = minute + 1, minute_messages = 4');
  assert.equal((await intake.store(message(key, { messagesPerMinute: 5 }))).kind, 'stored');
  assert.equal((await intake.store(message(key, { messagesPerMinute: 5 }))).kind, 'over');
});

it('with an idempotency key: a message over the limit claims nothing, a repeated one is not counted', async t => {
  const { intake, db } = await setUp(t);
  const key = randomUUID();
  const claim = (name: string) => ({ key: name, envelopeHash: Buffer.from('e'), contentHash: Buffer.from('c') });
  const send = (name: string) => intake.store(message(key, { messagesPerDay: 1 }, 1, { idempotency: claim(name) }));
  assert.equal((await send('first')).kind, 'stored');
  assert.equal((await send('first')).kind, 'repeated');
  assert.equal((await send('second')).kind, 'over');
  assert.deepEqual((await db.query('select key from smtp_relay_idempotency')).rows, [{ key: 'first' }]);
  assert.equal((await readKeyUsage(db, key))?.dayMessages, 1);
});

it('a large message, which is stored alone, counts too', async t => {
  const { intake } = await setUp(t);
  const key = randomUUID();
  const text = 'x'.repeat(1_200_000);
  assert.equal((await intake.store(message(key, { messagesPerDay: 1 }, 1, { text }))).kind, 'stored');
  assert.equal((await intake.store(message(key, { messagesPerDay: 1 }, 1, { text }))).kind, 'over');
});

it('keys that sent nothing of late are forgotten', async t => {
  const { intake, db } = await setUp(t);
  const [old, young] = [randomUUID(), randomUUID()];
  for (const key of [old, young]) await intake.store(message(key, { messagesPerDay: 5 }));
  await db.query('update smtp_relay_key_usage set day = day - 2 where key_id = $1', [old]);
  await deleteOldKeyUsage(db);
  assert.equal(await readKeyUsage(db, old), null);
  assert.equal((await readKeyUsage(db, young))?.dayMessages, 1);
});
