import assert from 'node:assert/strict';
import { it } from 'node:test';
import { Intake } from '../../src/store/intake/intake.ts';
import { createDatabase } from '../support/database.ts';
import { openPool } from '../support/pool.ts';
import { newMessage } from '../support/stored.ts';

it('a commit is shared by a megabyte of messages, in which their recipients count', async t => {
  const parts = new AsyncDisposableStack();
  t.after(() => parts.disposeAsync());
  const db = openPool(await createDatabase({ after: drop => parts.defer(drop) }), 4);
  parts.defer(() => db.end());
  const commits: number[] = [];
  const intake = new Intake(db, { outboxLease: 5000 }, { committed: messages => void commits.push(messages) });
  const storeMany = async (messages: number, recipients: number): Promise<number> => {
    const to = Array.from({ length: recipients }, (_, n) => `${'x'.repeat(60)}${n}@${'y'.repeat(60)}.example`);
    commits.length = 0;
    const sent = Array.from({ length: messages }, () => intake.store(newMessage({ recipients: to })));
    assert.deepEqual(new Set((await Promise.all(sent)).map(({ kind }) => kind)), new Set(['stored']));
    return Math.max(...commits);
  };
  assert.equal(await storeMany(50, 1), 50);
  const shared = await storeMany(50, 300);
  assert.ok(shared > 10 && shared < 30, `${shared} of 40 KB shared one`);
  assert.equal(await storeMany(3, 600), 1, 'nobody else waits for one of more than 64 KiB');
});
