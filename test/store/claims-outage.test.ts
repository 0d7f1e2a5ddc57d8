import assert from 'node:assert/strict';
import { it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { pino } from 'pino';
import { createPool } from '../../src/postgres/pool.ts';
import { Claims } from '../../src/store/delivery/claims.ts';
import { migrate } from '../../src/store/schema/migrate.ts';
import { eventually } from '../support/eventually.ts';
import { createServer } from '../support/postgres-server.ts';
import { storeMessage } from '../support/stored.ts';

const LEASE = 20_000;
const settings = { poolSize: 2, connectTimeout: 60_000, statementTimeout: 60_000 };

it('after an outage longer than a lease, who lives keeps its messages, and others are taken over a little later', async () => {
  await using parts = new AsyncDisposableStack();
  const server = await createServer({ after: fn => void parts.defer(fn) });
  const databaseUrl = await server.createDatabase('relay');
  await migrate(databaseUrl, { pipeline: 'standalone' });
  const db = createPool({ databaseUrl, ...settings }, pino({ level: 'silent' }));
  parts.defer(() => db.end());
  const [lives, died, other] = ['lives', 'died', 'other'].map(worker => new Claims(db, { worker, leaseTime: LEASE }));
  const kept = await storeMessage(db);
  const left = await storeMessage(db);
  const inHand = (await lives?.take([kept])) ?? [];
  assert.equal(inHand.length, 1);
  assert.equal((await died?.take([left]))?.length, 1);
  await db.query("update smtp_relay_claims set until = now() + interval '1 second'");

  await server.stop();
  await assert.rejects(other?.takeOver(10) ?? Promise.resolve());
  await sleep(1_500);
  await server.start();
  await eventually(() => db.query('select'));
  assert.deepEqual(await other?.takeOver(10), [], 'not yet');
  assert.deepEqual(await other?.take([kept, left]), [], 'nor because of a job');
  await lives?.renew(inHand);
  const taken = await eventually(async () => {
    const claims = (await other?.takeOver(10)) ?? [];
    return claims.length > 0 ? claims : null;
  }, 60_000);
  assert.deepEqual(
    taken?.map(({ emailId }) => emailId),
    [left],
  );
});
