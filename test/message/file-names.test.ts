import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { mail } from '../support/mail.ts';
import { read } from './read-parts.ts';

async function filenameOf(...lines: readonly (string | Buffer)[]): Promise<string | undefined> {
  const { attachments } = await read(mail('Content-Type: application/pdf', ...lines, '', 'x'));
  return attachments[0]?.filename;
}

describe('file names', () => {
  const names: readonly (readonly [what: string, field: string | Buffer, name: string])[] = [
    ['a token', 'Content-Disposition: attachment; filename=a.pdf', 'a.pdf'],
    [
      'quoted, with all that quotes allow',
      'Content-Disposition: attachment; filename="a; \\"b\\" (1).pdf"',
      'a; "b" (1).pdf',
    ],
    ['folded', 'Content-Disposition: attachment;\r\n\tfilename="a b.pdf"', 'a b.pdf'],
    ['raw UTF-8', 'Content-Disposition: attachment; filename="résumé.pdf"', 'résumé.pdf'],
    [
      'raw Latin-1',
      Buffer.from('Content-Disposition: attachment; filename="r\xe9sum\xe9.pdf"', 'latin1'),
      'résumé.pdf',
    ],
    ['encoded words', 'Content-Disposition: attachment; filename="=?utf-8?Q?r=C3=A9sum=C3=A9.pdf?="', 'résumé.pdf'],
    [
      'encoded words, split',
      'Content-Disposition: attachment; filename="=?utf-8?B?5pel?=\r\n =?utf-8?B?5pys?=.pdf"',
      '日本.pdf',
    ],
    [
      'encoded words in ISO-2022-JP',
      'Content-Disposition: attachment; filename="=?ISO-2022-JP?B?GyRCRnxLXBsoQi5wZGY=?="',
      '日本.pdf',
    ],
    ['RFC 2231', "Content-Disposition: attachment; filename*=UTF-8''r%C3%A9sum%C3%A9.pdf", 'résumé.pdf'],
    [
      'RFC 2231 with a language',
      "Content-Disposition: attachment; filename*=iso-8859-1'fr'r%E9sum%E9.pdf",
      'résumé.pdf',
    ],
    ['RFC 2231 in Shift_JIS', "Content-Disposition: attachment; filename*=shift_jis''%93%FA%96%7B.pdf", '日本.pdf'],
    [
      'RFC 2231 continued',
      'Content-Disposition: attachment; filename*0="a "; filename*1="b"; filename*2=.pdf',
      'a b.pdf',
    ],
    [
      'RFC 2231 continued and encoded, in any order',
      "Content-Disposition: attachment; filename*1*=%E9; filename*0*=iso-8859-1'fr'r%E9sum; filename*2=.pdf",
      'résumé.pdf',
    ],
    [
      'RFC 2231, a character split over two continuations',
      "Content-Disposition: attachment; filename*0*=utf-8''caf%C3; filename*1*=%A9.pdf",
      'café.pdf',
    ],
    [
      'RFC 2231 before the plain one',
      "Content-Disposition: attachment; filename=fallback.pdf; filename*=utf-8''%C3%A9.pdf",
      'é.pdf',
    ],
    [
      'RFC 2231 decoded once',
      "Content-Disposition: attachment; filename*=utf-8''%3D%3Futf-8%3FQ%3Fa%3F%3D.pdf",
      '=?utf-8?Q?a?=.pdf',
    ],
    ['half a surrogate pair', 'Content-Disposition: attachment; filename="=?utf-16le?B?YQAA2GIA?="', 'a\ufffdb'],
  ];
  for (const [what, field, name] of names) {
    it(what, async () => assert.equal(await filenameOf(field), name));
  }

  it('may stand in Content-Type, where Content-Disposition has none', async () => {
    const { attachments } = await read(mail('Content-Type: application/pdf; name="=?utf-8?Q?=C3=A9.pdf?="', '', 'x'));
    assert.equal(attachments[0]?.filename, 'é.pdf');
    const continued = mail("Content-Type: application/pdf; name*0*=utf-8''%C3; name*1*=%A9.pdf", '', 'x');
    assert.equal((await read(continued)).attachments[0]?.filename, 'é.pdf');
  });
});
