import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Strain } from '../../src/flow/fair-scheduler.ts';

function createScene() {
  const clock = { now: 1_000 };
  return { clock, strain: new Strain({ now: () => clock.now }) };
}

describe('Strain', () => {
  it('has nobody rest while small work is quick', () => {
    const { strain, clock } = createScene();
    for (let count = 0; count < 100; count += 1) {
      clock.now += 200;
      strain.noticed(10);
    }
    assert.equal(strain.restAfter(1_000), 0);
  });

  it('has large work rest for longer each time that small work is slow, up to a bound', () => {
    const { strain, clock } = createScene();
    const rests: number[] = [];
    for (let count = 0; count < 5; count += 1) {
      clock.now += 200;
      strain.noticed(100);
      rests.push(strain.restAfter(100));
    }
    assert.deepEqual(
      rests.map(rest => Math.round(rest / 100)),
      [1, 2, 4, 7, 8],
    );
    assert.equal(strain.restAfter(60_000), 5_000, 'clients wait for their replies');
  });

  it('counts those who were slow together once', () => {
    const { strain, clock } = createScene();
    for (let count = 0; count < 64; count += 1) {
      clock.now += 1;
      strain.noticed(100);
    }
    assert.equal(Math.round(strain.restAfter(100)), 100 - 1);
  });

  it('lets go again when small work is quick', () => {
    const { strain, clock } = createScene();
    strain.noticed(100);
    assert.equal(strain.restAfter(100), 100);
    clock.now += 5_000;
    strain.noticed(10);
    assert.equal(strain.restAfter(100), 50);
    clock.now += 60_000;
    assert.equal(strain.restAfter(100), 0);
  });
});
