import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { createDependencyChecks } from '../../src/http/dependency-checks.ts';

describe('looking at dependencies', () => {
  it('serves all who ask within a while with one answer', async () => {
    let calls = 0;
    const check = async () => {
      calls += 1;
    };
    const look = createDependencyChecks({ check }, { maxAge: 60_000 });
    const [first, second] = await Promise.all([look(), look()]);
    assert.equal(await look(), first);
    assert.deepEqual([calls, second], [1, first]);
    const impatient = createDependencyChecks({ check }, { maxAge: -1 });
    await impatient();
    await impatient();
    assert.equal(calls, 3);
  });

  it('does not wait for one that hangs, nor ask it again and again', async () => {
    let calls = 0;
    let given: AbortSignal | undefined;
    const hang = (signal: AbortSignal) => {
      calls += 1;
      given = signal;
      return new Promise<void>(() => {});
    };
    const look = createDependencyChecks({ hang, well: async () => {} }, { timeLimit: 30, maxAge: -1 });
    for (let round = 0; round < 2; round += 1) {
      const { hang: report, well } = await look();
      assert.deepEqual([report?.ok, report?.lastError?.class, well?.ok], [false, 'Timeout', true]);
    }
    assert.deepEqual([calls, given?.aborted], [1, true]);
  });

  it('remembers the last error of one that is well again', async () => {
    let error: Error | null = new AggregateError([Object.assign(new Error('x'), { code: 'ENOTFOUND' })]);
    const check = async () => {
      if (error) throw error;
    };
    const look = createDependencyChecks({ check }, { maxAge: -1 });
    assert.equal((await look())['check']?.ok, false);
    error = null;
    const report = (await look())['check'];
    assert.deepEqual([report?.ok, report?.lastError?.class], [true, 'ENOTFOUND']);
  });

  it('names an error without a code by its kind', async () => {
    const fail = async () => {
      throw Object.assign(new Error('of user x'), { name: 'QueueDoesNotExist' });
    };
    assert.equal((await createDependencyChecks({ fail })())['fail']?.lastError?.class, 'QueueDoesNotExist');
  });
});
