import assert from 'node:assert/strict';
import { it } from 'node:test';
import { EVENTS, eventName, eventNameOf } from '../../src/store/event-types.ts';
import { createDatabase } from '../support/database.ts';
import { openPool } from '../support/pool.ts';

it('calls an event by the same name in SQL, whoever wrote its type', async t => {
  const pool = openPool(await createDatabase(t), 1);
  t.after(() => pool.end());
  const types = [...Object.keys(EVENTS), 'of_opensend', 'constructor'];
  const { rows } = await pool.query(
    `select e.type, ${eventNameOf('e')} as name from unnest($1::text[]) with ordinality e (type, nth) order by e.nth`,
    [types],
  );
  assert.deepEqual(
    rows,
    types.map(type => ({ type, name: eventName(type) })),
  );
  assert.equal(eventName('bounced'), 'email.bounced');
  assert.equal(eventName('webhook_disabled'), 'webhook.disabled');
  assert.equal(eventName('constructor'), 'email.constructor');
});

it('gives each event a name of its own, and each status a rank of its own', () => {
  for (const values of [
    Object.values(EVENTS).map(({ name }) => name),
    Object.values(EVENTS).flatMap(({ gravity }) => gravity ?? []),
  ]) {
    assert.equal(new Set<unknown>(values).size, values.length, values.join());
  }
});
