import assert from 'node:assert/strict';
import { it, type TestContext } from 'node:test';
import { watchPace } from '../../src/smtp/data-watch.ts';

const pace = { dataTimeout: 60_000, dataRate: 100, dataGrace: 10_000 };

/** Time that passes as it is told to. */
function fakeTime(t: TestContext) {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  let now = 0;
  t.mock.method(performance, 'now', () => now);
  return {
    now: () => now,
    passTo(end: number) {
      for (; now < end; t.mock.timers.tick(500)) now += 500;
    },
  };
}

it('a client that keeps the pace is left alone until the deadline', t => {
  const time = fakeTime(t);
  const told: string[] = [];
  watchPace(
    pace,
    () => time.now() / 10,
    why => told.push(why),
  );
  time.passTo(59_000);
  assert.deepEqual(told, []);
  time.passTo(62_000);
  assert.deepEqual(told, ['data_timeout']);
});

it('one that falls behind after the grace is told once', t => {
  const time = fakeTime(t);
  const told: string[] = [];
  watchPace(
    pace,
    () => 1100,
    why => told.push(why),
  );
  time.passTo(10_500);
  assert.deepEqual(told, [], '1,100 bytes are enough for 11 s');
  time.passTo(20_000);
  assert.deepEqual(told, ['data_rate']);
});

it('no rate: only the deadline counts, and nothing after the end', t => {
  const time = fakeTime(t);
  const told: string[] = [];
  const end = watchPace(
    { ...pace, dataRate: 0 },
    () => 0,
    why => told.push(why),
  );
  time.passTo(59_000);
  end();
  time.passTo(70_000);
  assert.deepEqual(told, []);
});
