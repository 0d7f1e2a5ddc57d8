import assert from 'node:assert/strict';
import { it } from 'node:test';
import { LiveChanges } from '../../src/inbox/live.ts';
import { createLogger } from '../../src/observability/log.ts';
import { createDatabase } from '../support/database.ts';
import { eventually } from '../support/eventually.ts';
import { openPool } from '../support/pool.ts';

it('misses nothing that happens between a look at the messages and the wait for more', async t => {
  const pool = openPool(await createDatabase(t));
  t.after(() => pool.end());
  const changes = new LiveChanges(pool, () => false, createLogger({ level: 'silent', format: 'json' }));
  // Somebody has the page open, so that looks go on all the time.
  const before = changes.mark;
  t.after(changes.watch(() => {}));
  await eventually(() => changes.mark !== before);

  const mark = changes.mark;
  changes.removed(['5ce7200a-ad56-46bf-acb8-629e819448e5']);
  const over = AbortSignal.timeout(30_000);
  await changes.changed(over, mark);
  assert.equal(over.aborted, false);
});
