import assert from 'node:assert/strict';
import { it, type TestContext } from 'node:test';
import { watchPace } from '../../src/smtp/data/watch.ts';

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
    () => Math.min(time.now() / 5, 1100),
    why => told.push(why),
  );
  time.passTo(10_500);
  assert.deepEqual(told, [], '1,100 bytes are enough for 11 s');
  time.passTo(20_000);
  assert.deepEqual(told, ['data_rate']);
});

it('known defect: a burst bought minutes of a byte now and then', t => {
  const time = fakeTime(t);
  const told: string[] = [];
  watchPace(
    { ...pace, dataTimeout: 600_000 },
    () => (time.now() < 1_000 ? 0 : 1_040_000 + time.now() / 1_000),
    why => told.push(why),
  );
  time.passTo(10_500);
  assert.deepEqual(told, [], 'the burst is in the last ten seconds');
  time.passTo(12_500);
  assert.deepEqual(told, ['data_rate']);
});

it('a pause within the grace is forgiven at any time', t => {
  const time = fakeTime(t);
  const told: string[] = [];
  const sent = (now: number) => Math.floor(now / 9_500) * 2_000;
  watchPace(
    pace,
    () => sent(time.now()),
    why => told.push(why),
  );
  time.passTo(59_000);
  assert.deepEqual(told, []);
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
