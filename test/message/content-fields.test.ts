import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { mendedContentType, mendedDisposition, readContentFields } from '../../src/message/mime/content-fields.ts';
import { countCpu } from '../support/cpu.ts';
import { Random } from '../support/random-mail.ts';

describe('content fields', () => {
  for (const type of [
    'text/plain',
    'TEXT/Plain; Charset="utf-8"; format=flowed',
    'text/plain; charset=utf-8;',
    '(a (b)) text/html (c) ; (d) charset = utf-8 (e)',
    'multipart/mixed; boundary="----=_Part;1 \\" x"',
    'application/pdf; name="Größe.pdf"',
    'application/pdf; name*0*=utf-8\'\'Gr%C3%B6; name*1="ße.pdf"',
  ]) {
    it(`are of their form: ${type}`, () => assert.equal(readContentFields(type, undefined).unreadable, null));
  }

  for (const type of [
    '',
    'text',
    'text/',
    'text/plain charset=utf-8',
    'text/plain; charset',
    'text/plain; charset=',
    'text/plain; name=my file.txt',
    'text/plain; name="a',
    'text/plain; name=a=b',
    'text/plain; name=Größe.txt',
    'text/plain (c',
  ]) {
    it(`are not of their form: ${type}`, () => {
      assert.equal(readContentFields(type, undefined).unreadable, 'Content-Type');
    });
  }

  it('name files in each of the two, decoded', () => {
    const { fileNames, unreadable } = readContentFields(
      'text/plain; name="=?utf-8?Q?Gr=C3=B6=C3=9Fe.js?="',
      "inline; filename*0*=utf-8''a%2E; filename*1=exe",
    );
    assert.deepEqual([...fileNames].sort(), ['Größe.js', 'a.exe'].sort());
    assert.equal(unreadable, null);
    assert.equal(readContentFields(undefined, 'filename=x').unreadable, 'Content-Disposition');
  });

  for (const [type, anew] of Object.entries({
    'text/plain charset=utf-8': 'text/plain; charset=utf-8',
    'text/plain, text/html': 'text/plain',
    'text/html;charset=utf-8;name="a': 'text/html;charset=utf-8; name="a"',
    '"text/html"; charset=utf-8': 'text/html; charset=utf-8',
    'text/plain; charset': 'text/plain',
    'text/plain; charset=; format=flowed': 'text/plain; format=flowed',
    'text/plain; charset=utf-8 (c': 'text/plain; charset="utf-8"',
    'application/pdf; name=my file (1).pdf': 'application/pdf; name="my file (1).pdf"',
    'application/pdf; name==?utf-8?Q?a=3Bb?=; x=1': 'application/pdf; name="=?utf-8?Q?a=3Bb?="; x=1',
    'application/pdf; name=my "best" file; x=1': 'application/pdf; name="my \\"best\\" file"; x=1',
    'multipart/mixed; boundary=----=_b/1:2': 'multipart/mixed; boundary="----=_b/1:2"',
    'multipart; boundary=b': 'multipart/mixed; boundary=b',
    'pdf; name=a b': 'application/octet-stream; name="a b"',
    'text/ü; charset=x': 'text/plain',
  })) {
    it(`are written as what they mean: ${type}`, () => {
      assert.equal(mendedContentType(type, undefined), anew);
      assert.equal(readContentFields(anew, undefined).unreadable, null);
    });
  }

  for (const [disposition, anew] of Object.entries({
    '': 'inline',
    'filename=a.pdf': 'attachment; filename=a.pdf',
    'attachment filename=a b.pdf': 'attachment; filename="a b.pdf"',
    '"attachment"; filename=a.pdf': 'attachment; filename=a.pdf',
    'attachment; filename=Größe.pdf': 'attachment; filename="Größe.pdf"',
    'attachment; filename="a"b.pdf"': 'attachment; filename="a\\"b.pdf"',
    'inline, attachment': 'inline',
    '=?': 'inline',
  })) {
    it(`are written as what they mean, where they are a disposition: ${disposition}`, () => {
      assert.equal(mendedDisposition(disposition), anew);
      assert.equal(readContentFields(undefined, anew).unreadable, null);
    });
  }

  it('are of their form once they are mended, whatever they were', () => {
    const pieces = [
      'text',
      '/',
      'html',
      ';',
      ' ',
      '=',
      '"',
      '(',
      ')',
      '\\',
      ',',
      'name',
      'boundary',
      'é',
      'a',
      '=?x?=',
    ];
    const random = new Random(7);
    for (let count = 0; count < 20_000; count += 1) {
      const value = Array.from({ length: random.upTo(9) }, () => random.pick(pieces))
        .join('')
        .trim();
      const type = mendedContentType(value, undefined) ?? value;
      const disposition = mendedDisposition(value) ?? value;
      assert.equal(readContentFields(type, disposition).unreadable, null, `${value}: ${type}, ${disposition}`);
    }
  });

  it('are read in time, whatever the client sends', () => {
    for (const part of ['(', ';', '; a=b', '"', 'a/', '((a)', '; a="\\', ' ', '; name=a']) {
      const took = countCpu();
      const [type, disposition] = [`text/plain${part.repeat(100_000)}`, part.repeat(100_000)];
      readContentFields(type, disposition);
      mendedContentType(type, disposition);
      mendedDisposition(disposition);
      assert.ok(took() < 2_000, `${part}: ${took()} ms`);
    }
  });
});
