import assert from 'node:assert/strict';
import { it } from 'node:test';
import { watchPace } from '../../src/smtp/data/watch.ts';
import { StoppedClock } from '../support/time.ts';

const pace = { dataTimeout: 60_000, dataRate: 100, dataGrace: 10_000 };

it('a client that keeps the pace is left alone until the deadline', t => {
  const time = new StoppedClock(t);
  const told: string[] = [];
  watchPace(
    pace,
    () => time.now / 10,
    why => told.push(why),
  );
  time.pass(59_000 - time.now, 500);
  assert.deepEqual(told, []);
  time.pass(62_000 - time.now, 500);
  assert.deepEqual(told, ['data_timeout']);
});

it('one that falls behind after the grace is told once', t => {
  const time = new StoppedClock(t);
  const told: string[] = [];
  watchPace(
    pace,
    () => Math.min(time.now / 5, 1100),
    why => told.push(why),
  );
  time.pass(10_500 - time.now, 500);
  assert.deepEqual(told, [], '1,100 bytes are enough for 11 s');
  time.pass(20_000 - time.now, 500);
  assert.deepEqual(told, ['data_rate']);
});

it('known defect: a burst bought minutes of a byte now and then', t => {
  const time = new StoppedClock(t);
  const told: string[] = [];
  watchPace(
    { ...pace, dataTimeout: 600_000 },
    () => (time.now < 1_000 ? 0 : 1_040_000 + time.now / 1_000),
    why => told.push(why),
  );
  time.pass(10_500 - time.now, 500);
  assert.deepEqual(told, [], 'the burst is in the last ten seconds');
  time.pass(12_500 - time.now, 500);
  assert.deepEqual(told, ['data_rate']);
});

it('a pause within the grace is forgiven at any time', t => {
  const time = new StoppedClock(t);
  const told: string[] = [];
  const sent = (now: number) => Math.floor(now / 9_500) * 2_000;
  watchPace(
    pace,
    () => sent(time.now),
    why => told.push(why),
  );
  time.pass(59_000 - time.now, 500);
  assert.deepEqual(told, []);
});

it('time of which the client could make no use does not count', t => {
  const time = new StoppedClock(t);
  const told: string[] = [];
  let paused = 0;
  watchPace(
    pace,
    () => 0,
    why => told.push(why),
    () => time.now - paused,
  );
  for (const end = time.now + 200_000; time.now < end; paused += 500) time.pass(500, 500);
  assert.deepEqual(told, []);
  time.pass(9_500, 500);
  assert.deepEqual(told, []);
  time.pass(2_000, 500);
  assert.deepEqual(told, ['data_rate']);
});

it('no rate: only the deadline counts, and nothing after the end', t => {
  const time = new StoppedClock(t);
  const told: string[] = [];
  const end = watchPace(
    { ...pace, dataRate: 0 },
    () => 0,
    why => told.push(why),
  );
  time.pass(59_000 - time.now, 500);
  end();
  time.pass(70_000 - time.now, 500);
  assert.deepEqual(told, []);
});
