import assert from 'node:assert/strict';
import { it } from 'node:test';
import { RateLimits } from '../../src/intake/rate-limits.ts';
import { UNLIMITED } from '../../src/store/keys/usage.ts';

const limits = {
  messagesPerMinute: 3,
  recipientsPerMinute: UNLIMITED,
  messagesPerDay: UNLIMITED,
  recipientsPerDay: 10,
};
const usage = {
  minuteMessages: 3,
  minuteRecipients: 8,
  dayMessages: 3,
  dayRecipients: 8,
  minuteLeft: 20,
  dayLeft: 3000,
};

it('what the database said of a key is known until the minute or the day is over', () => {
  let now = 0;
  const rates = new RateLimits(
    () => limits,
    () => now,
  );
  const count = { keyId: 'k', recipients: 1, limits };
  rates.check({ id: 'k' }, 1);
  assert.equal(rates.refusal({ id: 'k' }, count, usage).rule, 'messages_per_minute');
  assert.throws(() => rates.check({ id: 'k' }, 1), /try again in 20 s/);
  rates.check({ id: 'other' }, 1);
  now = 12_500;
  assert.throws(() => rates.check({ id: 'k' }, 1), /try again in 8 s/);
  now = 20_000;
  rates.check({ id: 'k' }, 2);
  assert.throws(() => rates.check({ id: 'k' }, 3), { rule: 'recipients_per_day' });
  now = 3_000_000;
  rates.check({ id: 'k' }, 3);
});

it('a key without limits is neither checked nor counted', () => {
  const rates = new RateLimits(() => null);
  assert.equal(rates.countOf({ id: 'k' }, 1), undefined);
  rates.check({ id: 'k' }, 1_000_000);
});
