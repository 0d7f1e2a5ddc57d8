import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { fileName } from '../../src/message/mime/attachment-fields.ts';
import { countCpu } from '../support/cpu.ts';
import { mail, multipart } from '../support/mail.ts';
import { read } from './read-parts.ts';

async function attachment(...lines: readonly (string | Buffer)[]) {
  const file = mail('Content-Type: application/pdf', ...lines, '', 'x');
  return (await read(multipart('mixed', mail('', 'text'), file))).attachments[0];
}

describe('the name of a file', () => {
  const names: readonly (readonly [declared: string, name: string])[] = [
    ['../../etc/passwd', 'passwd'],
    ['C:\\x\\y', 'y'],
    ['\\\\server\\share\\report.pdf', 'report.pdf'],
    ['folder/', 'folder'],
    ['a/..', 'a'],
    ['  a b.pdf  ', 'a b.pdf'],
    ['a\r\nBcc: x@y.test.pdf', 'a Bcc: x@y.test.pdf'],
    ['a\u0085b\u2028c\u2029d\te\u009bf\u007fg.pdf', 'a b c d e f g.pdf'],
    ['invoice\u202efdp.exe', 'invoice fdp.exe'],
    ['a\u2066b\u2069.pdf', 'a b .pdf'],
    ['مستند\u200f.pdf', 'مستند\u200f.pdf'],
    ['"quoted"; x.pdf', '"quoted"; x.pdf'],
    ['..', ''],
    ['./', ''],
    ['\u0001', ''],
    ['', ''],
  ];
  for (const [declared, name] of names) {
    it(`of ${JSON.stringify(declared)} is ${JSON.stringify(name)}`, () => assert.equal(fileName(declared), name));
  }

  it('is shortened before its extension to 255 bytes, at the end of a character', () => {
    for (const long of [
      `${'é'.repeat(500)}.pdf`,
      `${'🙂'.repeat(500)}.pdf`,
      `x${'🙂'.repeat(63)}🙂.pdf`,
      `${'a'.repeat(5_000)}.pdf`,
    ]) {
      const name = fileName(long);
      assert.ok(Buffer.byteLength(name) <= 255 && Buffer.byteLength(name) > 245, name);
      assert.ok(name.endsWith('.pdf') && name.isWellFormed() && !name.includes('\ufffd'), name);
    }
    assert.equal(fileName('a'.repeat(300)).length, 255);
    assert.equal(fileName(`a.${'b'.repeat(300)}`).length, 255);
  });

  it('has no control character, however it is written', async () => {
    for (const field of [
      "Content-Disposition: attachment; filename*=utf-8''..%2F..%2Fa%0D%0AX-Evil%3A%201%C2%85%E2%80%A8.pdf",
      'Content-Disposition: attachment; filename="=?utf-8?Q?a=0D=0AX-Evil:_1=C2=85=E2=80=A8.pdf?="',
      "Content-Disposition: attachment; filename*0*=utf-8''a%0D%0A; filename*1*=X-Evil:%201.pdf",
    ]) {
      assert.match((await attachment(field))?.filename ?? '', /^a X-Evil: 1 ?\.pdf$/, field);
    }
  });

  it('that has nothing left is given', async () => {
    assert.equal(
      (await attachment("Content-Disposition: attachment; filename*=utf-8''%0D%0A"))?.filename,
      'attachment-1.pdf',
    );
    assert.equal((await attachment('Content-Disposition: attachment; filename=".."'))?.filename, 'attachment-1.pdf');
  });
});

describe('content_id', () => {
  const idOf = async (id: string, html: string | null) => {
    const image = mail('Content-Type: image/png; name=a.png', `Content-ID: ${id}`, '', 'x');
    const body = html === null ? mail('', 'text') : mail('Content-Type: text/html', '', html);
    return (await read(multipart('related', body, image))).attachments[0]?.content_id;
  };

  for (const [id, html] of [
    ['<logo@acme>', '<img src="cid:logo@acme">'],
    ['logo@acme', "<img src='cid:logo@acme'>"],
    ['<logo@acme>', '<img src=cid:logo@acme>'],
    ['<logo@acme>', '<img src="CID:logo@acme">'],
    ['<logo@acme>', '<img src="cid:logo%40acme">'],
    ['<logo@acme>', '<img src="cid:%3Clogo@acme%3E">'],
    ['<logo@acme>', '<img src="cid:<logo@acme>">'],
    ['<logo@acme>', '<p style="background: url(cid:logo@acme)">'],
    ['<logo@acme>', '<p style="background: url(&quot;cid:logo@acme&quot;)">'],
    ['<logo@acme>', '<img srcset="cid:other 1x, cid:logo@acme 2x">'],
    ['<a&b@acme>', '<img src="cid:a&amp;b@acme">'],
    ['<a(1).png@acme>', '<img src="cid:a(1).png@acme">'],
    ['<100%@acme>', '<img src="cid:100%@acme">'],
    ['<image001.png@01D9A1B2.C3D4E5F0>', '<img src="cid:image001.png@01D9A1B2.C3D4E5F0">'],
    ['<my logo.png>', '<img src="cid:my%20logo.png">'],
  ] as const) {
    it(`of ${id} is set for ${html}`, async () => {
      assert.equal(await idOf(id, html), id.replaceAll(/[<>]/g, ''));
    });
  }

  for (const [id, html] of [
    ['<f_lq8x2k0>', null],
    ['<f_lq8x2k0>', '<p>no link</p>'],
    ['<logo>', '<img src="cid:logo2">'],
    ['<logo2>', '<img src="cid:logo">'],
    ['<logo>', '<p>logo, acid:logo</p>'],
    ['<LOGO>', '<img src="cid:logo">'],
    ['<é@acme>', '<img src="cid:é@acme">'],
    ['<a\u0001b>', '<img src="cid:a%01b">'],
    ['=?utf-8?Q?a=0D=0Ab?=', '<img src="cid:a%0D%0Ab">'],
    [`<${'x'.repeat(900)}>`, `<img src="cid:${'x'.repeat(900)}">`],
    ['<>', '<img src="cid:">'],
  ] as const) {
    it(`of ${id.slice(0, 40)} is null for ${html?.slice(0, 40)}`, async () => assert.equal(await idOf(id, html), null));
  }

  it('of HTML that is all links takes no time to speak of', async () => {
    const took = countCpu();
    await idOf('<x>', 'cid:'.repeat(250_000));
    await idOf('<x>', '<a href="cid:<aa'.repeat(60_000));
    assert.ok(took() < 5_000);
  });
});
