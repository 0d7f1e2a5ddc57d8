import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import pg from 'pg';
import { Abandoned, type Cancellation } from '../../src/flow/cancellation.ts';
import { createRegistry } from '../../src/observability/metrics.ts';
import { createPool } from '../../src/postgres/pool.ts';
import { createIntakeMetrics, Intake } from '../../src/store/intake/intake.ts';
import type { NewMessage } from '../../src/store/messages/new-message.ts';
import { SILENT } from '../events/support/system.ts';
import { createOwnPostgres } from '../faults/support/own-postgres.ts';
import { createDatabase } from '../support/database.ts';
import { eventually } from '../support/eventually.ts';
import { needs } from '../support/needs.ts';
import { startPgBouncer } from '../support/pgbouncer.ts';
import { openPool } from '../support/pool.ts';
import { newMessage } from '../support/stored.ts';

const GONE = new Abandoned();
const REVOKED = new Error('revoked');
const WAITING = `
  select count(*)::int as n from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`;

interface Called extends Cancellation {
  readonly callOff: (reason: unknown) => void;
}

/** @param confirm what finds out whether the key is valid; it is unless given, and need not be asked */
function cancellation(confirm?: (callOff: (reason: unknown) => void) => Promise<void>): Called {
  const controller = new AbortController();
  const callOff = (reason: unknown) => controller.abort(reason);
  return {
    signal: controller.signal,
    isConfirmed: !confirm,
    confirm: async () => confirm?.(callOff),
    callOff,
  };
}

interface System {
  readonly intake: Intake;
  readonly pool: pg.Pool;
  /** Locks `emails` until called. */
  readonly lock: () => Promise<() => Promise<void>>;
  /** Resolves when that many statements wait for the lock. */
  readonly held: (statements: number) => Promise<unknown>;
  readonly stored: () => Promise<string[]>;
}

interface Setting {
  /** A database of the test's own unless given. */
  readonly direct?: string;
  readonly through?: (url: string) => Promise<string>;
}

async function setUp(t: TestContext, { direct: given, through }: Setting = {}): Promise<System> {
  const parts = new AsyncDisposableStack();
  t.after(() => parts.disposeAsync());
  const direct = given ?? (await createDatabase({ after: fn => parts.defer(fn) }));
  const databaseUrl = (await through?.(direct)) ?? direct;
  const pool = createPool({ databaseUrl, poolSize: 4, connectTimeout: 60_000, statementTimeout: 60_000 }, SILENT);
  parts.defer(() => pool.end());
  const db = openPool(direct, 1);
  parts.defer(() => db.end());
  const locker = new pg.Client({ connectionString: direct });
  locker.on('error', () => {});
  await locker.connect();
  parts.defer(() => locker.end());
  return {
    pool,
    intake: new Intake(pool, { outboxLease: 0 }, createIntakeMetrics(createRegistry())),
    lock: async () => {
      await locker.query('begin; lock table emails in access exclusive mode');
      return async () => void (await locker.query('rollback'));
    },
    held: statements => eventually(async () => (await db.query<{ n: number }>(WAITING)).rows[0]?.n === statements),
    stored: async () => (await db.query<{ id: string }>('select id from emails')).rows.map(({ id }) => id),
  };
}

const withKey = (): NewMessage => ({
  ...newMessage(),
  idempotency: { key: 'k', envelopeHash: Buffer.alloc(32), contentHash: Buffer.alloc(32) },
});
const large = (): NewMessage => newMessage({ raw: Buffer.alloc(2 * 1024 * 1024, 'a') });

describe('a message that is called off while its statement is under way', () => {
  for (const [name, create] of [
    ['one', newMessage],
    ['one with an idempotency key', withKey],
    ['a large one', large],
  ] as const) {
    it(`is not stored (${name}), and its statement is over by then`, async t => {
      const { intake, lock, held, stored, pool } = await setUp(t);
      const unlock = await lock();
      const off = cancellation();
      const storing = assert.rejects(intake.store(create(), off), GONE);
      await held(1);
      off.callOff(GONE);
      await storing;
      await held(0);
      await unlock();
      assert.deepEqual(await stored(), []);
      assert.equal(pool.totalCount, pool.idleCount);
      // A key that was claimed is free again.
      const again = create();
      assert.deepEqual(await intake.store(again), { kind: 'stored' });
    });
  }

  it('is not stored through PgBouncer either', { skip: needs('pgbouncer') }, async t => {
    const { intake, lock, held, stored } = await setUp(t, {
      through: async url => (await startPgBouncer(t, url, 4)).through(url),
    });
    const unlock = await lock();
    const off = cancellation();
    const storing = assert.rejects(intake.store(newMessage(), off), GONE);
    await held(1);
    off.callOff(GONE);
    await storing;
    await unlock();
    assert.deepEqual(await stored(), []);
  });

  it('leaves those that share its statement: they are stored', async t => {
    const { intake, lock, held, stored } = await setUp(t);
    const unlock = await lock();
    const alone = newMessage();
    const first = intake.store(alone);
    await held(1);
    const [off, other] = [cancellation(), newMessage()];
    const gone = assert.rejects(intake.store(newMessage(), off), GONE);
    const second = intake.store(other);
    await held(2);
    off.callOff(GONE);
    await gone;
    await unlock();
    assert.deepEqual([await first, await second], [{ kind: 'stored' }, { kind: 'stored' }]);
    assert.deepEqual((await stored()).sort(), [alone.id, other.id].sort());
  });

  it('ends its wait for a connection, which others get', async t => {
    const { intake, pool, stored } = await setUp(t);
    const clients = await Promise.all(Array.from({ length: 4 }, () => pool.connect()));
    const off = cancellation();
    const storing = assert.rejects(intake.store(newMessage(), off), GONE);
    await eventually(() => pool.waitingCount === 1);
    off.callOff(GONE);
    await storing;
    for (const client of clients) client.release();
    const other = newMessage();
    await intake.store(other);
    assert.deepEqual(await stored(), [other.id]);
    assert.equal(pool.totalCount, pool.idleCount);
  });
});

