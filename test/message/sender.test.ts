import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { readSender, type Sender } from '../../src/message/addresses/originators.ts';
import { readHeaderFields } from '../../src/message/header/fields.ts';
import { mail } from '../support/mail.ts';

function read(...lines: readonly (string | Buffer)[]): Sender {
  return readSender(readHeaderFields(mail(...lines, '', 'From: body@body.test'), 100_000));
}

describe('From', () => {
  const accepted: readonly (readonly [lines: readonly string[], name: string | null, address: string])[] = [
    [['From: a@good.test'], null, 'a@good.test'],
    [['FROM:<a@good.test>'], null, 'a@good.test'],
    [['From: Acme <a@good.test>'], 'Acme', 'a@good.test'],
    [['From: "Acme, Inc." <a@good.test>'], 'Acme, Inc.', 'a@good.test'],
    [['From: Acme', ' <a@good.test>'], 'Acme', 'a@good.test'],
    [['From: =?utf-8?Q?Caf=C3=A9?= <a@good.test>'], 'Café', 'a@good.test'],
    [['From: a@good.test (Acme)'], 'Acme', 'a@good.test'],
    [['From: "e@evil.test" <a@good.test>'], 'e@evil.test', 'a@good.test'],
    [['From: =?utf-8?Q?=3Ce=40evil.test=3E?= <a@good.test>'], '<e@evil.test>', 'a@good.test'],
    [['From: a@bücher.test'], null, 'a@xn--bcher-kva.test'],
    [['From: a@good.test', 'Resent-From: e@evil.test', 'X-From: e@evil.test'], null, 'a@good.test'],
  ];
  for (const [lines, name, address] of accepted) {
    it(`is taken: ${lines.join('⏎')}`, () =>
      assert.deepEqual(read(...lines), { from: { name, address }, sender: null }));
  }

  // Each of them is read as another sender by at least one parser that stands further down the line.
  const refused: readonly (readonly string[])[] = [
    ['From: a@good.test', 'From: e@evil.test'],
    ['From: a@good.test', 'from: a@good.test'],
    ['From: a@good.test', 'From : e@evil.test'],
    ['From : a@good.test'],
    ['From\t: a@good.test'],
    ['From: a@good.test, e@evil.test'],
    ['From: a@good.test', ' , e@evil.test'],
    ['From: a@good.test; e@evil.test'],
    ['From: Team: a@good.test;'],
    ['From: undisclosed:;'],
    ['From: <<a@good.test>@evil.test>'],
    ['From: <a@good.test><e@evil.test>'],
    ['From: e@evil.test <a@good.test>'],
    ['From: <a@good.test> e@evil.test'],
    ['From: <a@good.test> <e@evil.test>'],
    ['From: x <e@evil.test> <a@good.test>'],
    ['From: <@evil.test:a@good.test>'],
    ['From: "e@evil.test"@good.test'],
    ['From: <"e@evil.test x"@good.test>'],
    ['From: e@evil.test@good.test'],
    ['From: e@evil.test\\@good.test'],
    ['From: "x <e@evil.test> <a@good.test>'],
    ['From: a@good.test (x'],
    ['From: a@good.test\u0000@evil.test'],
    ['From: a@good.test\u000b'],
    ['From: a@good.test\u200b'],
    ['From: =?utf-8?Q?a=40good.test?='],
    ['From: Boss [<e@evil.test>] <a@good.test>'],
    ['From: a@good.test (x \\) <e@evil.test>)'],
    ['From: =?utf-8?B?ZUBldmlsLnRlc3Q=?=@good.test'],
    ['From: a@go(c)od.test'],
    ['From: a@go\u00adod.test'],
    ['From: a@ｇood.test'],
    ['From: a@good。test'],
    ['From: "a "@good.test'],
    ['From: nobody'],
    ['From: <>'],
    ['From:'],
  ];
  for (const lines of refused) {
    it(`is refused with 550 5.7.1: ${JSON.stringify(lines.join('⏎'))}`, () => {
      const expected = {
        code: 550,
        enhancedCode: '5.7.1',
        rule: 'from_ambiguous',
        message: /^From header is ambiguous/,
      };
      assert.throws(() => read(...lines), expected);
    });
  }

  it('has to be there; one in the body is none', () => {
    assert.throws(() => read('Subject: x'), { code: 550, enhancedCode: '5.7.1', rule: 'from_missing' });
    assert.throws(() => read('Subject: x', 'From-: a@good.test'), { rule: 'from_missing' });
  });
});

describe('Sender', () => {
  it('is read beside From', () => {
    const { from, sender } = read('Sender: "B" <b@good.test>', 'From: a@good.test');
    assert.deepEqual([from.address, sender], ['a@good.test', { name: 'B', address: 'b@good.test' }]);
  });

  for (const lines of [
    ['Sender: b@good.test', 'Sender: e@evil.test'],
    ['Sender : b@good.test'],
    ['Sender: b@good.test, e@evil.test'],
    ['Sender: Team: b@good.test;'],
    ['Sender: <b@good.test> e@evil.test'],
    ['Sender:'],
  ]) {
    it(`is refused with 550 5.7.1: ${lines.join('⏎')}`, () => {
      const expected = { code: 550, enhancedCode: '5.7.1', message: /^Sender header is ambiguous/ };
      assert.throws(() => read('From: a@good.test', ...lines), expected);
    });
  }
});
