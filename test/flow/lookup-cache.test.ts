import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { createLookupCache } from '../../src/flow/lookup-cache.ts';
import { type ApiKey, createKeyCache } from '../../src/store/keys/api-keys.ts';

const KEY: ApiKey = { id: '5f3c', userId: 'acme', domain: null };

/** A clock that moves only when told; it does not start at 0, which the library takes for "not set". */
function createClock() {
  let time = 1_000;
  return {
    now: () => time,
    advance: (milliseconds: number) => {
      time += milliseconds;
    },
  };
}

/** A key source that counts its calls and answers what `answers` holds. */
function createSource(answers: ReadonlyMap<string, ApiKey>) {
  const asked: string[] = [];
  const find = async (hash: string): Promise<ApiKey | null> => {
    asked.push(hash);
    return answers.get(hash) ?? null;
  };
  return { asked, find };
}

describe('key cache', () => {
  it('asks once for a key that is looked up by many at the same time', async () => {
    const { asked, find } = createSource(new Map([['a', KEY]]));
    const cache = createKeyCache({ find });
    const found = await Promise.all(Array.from({ length: 100 }, () => cache.lookup('a')));
    assert.deepEqual(new Set(found), new Set([KEY]));
    assert.deepEqual(asked, ['a']);
  });

  it('keeps a known key for less than ten seconds, so that a revoked one stops within ten', async () => {
    const answers = new Map([['a', KEY]]);
    const { asked, find } = createSource(answers);
    const clock = createClock();
    const cache = createKeyCache({ find, now: clock.now });
    assert.equal(await cache.lookup('a'), KEY);
    answers.delete('a');
    clock.advance(8_000);
    assert.equal(await cache.lookup('a'), KEY);
    clock.advance(2_000);
    assert.equal(await cache.lookup('a'), null);
    assert.equal(asked.length, 2);
  });

  it('keeps an unknown key for at most a second', async () => {
    const answers = new Map<string, ApiKey>();
    const { asked, find } = createSource(answers);
    const clock = createClock();
    const cache = createKeyCache({ find, now: clock.now });
    assert.equal(await cache.lookup('a'), null);
    clock.advance(900);
    assert.equal(await cache.lookup('a'), null);
    assert.equal(asked.length, 1);
    answers.set('a', KEY);
    clock.advance(101);
    assert.equal(await cache.lookup('a'), KEY);
  });

  it('counts the time from when the key was asked for, not from when the answer came', async () => {
    const clock = createClock();
    let calls = 0;
    const find = async () => {
      calls += 1;
      clock.advance(6_000);
      return KEY;
    };
    const cache = createKeyCache({ find, now: clock.now });
    await cache.lookup('a');
    clock.advance(4_000);
    await cache.lookup('a');
    assert.equal(calls, 2);
  });

  it('does not keep an error, and gives it to all who waited', async () => {
    let calls = 0;
    const find = async () => {
      calls += 1;
      if (calls === 1) throw new Error('database unreachable');
      return KEY;
    };
    const cache = createKeyCache({ find });
    const results = await Promise.allSettled([cache.lookup('a'), cache.lookup('a')]);
    assert.deepEqual(
      results.map(result => result.status),
      ['rejected', 'rejected'],
    );
    assert.equal(calls, 1);
    assert.equal(await cache.lookup('a'), KEY);
    assert.equal(calls, 2);
  });
});

describe('look-up cache', () => {
  it('keeps no more than its maximum', async () => {
    const asked: string[] = [];
    const find = async (key: string) => {
      asked.push(key);
      return key;
    };
    const cache = createLookupCache({ find, ttl: () => 60_000, max: 2 });
    for (const key of ['a', 'b', 'c', 'c', 'b', 'a']) await cache.lookup(key);
    assert.deepEqual(asked, ['a', 'b', 'c', 'a']);
  });

  it('answers a look-up that newer ones have pushed out', async () => {
    const release: (() => void)[] = [];
    const find = async (key: string) => {
      await new Promise<void>(resolve => release.push(resolve));
      return key;
    };
    const cache = createLookupCache({ find, ttl: () => 60_000, max: 2 });
    const waiting = ['a', 'b', 'c', 'd'].map(key => cache.lookup(key));
    await new Promise(setImmediate);
    for (const resolve of release) resolve();
    assert.deepEqual(await Promise.all(waiting), ['a', 'b', 'c', 'd']);
  });

  it('keeps answers that are null', async () => {
    let calls = 0;
    const cache = createLookupCache({
      find: async () => {
        calls += 1;
        return null;
      },
      ttl: () => 60_000,
      max: 2,
    });
    assert.equal(await cache.lookup('a'), null);
    assert.equal(await cache.lookup('a'), null);
    assert.equal(calls, 1);
  });
});
