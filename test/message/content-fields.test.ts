import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { readContentFields } from '../../src/message/content-fields.ts';
import { countCpu } from '../support/cpu.ts';

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

  it('are read in time, whatever the client sends', () => {
    for (const part of ['(', ';', '; a=b', '"', 'a/', '((a)', '; a="\\', ' ', '; name=a']) {
      const took = countCpu();
      readContentFields(`text/plain${part.repeat(100_000)}`, part.repeat(100_000));
      assert.ok(took() < 2_000, `${part}: ${took()} ms`);
    }
  });
});
