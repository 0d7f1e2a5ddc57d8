import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Refusal } from '../../src/message/refusal.ts';
import { isFault, replyTo } from '../../src/smtp/protocol/replies.ts';

const refusal = { code: 550, enhancedCode: '5.7.1', text: 'Not from here: send from there', rule: 'key_domain' };

describe('replyTo', () => {
  it('says what a refusal says', () => {
    assert.deepEqual(replyTo(new Refusal(refusal)), refusal);
  });

  it('is one line of ASCII, whatever somebody stored what it names as', () => {
    const text = 'may only send from a\r\n250 Ok\u202e.t\u00e9st';
    assert.equal(replyTo(new Refusal({ ...refusal, text })).text, 'may only send from a??250 Ok?.t?st');
  });

  it('tells nothing of our inside: 451 4.3.0', () => {
    const inside = Object.assign(new Error('connect ECONNREFUSED 10.0.0.7:5432'), { code: 'ECONNREFUSED' });
    for (const error of [inside, new TypeError('x is undefined'), 'text', null, undefined, { code: 550 }]) {
      const { code, enhancedCode, text, rule } = replyTo(error);
      assert.deepEqual([code, enhancedCode, rule], [451, '4.3.0', 'fault']);
      assert.equal(text, 'Temporary fault on our side: try again later');
    }
  });

  it('tells a full disk: 452 4.3.1', () => {
    const full = Object.assign(new Error('could not extend file "base/16384/2619"'), { code: '53100' });
    const { code, enhancedCode, text } = replyTo(full);
    assert.deepEqual([code, enhancedCode], [452, '4.3.1']);
    assert.ok(!text.includes('base/'));
  });
});

describe('isFault', () => {
  it('is true of what is ours, and of a refusal with a cause', () => {
    assert.ok(isFault(new Error('x')));
    assert.ok(isFault(new Refusal({ ...refusal, code: 454, cause: new Error('x') })));
    assert.ok(!isFault(new Refusal(refusal)));
  });
});
