import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type Place, WaitingRoom } from '../../src/delivery/schedule/waiting-room.ts';

const PLACES = 2_000;

/** A room on a clock that is moved. */
function createRoom() {
  let now = 0;
  const room = new WaitingRoom(PLACES, () => now);
  return {
    room,
    enter: (count: number, owner: string) => Array.from({ length: count }, () => room.enter(owner)),
    pass: (milliseconds: number) => {
      now += milliseconds;
    },
    /** So many go on a second, and others come in their place as far as there is room, for so long. @returns the most that waited */
    run(waiting: Place[], owner: string, perSecond: number, milliseconds: number): number {
      let most = 0;
      for (let passed = 0; passed < milliseconds; passed += 10) {
        now += 10;
        for (let count = 0; count < perSecond / 100; count += 1) waiting.shift()?.goOn();
        for (let free = room.room; free > 0; free -= 1) waiting.push(room.enter(owner));
        most = Math.max(most, room.waiting);
      }
      return most;
    },
  };
}

describe('the waiting room', () => {
  it('brings what goes on quickly at the pace at which it does, and puts off none of it', () => {
    const { room, enter, run } = createRoom();
    const waiting = enter(200, 'a');
    assert.equal(room.room, 0);
    const most = run(waiting, 'a', 1_000, 10_000);
    assert.ok(most > 800 && most <= 1_100, `${most}`);
    assert.equal(room.isOverfull('a'), false);
  });

  it('has room for others, and puts off what comes beyond a share, where nothing goes on', () => {
    const { room, enter, pass } = createRoom();
    enter(200, 'a');
    assert.equal(room.room, 0);
    pass(600);
    assert.ok(room.room >= 200, `${room.room}`);
    enter(1_000, 'a');
    pass(600);
    assert.equal(room.isOverfull('a'), true);
    assert.equal(room.isOverfull('b'), false);
    assert.ok(room.room >= 200, `${room.room}`);
    enter(5, 'b');
    pass(600);
    assert.equal(room.isOverfull('b'), false);
  });

  it('keeps room for others where an owner of many falls silent, or slows down', () => {
    for (const perSecond of [0, 5]) {
      const { room, enter, run, pass } = createRoom();
      const waiting = enter(200, 'a');
      run(waiting, 'a', 1_000, 5_000);
      for (let count = 0; count < 300; count += 1) {
        pass(10);
        if (perSecond > 0 && count % (100 / perSecond) === 0) waiting.shift()?.goOn();
      }
      assert.ok(room.room >= 200, `${perSecond}: ${room.room}`);
      assert.equal(room.isOverfull('a'), true);
    }
  });

  it('is not held up by one who hangs while another goes on', () => {
    const { room, enter, run, pass } = createRoom();
    enter(500, 'a');
    pass(600);
    const waiting = enter(100, 'b');
    const most = run(waiting, 'b', 500, 5_000);
    assert.ok(most >= 900, `${most}: the 500 that hang, and what goes on in a second`);
    assert.equal(room.isOverfull('b'), false);
  });

  it('tells who waits for room of it, also where nothing but time has passed', async () => {
    const { room, enter, pass } = createRoom();
    enter(200, 'a');
    const waits = room.whenRoom(new AbortController().signal);
    pass(600);
    await waits;
    assert.ok(room.room > 0);
  });
});
