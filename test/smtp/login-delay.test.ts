import assert from 'node:assert/strict';
import { it } from 'node:test';
import { loginDelay } from '../../src/smtp/session/login-guard.ts';

it('a log-in waits longer with each failure, up to the longest wait', () => {
  const waits = [0, 2, 3, 4, 5, 6, 7, 8, 100_000].map(failures => loginDelay(failures, 3, 10_000));
  assert.deepEqual(waits, [0, 0, 1000, 2000, 4000, 8000, 10_000, 10_000, 10_000]);
});

it('nobody waits where no number of failures is set', () => {
  assert.equal(loginDelay(1_000_000, 0, 10_000), 0);
});
