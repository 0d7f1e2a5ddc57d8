import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Progress, type RetryPolicy, standingAfter, type TryResult } from '../../src/delivery/disposition.ts';
import type { AttemptOutcome } from '../../src/store/delivery/claims.ts';

const policy: RetryPolicy = {
  firstPause: 10_000,
  longestPause: 3_600_000,
  limit: 86_400_000,
  maxAge: 432_000_000,
  onUnknownOutcome: 'retry',
};
const hold: RetryPolicy = { ...policy, onUnknownOutcome: 'hold' };
const error = { code: '421', message: 'later' };

/** One recipient for each outcome. */
function result(outcomes: readonly (AttemptOutcome | 'open')[], more: Partial<TryResult> = {}): TryResult {
  const progress = new Progress(
    outcomes.map((_, nth) => String(nth)),
    [],
  );
  for (const [nth, outcome] of outcomes.entries()) if (outcome !== 'open') progress.note([String(nth)], outcome);
  return { progress, try: 0, age: 0, sinceAcceptance: 0, error, throttled: false, isRoutesFault: false, ...more };
}

describe('where a message stands', () => {
  for (const [outcomes, kind, ofHold] of [
    [['sent'], 'sent', 'sent'],
    [['sent', 'suppressed'], 'sent', 'sent'],
    [['suppressed', 'suppressed'], 'suppressed', 'suppressed'],
    [['sent', 'permanent'], 'failed', 'failed'],
    [['permanent', 'suppressed'], 'failed', 'failed'],
    [['sent', 'transient'], 'retry', 'retry'],
    [['permanent', 'transient'], 'retry', 'retry'],
    [['sent', 'open'], 'retry', 'retry'],
    [['unknown'], 'retry', 'held'],
    [['sent', 'unknown'], 'retry', 'held'],
    [['permanent', 'unknown'], 'retry', 'held'],
    [['transient', 'unknown'], 'retry', 'retry'],
  ] as const) {
    it(`with ${outcomes.join(' and ')}: ${kind}, or ${ofHold} where unknown outcomes are held`, () => {
      assert.equal(standingAfter(result(outcomes), policy).kind, kind);
      assert.equal(standingAfter(result(outcomes), hold).kind, ofHold);
    });
  }

  it('at the limit: it has failed with its last error, or is held where something is unknown', () => {
    const failed = { kind: 'failed', error, exhausted: true };
    assert.deepEqual(standingAfter(result(['sent', 'transient'], { age: policy.limit }), policy), failed);
    assert.deepEqual(standingAfter(result(['unknown'], { age: policy.limit }), policy), failed);
    assert.deepEqual(standingAfter(result(['transient', 'unknown'], { age: policy.limit }), hold), { kind: 'held' });
  });

  it('beyond the limit, but by no fault of its own: it is tried again, until it is too old', () => {
    const routes = { isRoutesFault: true, age: 2 * policy.limit };
    const standing = standingAfter(result(['transient'], { ...routes, sinceAcceptance: policy.maxAge - 1 }), policy);
    assert.deepEqual(standing, { kind: 'retry', error, afterMs: 1, standsStill: true });
    const failed = { kind: 'failed', error, exhausted: true };
    assert.deepEqual(
      standingAfter(result(['transient'], { ...routes, sinceAcceptance: policy.maxAge }), policy),
      failed,
    );
    const own = standingAfter(result(['transient'], { sinceAcceptance: 2 * policy.maxAge }), policy);
    assert.equal(own.kind, 'retry', 'what it is tried for by itself is limited from its first try on');
  });

  it('failed by what earlier tries brought: no error of this one', () => {
    const standing = standingAfter(result(['permanent', 'sent'], { error: null }), policy);
    assert.deepEqual(standing, { kind: 'failed', error: null, exhausted: false });
  });
});

describe('the pause before the next try', () => {
  function pause(more: Partial<TryResult>, random: number, change: Partial<RetryPolicy> = {}): number {
    const standing = standingAfter(result(['transient'], more), { ...policy, ...change }, () => random);
    assert.equal(standing.kind, 'retry');
    return standing.kind === 'retry' ? standing.afterMs : Number.NaN;
  }

  it('doubles up to the longest, with a quarter of spread either way', () => {
    assert.deepEqual(
      [0, 1, 2, 8, 9, 100, 100_000].map(nth => pause({ try: nth }, 0.5)),
      [10_000, 20_000, 40_000, 2_560_000, 3_600_000, 3_600_000, 3_600_000],
    );
    assert.deepEqual([pause({}, 0), pause({}, 1)], [7_500, 12_500]);
  });

  it('is short when the provider only asked for fewer calls', () => {
    assert.equal(pause({ try: 9, throttled: true }, 0.5), 2_000);
  });

  it('ends at the limit, where one more try is made', () => {
    assert.equal(pause({ try: 9, age: policy.limit - 1_000 }, 0.5), 1_000);
  });
});

describe('the progress of recipients', () => {
  it('goes on from what earlier tries came to, in the order of the envelope', () => {
    const startedAt = new Date().toISOString();
    const progress = new Progress(
      ['c', 'b', 'a', 'd'],
      [
        { recipients: ['a', 'b'], outcome: 'transient', startedAt },
        { recipients: ['b'], outcome: 'sent', startedAt },
        { recipients: ['c'], outcome: 'unknown', startedAt },
      ],
    );
    assert.deepEqual(progress.in('open', 'transient', 'unknown'), ['c', 'a', 'd']);
    assert.deepEqual(progress.in('sent'), ['b']);
  });

  for (const done of ['sent', 'permanent', 'suppressed'] as const) {
    it(`stays at ${done}, whatever is told later`, () => {
      const progress = new Progress(['a'], []);
      progress.note(['a'], done);
      for (const later of ['unknown', 'transient', 'permanent', 'sent'] as const) progress.note(['a'], later);
      assert.deepEqual(progress.in(done), ['a']);
    });
  }

  it('knows nobody but the recipients', () => {
    const progress = new Progress(['a'], []);
    progress.note(['b'], 'sent');
    assert.equal(progress.has('sent'), false);
  });
});
