import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { formatMailbox } from '../../src/message/addresses/address.ts';
import { decodeHeaderText, parseAddressList } from '../../src/message/addresses/address-list.ts';
import { countCpu } from '../support/cpu.ts';

function read(value: string): readonly (readonly [name: string | null, address: string])[] {
  const { mailboxes, ambiguity } = parseAddressList(value);
  assert.equal(ambiguity, null);
  return mailboxes.map(({ name, address }) => [name, address]);
}

describe('address lists', () => {
  const lists: readonly (readonly [value: string, mailboxes: readonly (readonly [string | null, string])[]])[] = [
    ['', []],
    ['a@b.test', [[null, 'a@b.test']]],
    ['<a@b.test>', [[null, 'a@b.test']]],
    ['< a@b.test >', [[null, 'a@b.test']]],
    ['Ann <a@b.test>', [['Ann', 'a@b.test']]],
    ['Ann<a@b.test>', [['Ann', 'a@b.test']]],
    ['"Dyke, Ann" <a@b.test>', [['Dyke, Ann', 'a@b.test']]],
    ['"a \\"b\\" \\\\c" <a@b.test>', [['a "b" \\c', 'a@b.test']]],
    ['"" <a@b.test>', [[null, 'a@b.test']]],
    ['John Q. Public <a@b.test>', [['John Q. Public', 'a@b.test']]],
    ['a@b.test (Ann)', [['Ann', 'a@b.test']]],
    ['a@b.test (Ann (A) Dyke)', [['Ann (A) Dyke', 'a@b.test']]],
    ['<a@b.test> (Ann)', [[null, 'a@b.test']]],
    ['"a@b.test" <a@b.test>', [['a@b.test', 'a@b.test']]],
    ['a@b.test <A@b.test>', [['a@b.test', 'A@b.test']]],
    ['"x <e@evil.test>, y" <a@b.test>', [['x <e@evil.test>, y', 'a@b.test']]],
    ['"<" <a@b.test>', [['<', 'a@b.test']]],
    ['<"a>b"@c.test>', [[null, '"a>b"@c.test']]],
    ['"[EXT]" <a@b.test>', [['[EXT]', 'a@b.test']]],
    ['=?utf-8?Q?a:b,_c;?= <a@b.test>', [['a:b, c;', 'a@b.test']]],
    [
      '=?utf-8?Q?J=C3=B6rg,_B:?= <a@b.test>, c@d.test',
      [
        ['Jörg, B:', 'a@b.test'],
        [null, 'c@d.test'],
      ],
    ],
    ['Bücher GmbH <a@bücher.test>', [['Bücher GmbH', 'a@xn--bcher-kva.test']]],
    ['a@BÜCHER.test', [[null, 'a@xn--bcher-kva.test']]],
    ['a@[192.0.2.1]', [[null, 'a@[192.0.2.1]']]],
    ['=?utf-8?Q?J=C3=B6rg?= <a@b.test>', [['Jörg', 'a@b.test']]],
    ['"=?utf-8?B?SsO2cmc=?=" <a@b.test>', [['Jörg', 'a@b.test']]],
    ['=?utf-8?Q?J=C3?= =?utf-8?Q?=B6rg?= <a@b.test>', [['Jörg', 'a@b.test']]],
    ['=?utf-8?Q?e=40evil.test=2C_x?= <a@b.test>', [['e@evil.test, x', 'a@b.test']]],
    ['日本 <a@bücher.test>', [['日本', 'a@xn--bcher-kva.test']]],
    [
      'a@b.test, c@d.test',
      [
        [null, 'a@b.test'],
        [null, 'c@d.test'],
      ],
    ],
    [
      'a@b.test,, ,Ann <c@d.test>,',
      [
        [null, 'a@b.test'],
        ['Ann', 'c@d.test'],
      ],
    ],
    ['undisclosed-recipients:;', []],
    [
      'Team: a@b.test, Ann <c@d.test>;, e@f.test',
      [
        [null, 'a@b.test'],
        ['Ann', 'c@d.test'],
        [null, 'e@f.test'],
      ],
    ],
  ];
  for (const [value, mailboxes] of lists) {
    it(`are read: ${value}`, () => assert.deepEqual(read(value), mailboxes));
  }

  it('say where a group stands', () => {
    assert.equal(parseAddressList('Team: a@b.test;').hasGroup, true);
    assert.equal(parseAddressList('"Team: x" <a@b.test>').hasGroup, false);
  });

  const ambiguous = [
    'e@evil.test <a@b.test>',
    '<a@b.test> <e@evil.test>',
    '<<a@b.test>@evil.test>',
    '<a@b.test> e@evil.test',
    '<a@b.test> x',
    '<a@b.test> "x"',
    '<a@b.test> [x]',
    '<@evil.test:a@b.test>',
    'a@b.test; c@d.test',
    'a@b.test c@d.test',
    'a@b@c.test',
    'a@b.test\\@evil.test',
    '"a@b.test',
    'Ann "x <a@b.test>',
    '<a@b.test',
    'a@b.test>',
    'a@b.test (x',
    'a@[192.0.2.1',
    'Team: a@b.test',
    'Team: Inner: a@b.test;',
    'mailto:a@b.test',
    'a@b.test:25',
    'Ann',
    '<>',
    'a@ b.test',
    "'a@b.test'",
    'a@b.test.',
    'a\u0000@b.test',
    'a@b.test\u000b',
    'a\u200b@b.test',
    '=?utf-8?Q?a=40b.test?=',
    'Boss [<ceo@bank.test>] <a@b.test>',
    '[EXT] <a@b.test>',
    'Boss] <a@b.test>',
    'Boss) <a@b.test>',
    'a@b.test (x \\) <ceo@bank.test>)',
    'a@b.test (ceo@bank.test)',
    'a@b(c).test',
    'a@b(c)c.test (Boss)',
    'a(c)@b.test',
    'a@b(c).test <a@b.test>',
    '=?utf-8?B?Y2VvQGJhbmsudGVzdA==?=@b.test',
    '<=?utf-8?Q?ceo=40bank.test?=@b.test>',
    '=?utf-8?Q?a"b?= <a@b.test>',
    '=?utf-8?Q?open <a@b.test>',
    '=?utf-8?Q?ceo=40bank.test,?= <a@b.test>',
    '"Boss, =?utf-8?Q?b" x?= <a@b.test>',
    '"a@b.test" x@b.test <x@b.test>',
    '\u00a0a@b.test',
    'a@b\u00ad.test',
    'a@ｂ.test',
    'a@b。test',
    'a@\u212a.test',
    'a@bu\u0308cher.test',
    'a@xn--acme-.test',
    'a@bücher.te/st',
    'a\u202e@b.test',
  ];
  for (const value of ambiguous) {
    it(`are ambiguous: ${JSON.stringify(value)}`, () => assert.notEqual(parseAddressList(value).ambiguity, null));
  }

  it('come out of their own written form unchanged', () => {
    for (const name of ['Ann', 'Dyke, Ann', 'a "b" \\c', 'x <e@evil.test>', 'J. Public', 'Jörg', 'a;b:c(d)[e]']) {
      const mailbox = { name, address: 'a@b.test' };
      assert.deepEqual(parseAddressList(formatMailbox(mailbox)).mailboxes, [mailbox]);
    }
  });

  it('of a megabyte are read within seconds', () => {
    for (const value of [
      'a@b.test,'.repeat(110_000),
      '('.repeat(1_000_000),
      '"\\'.repeat(500_000),
      '<'.repeat(1_000_000),
    ]) {
      const took = countCpu();
      parseAddressList(value);
      // What is quadratic takes many minutes.
      assert.ok(took() < 20_000, `${value.slice(0, 9)}… took ${took()} ms`);
    }
  });
});

