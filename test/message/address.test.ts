import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  canonicalAddress,
  comparableAddress,
  comparableDomain,
  domainOf,
  formatMailbox,
  isAscii,
  localPartOf,
  parseAddress,
  quoteOddDots,
  suppressionForms,
} from '../../src/message/addresses/address.ts';

describe('addresses', () => {
  const valid: readonly (readonly [text: string, address: string])[] = [
    ['a@b.test', 'a@b.test'],
    ['A.b+c@Example.Test', 'A.b+c@Example.Test'],
    ["!#$%&'*+-/=?^_`{|}~@b.test", "!#$%&'*+-/=?^_`{|}~@b.test"],
    ['"a b"@b.test', '"a b"@b.test'],
    ['"a\\"@b"@c.test', '"a\\"@b"@c.test'],
    ['a@localhost', 'a@localhost'],
    ['a@mail_host.test', 'a@mail_host.test'],
    ['a@bücher.test', 'a@xn--bcher-kva.test'],
    ['a@BÜCHER.test', 'a@xn--bcher-kva.test'],
    ['a@例え.テスト', 'a@xn--r8jz45g.xn--zckzah'],
    ['ü@b.test', 'ü@b.test'],
    ['a@[192.0.2.1]', 'a@[192.0.2.1]'],
    ['a@[IPv6:2001:db8::1]', 'a@[IPv6:2001:db8::1]'],
    [`${'a'.repeat(64)}@b.test`, `${'a'.repeat(64)}@b.test`],
  ];
  for (const [text, address] of valid) {
    it(`take ${text}`, () => assert.equal(parseAddress(text), address));
  }

  const invalid = [
    '',
    'a',
    '@b.test',
    'a@',
    'a b@c.test',
    '.a@b.test',
    'a.@b.test',
    'a..b@c.test',
    'a@b@c.test',
    'a@b..test',
    'a@.test',
    'a@b.test.',
    'a@-b.test',
    'a@b-.test',
    'a@b c.test',
    'a@b,c.test',
    '<a@b.test>',
    '"a@b.test',
    '"a"b"@c.test',
    '"a\n"@b.test',
    'a@[300.0.0.1]',
    'a@[192.0.2.1',
    'a@[IPv6:zz]',
    'a@b\u0000.test',
    'a\u200b@b.test',
    'a@b.test\ufeff',
    `a@${'b'.repeat(64)}.test`,
    `${'a'.repeat(65)}@b.test`,
    `${'ü'.repeat(33)}@b.test`,
    `a@${'b.'.repeat(130)}test`,
  ];
  for (const text of invalid) {
    it(`do not take ${JSON.stringify(text).slice(0, 40)}`, () => assert.equal(parseAddress(text), null));
  }

  it('are taken apart at the last @', () => {
    assert.equal(localPartOf('"a@b"@C.test'), '"a@b"');
    assert.equal(domainOf('"a@b"@C.test'), 'c.test');
  });

  it('are compared in lower case, domains as A-labels', () => {
    assert.equal(comparableAddress('A@B.Test'), 'a@b.test');
    assert.equal(comparableDomain(' BÜCHER.test '), 'xn--bcher-kva.test');
    assert.equal(comparableDomain('xn--bcher-kva.test'), 'xn--bcher-kva.test');
    assert.notEqual(comparableDomain('not a domain'), comparableDomain('notadomain'));
  });

  it('are looked for on suppression lists in both spellings of their domain', () => {
    assert.deepEqual(suppressionForms('A@b.test'), ['a@b.test', '"a"@b.test']);
    assert.deepEqual(suppressionForms('A@xn--bcher-kva.test'), [
      'a@xn--bcher-kva.test',
      '"a"@xn--bcher-kva.test',
      'a@bücher.test',
      '"a"@bücher.test',
    ]);
    assert.deepEqual(suppressionForms('"a..b"@c.test'), ['"a..b"@c.test', 'a..b@c.test']);
    assert.deepEqual(suppressionForms('"a b"@c.test'), ['"a b"@c.test']);
  });

  for (const [address, canonical] of [
    ['a@b.test', 'a@b.test'],
    ['"a"@b.test', 'a@b.test'],
    ['"A.b"@B.test', 'A.b@B.test'],
    ['"\\a"@b.test', 'a@b.test'],
    ['"a\\"b"@c.test', '"a\\"b"@c.test'],
    ['"a\\ b"@c.test', '"a b"@c.test'],
    ['"a@b"@c.test', '"a@b"@c.test'],
    ['"a\\@b"@c.test', '"a@b"@c.test'],
    ['"a..b"@c.test', '"a..b"@c.test'],
    ['a..b@c.test', '"a..b"@c.test'],
    ['""@c.test', '""@c.test'],
    ['"ü"@c.test', 'ü@c.test'],
  ] as const) {
    it(`${address} is the mailbox ${canonical}`, () => {
      assert.equal(canonicalAddress(address), canonical);
      assert.equal(canonicalAddress(canonical), canonical);
      assert.equal(comparableAddress(address), canonical.toLowerCase());
    });
  }

  it('with odd dots get quotes, and nothing else does', () => {
    for (const local of ['user..name', '.user', 'user.', 'user..name.', '...']) {
      assert.equal(quoteOddDots(`${local}@docomo.test`), `"${local}"@docomo.test`);
      assert.equal(parseAddress(quoteOddDots(`${local}@docomo.test`)), `"${local}"@docomo.test`);
    }
    for (const text of [
      'a.b@c.test',
      '"a..b"@c.test',
      'a b..c@d.test',
      '@c.test',
      'a..b',
      'a,..b@c.test',
      'a@b..@c.test',
    ]) {
      assert.equal(quoteOddDots(text), text);
    }
  });

  it('need SMTPUTF8 where a character is beyond ASCII', () => {
    assert.equal(isAscii('a@b.test\x7f'), true);
    assert.equal(isAscii('ü@b.test'), false);
  });
});

describe('mailboxes', () => {
  const formatted: readonly (readonly [name: string | null, text: string])[] = [
    [null, 'a@b.test'],
    ['', 'a@b.test'],
    ['Ann', 'Ann <a@b.test>'],
    ['Ann van Dyke', 'Ann van Dyke <a@b.test>'],
    ['Jörg 日本', 'Jörg 日本 <a@b.test>'],
    ['Dyke, Ann', '"Dyke, Ann" <a@b.test>'],
    ['J. Public', '"J. Public" <a@b.test>'],
    ['Ann "A" Dyke', '"Ann \\"A\\" Dyke" <a@b.test>'],
    ['back\\slash', '"back\\\\slash" <a@b.test>'],
    ['x <e@evil.test>', '"x <e@evil.test>" <a@b.test>'],
  ];
  for (const [name, text] of formatted) {
    it(`are written as ${text}`, () => assert.equal(formatMailbox({ name, address: 'a@b.test' }), text));
  }
});
