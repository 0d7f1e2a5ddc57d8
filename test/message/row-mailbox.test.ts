import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { parseAddressList } from '../../src/message/addresses/address-list.ts';
import { rowMailbox } from '../../src/message/header/encoded-words.ts';

const ADDRESS = 'Hello@acme.test';

describe('a mailbox for OpenSend’s worker', () => {
  for (const [name, expected] of [
    [null, ADDRESS],
    ['', ADDRESS],
    ['Acme', `Acme <${ADDRESS}>`],
    ['Acme, Inc. "EU"', `"Acme, Inc. \\"EU\\"" <${ADDRESS}>`],
    ['Jörg Müller', `=?UTF-8?B?SsO2cmcgTcO8bGxlcg==?= <${ADDRESS}>`],
    ['Café Deutschland', `=?UTF-8?Q?Caf=C3=A9_Deutschland?= <${ADDRESS}>`],
    ['日本', `=?UTF-8?B?5pel5pys?= <${ADDRESS}>`],
    ['ann@other.test', `=?UTF-8?Q?ann=40other=2Etest?= <${ADDRESS}>`],
    ['=?utf-8?Q?x?=', `=?UTF-8?B?PT91dGYtOD9RP3g/PQ==?= <${ADDRESS}>`],
  ] as const) {
    it(`with the name ${JSON.stringify(name)} is ${expected}`, () => {
      assert.equal(rowMailbox({ name, address: 'Hello@ACME.Test' }), expected);
    });
  }

  it('is ASCII of at most 512 characters, in encoded words of at most 75, and says the same', () => {
    for (const name of [
      'é'.repeat(100),
      '🙂'.repeat(497),
      '日本語'.repeat(200),
      `${'x'.repeat(480)}é`,
      'a@'.repeat(250),
      'x'.repeat(5_000),
      '"'.repeat(400),
      ' é \u{1f469}\u200d\u{1f680}'.repeat(60),
    ]) {
      const text = rowMailbox({ name, address: ADDRESS });
      assert.match(text, /^[ -~]{1,512}$/);
      for (const word of text.match(/=\?\S+/g) ?? []) assert.ok(word.length <= 75, word);
      const { mailboxes, ambiguity } = parseAddressList(text);
      assert.deepEqual([ambiguity, mailboxes.length, mailboxes[0]?.address], [null, 1, ADDRESS]);
      assert.ok(mailboxes[0]?.name && name.trim().startsWith(mailboxes[0].name), mailboxes[0]?.name ?? 'no name');
    }
  });
});
