import assert from 'node:assert/strict';
import { it } from 'node:test';
import { rateRefusal, usageLimits } from '../../src/intake/rate-limits.ts';
import { exceededLimit, UNLIMITED } from '../../src/store/keys/usage.ts';

const none = { messagesPerMinute: 0, recipientsPerMinute: 0, messagesPerDay: 0, recipientsPerDay: 0 };
const usage = {
  minuteMessages: 2,
  minuteRecipients: 5,
  dayMessages: 20,
  dayRecipients: 50,
  minuteLeft: 17,
  dayLeft: 4000,
};

it('no limit at all is none', () => {
  assert.equal(usageLimits(none), null);
  assert.deepEqual(usageLimits({ ...none, messagesPerDay: 7 }), {
    messagesPerMinute: UNLIMITED,
    recipientsPerMinute: UNLIMITED,
    messagesPerDay: 7,
    recipientsPerDay: UNLIMITED,
  });
});

for (const [limit, value, rule, seconds] of [
  ['messagesPerMinute', 2, 'messages_per_minute', 17],
  ['recipientsPerMinute', 7, 'recipients_per_minute', 17],
  ['messagesPerDay', 20, 'messages_per_day', 4000],
  ['recipientsPerDay', 52, 'recipients_per_day', 4000],
] as const) {
  it(`${limit}: one more than it allows gets 450 4.7.1, and when to try again`, () => {
    const limits = usageLimits({ ...none, [limit]: value });
    assert.ok(limits);
    const exceeded = exceededLimit(usage, 3, limits);
    assert.ok(exceeded);
    const refusal = rateRefusal(exceeded);
    assert.deepEqual([refusal.code, refusal.enhancedCode, refusal.rule], [450, '4.7.1', rule]);
    assert.match(refusal.message, new RegExp(`may send ${value} .*try again in ${seconds} s$`));
    const wider = usageLimits({ ...none, [limit]: value + 1 });
    assert.equal(wider && exceededLimit(usage, 3, wider), null);
  });
}

it('of two limits the one that lasts longer is told', () => {
  const limits = usageLimits({ ...none, messagesPerMinute: 1, messagesPerDay: 1 });
  assert.equal(limits && exceededLimit(usage, 1, limits)?.limit, 'messagesPerDay');
});