describe('encoded words', () => {
  const words: readonly (readonly [text: string, decoded: string])[] = [
    ['plain', 'plain'],
    ['=?utf-8?Q?caf=C3=A9_au_lait?=', 'café au lait'],
    ['=?UTF-8?b?Y2Fmw6k=?=', 'café'],
    ['before =?iso-8859-1?q?=E9?= after', 'before é after'],
    ['=?utf-8?Q?one?= =?utf-8?Q?two?=', 'onetwo'],
    ['=?utf-8?Q?one?=\t=?iso-8859-1?B?6Q==?= three', 'oneé three'],
    // A character's bytes are split over two words, which RFC 2047 forbids and clients do.
    ['=?utf-8?Q?caf=C3?= =?utf-8?Q?=A9?=', 'café'],
    ['=?utf-8?B?Y2Fmww==?= =?utf-8?B?qQ==?=', 'café'],
    ['=?ISO-2022-JP?B?GyRCRnxLXBsoQg==?=', '日本'],
    ['=?Shift_JIS?B?k/qWew==?=', '日本'],
    ['=?GB18030?B?xOO6ww==?=', '你好'],
    ['=?EUC-KR?B?sKGzqg==?=', '가나'],
    ['=?KOI8-R?B?8NLJ18XU?=', 'Привет'],
    ['=?windows-1251?B?z/Do4uXy?=', 'Привет'],
    ['=?us-ascii*en?Q?language?=', 'language'],
    ['=?iso-8859-1*fr?Q?=E9?=', 'é'],
    // Characters that should be encoded stand for themselves, or for bytes where the field is no UTF-8.
    ['=?utf-8?Q?café_=C3=A9?=', 'café é'],
    ['=?utf-8?Q?日本=E6=97=A5?=', '日本日'],
    ['=?koi8-r?Q?\u00f0\u00d2?=', 'Пр'],
    ['=?utf-8?Q?caf\u00c3\u00a9?=', 'café'],
    ['=?iso-8859-1?Q?=E9 é?=', 'é é'],
    ['=?utf-7?Q?+AOk-?=', 'é'],
    ['=?iso-2022-kr?B?GyQpQw4+SDNnDw==?=', '안녕'],
    ['=?_iso-2022-jp$ESC?B?GyRCRnxLXBsoQg==?=', '日本'],
    // As Python's email.header names them.
    ['=?big5_tw?b?p0Gmbg==?=', '你好'],
    ['=?eucgb2312_cn?b?xOO6ww==?=', '你好'],
    // What nobody knows is UTF-8 where it is, else windows-1252.
    ['=?x-klingon?Q?caf=C3=A9?=', 'café'],
    ['=?us-ascii?Q?=93caf=E9=94?=', '“café”'],
    ['=?x-klingon?B?k2NhZumU?=', '“café”'],
    ['=?utf-8?Q?not closed', '=?utf-8?Q?not closed'],
    ['1 =? 2 ?= 3', '1 =? 2 ?= 3'],
    ['=?utf-8?Q?a=0D=0ABcc:_e=40evil.test?=', 'a Bcc: e@evil.test'],
  ];
  for (const [text, decoded] of words) {
    it(`are decoded: ${text}`, () => assert.equal(decodeHeaderText(text), decoded));
  }

  it('with half a surrogate pair come out as text that Postgres can store', () => {
    assert.equal(decodeHeaderText('a =?utf-16be?B?2AA=?='), 'a \ufffd');
  });
});
