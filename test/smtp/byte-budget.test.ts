import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ByteBudget } from '../../src/smtp/byte-budget.ts';

describe('ByteBudget', () => {
  it('gives until the limit is reached, and again what comes back', () => {
    const budget = new ByteBudget(() => 100);
    assert.ok(budget.tryTake(60));
    assert.ok(budget.tryTake(40));
    assert.ok(!budget.tryTake(1));
    assert.equal(budget.used, 100);
    budget.giveBack(60);
    assert.ok(budget.tryTake(60));
  });

  it('lets a lone message in, whatever its size, and no other beside it', () => {
    const budget = new ByteBudget(() => 100);
    assert.ok(budget.hasRoomFor(1000));
    assert.ok(budget.tryTake(90));
    assert.ok(budget.tryTake(500, 90), 'what is in use is its own');
    assert.ok(!budget.tryTake(1));
    assert.ok(!budget.hasRoomFor(0));
  });

  it('does not let a message go on that is not alone', () => {
    const budget = new ByteBudget(() => 100);
    assert.ok(budget.tryTake(50));
    assert.ok(budget.tryTake(10));
    assert.ok(!budget.tryTake(50, 50));
  });

  it('tells beforehand whether there is room', () => {
    const budget = new ByteBudget(() => 100);
    budget.tryTake(50);
    assert.ok(budget.hasRoomFor(49));
    assert.ok(!budget.hasRoomFor(50));
  });
});
