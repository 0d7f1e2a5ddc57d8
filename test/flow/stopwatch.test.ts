import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { startStopwatch } from '../../src/flow/stopwatch.ts';

describe('how long ago something was', () => {
  it('is what either clock says, whichever was stopped or put back', () => {
    const clocks = { monotonic: 100, wall: 1_000 };
    const elapsed = startStopwatch({ monotonic: () => clocks.monotonic, wall: () => clocks.wall });
    // Suspended: only the clock of the day went on.
    clocks.wall += 60_000;
    assert.equal(elapsed(), 60_000);
    clocks.monotonic += 70_000;
    assert.equal(elapsed(), 70_000);
    clocks.wall = 0;
    assert.equal(elapsed(), 70_000);
  });
});