describe('a message whose commit waits for a standby', () => {
  it('is stored only when the standby has it, called off or not', async t => {
    const { databaseUrl } = await createOwnPostgres(t, { pipeline: 'standalone' });
    const { pool, intake, stored } = await setUp(t, { direct: databaseUrl });
    const admin = openPool(databaseUrl, 1);
    t.after(() => admin.end());
    const standby = async (name: string) => {
      await admin.query(`alter system set synchronous_standby_names = '${name}'`);
      await admin.query('select pg_reload_conf()');
      await eventually(async () => {
        const { rows } = await pool.query("select current_setting('synchronous_standby_names') as name");
        return rows[0].name === name;
      });
    };
    const waiting = "select pid from pg_stat_activity where wait_event = 'SyncRep'";
    await standby('nobody');
    const [off, message] = [cancellation(), newMessage()];
    const storing = intake.store(message, off);
    const pid = await eventually(async () => (await admin.query(waiting)).rows[0]?.pid);
    off.callOff(GONE);
    // Cancelled, it is made without the standby: another commit waits in its place.
    await eventually(async () => (await stored()).length === 1);
    const again = await eventually(async () => (await admin.query(waiting)).rows[0]?.pid);
    assert.equal(again, pid);
    const early = await Promise.race([storing, new Promise(resolve => setTimeout(resolve, 300, 'waits'))]);
    assert.equal(early, 'waits');
    await standby('');
    assert.deepEqual(await storing, { kind: 'stored' });
    assert.deepEqual(await stored(), [message.id]);
  });
});

describe('keys of messages whose statement takes long', () => {
  it('are asked for again: one that is revoked ends its message, and not the others', async t => {
    const { intake, lock, held, stored } = await setUp(t);
    const unlock = await lock();
    const first = intake.store(newMessage());
    await held(1);
    let isRevoked = false;
    const revocable = cancellation(async callOff => {
      if (isRevoked) callOff(REVOKED);
    });
    const revoked = assert.rejects(intake.store(newMessage(), revocable), REVOKED);
    const other = newMessage();
    const second = intake.store(
      other,
      cancellation(async () => {}),
    );
    await held(2);
    isRevoked = true;
    await revoked;
    await unlock();
    await Promise.all([first, second]);
    const ids = await stored();
    assert.equal(ids.length, 2);
    assert.ok(ids.includes(other.id));
  });

  it('that cannot be asked for hold up their messages until they can', async t => {
    const { intake, lock, held, stored } = await setUp(t);
    const unlock = await lock();
    const answer = Promise.withResolvers<void>();
    let asked = 0;
    const message = newMessage();
    const unsure = cancellation(async () => {
      asked += 1;
      if (asked > 1) await answer.promise;
    });
    const storing = intake.store(message, unsure);
    await held(1);
    // The statement is cancelled, and not sent again.
    await held(0);
    await unlock();
    assert.deepEqual(await stored(), []);
    answer.resolve();
    assert.deepEqual(await storing, { kind: 'stored' });
    assert.deepEqual(await stored(), [message.id]);
  });

  it('whose look-up fails fail their messages, and nothing is stored', async t => {
    const { intake, lock, held, stored } = await setUp(t);
    const unlock = await lock();
    const failure = new Error('no database');
    let fails = false;
    const unsure = cancellation(async () => {
      if (fails) throw failure;
    });
    const storing = assert.rejects(intake.store(newMessage(), unsure), failure);
    await held(1);
    fails = true;
    await storing;
    await unlock();
    assert.deepEqual(await stored(), []);
  });
});
