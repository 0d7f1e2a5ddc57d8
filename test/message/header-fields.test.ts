import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { bodyOffset, fieldsNamed, firstValue, readHeaderFields } from '../../src/message/header/fields.ts';
import { mail } from '../support/mail.ts';

const LIMIT = 1_048_576;

function values(raw: Buffer): [string, string][] {
  return readHeaderFields(raw, LIMIT).map(({ name, value }) => [name, value]);
}

describe('header fields', () => {
  it('come in the order and case in which they were written', () => {
    assert.deepEqual(values(mail('X-b: 1', 'x-A: 2', 'X-B: 3', '', 'X-C: body')), [
      ['X-b', '1'],
      ['x-A', '2'],
      ['X-B', '3'],
    ]);
  });

  it('are unfolded: line breaks go, the white space behind them stays', () => {
    assert.deepEqual(values(mail('A: one', '\ttwo', '  three', 'B:', ' four', '')), [
      ['A', 'one\ttwo  three'],
      ['B', 'four'],
    ]);
  });

  it('may be empty, and may have colons', () => {
    assert.deepEqual(values(mail('A:', 'B: a:b: c', '')), [
      ['A', ''],
      ['B', 'a:b: c'],
    ]);
  });

  it('keep encoded words, and all white space but that of RFC 5322 at their ends', () => {
    assert.deepEqual(values(mail('A: \t=?utf-8?Q?=C3=A9?= \t', 'B: \u00a0b\u00a0', '')), [
      ['A', '=?utf-8?Q?=C3=A9?='],
      ['B', '\u00a0b\u00a0'],
    ]);
  });

  it('are read as UTF-8 where they are, else as Latin-1', () => {
    assert.deepEqual(values(mail('A: 日本', '')), [['A', '日本']]);
    assert.deepEqual(values(mail(Buffer.from('A: caf\xe9', 'latin1'), '')), [['A', 'café']]);
  });

  it('are read as UTF-8 whatever bytes the body has', () => {
    assert.deepEqual(values(mail('A: é', '', Buffer.of(0xe9))), [['A', 'é']]);
  });

  it('remember white space before the colon', () => {
    const [plain, spaced, tabbed] = readHeaderFields(mail('A: 1', 'B : 2', 'C\t: 3', ''), LIMIT);
    assert.deepEqual(
      [plain, spaced, tabbed].map(field => field?.spaceBeforeColon),
      [false, true, true],
    );
    assert.equal(spaced?.name, 'B');
  });

  it('go on behind a line that has nothing but white space', () => {
    assert.deepEqual(
      values(mail('A: 1', ' ', 'B: 2', '', 'body')).map(([name]) => name),
      ['A', 'B'],
    );
  });

  it('end with the first empty line, or with the message', () => {
    const raw = mail('A: 1', '', 'B: 2');
    assert.equal(bodyOffset(raw), 8);
    assert.equal(bodyOffset(Buffer.from('A: 1')), 4);
    assert.deepEqual(values(Buffer.from('A: 1')), [['A', '1']]);
  });

  it('may be none at all', () => {
    for (const raw of [Buffer.alloc(0), mail(''), mail('', 'A: body')]) assert.deepEqual(values(raw), []);
    assert.equal(bodyOffset(mail('', 'A: body')), 2);
  });

  for (const line of [
    'no colon',
    ': no name',
    'two words: x',
    ' folded: x',
    'ümlaut: x',
    'From a@b.test Mon 12:00:00',
  ]) {
    it(`of the form "${line}" refuse the message with 554 5.6.0`, () => {
      const refused = { code: 554, enhancedCode: '5.6.0', rule: 'header_syntax', message: /Header field 1 / };
      assert.throws(() => values(mail(line, '', 'body')), refused);
    });
  }

  it('may have no more bytes than the limit, the empty line counted', () => {
    const raw = mail('A: 1', '', 'a body that does not count');
    assert.equal(readHeaderFields(raw, 8).length, 1);
    assert.throws(() => readHeaderFields(raw, 7), { code: 552, enhancedCode: '5.3.4', rule: 'header_size' });
  });

  it('are found by name without regard to case', () => {
    const fields = readHeaderFields(mail('To: a', 'TO: b', 'Tox: c', ''), LIMIT);
    assert.deepEqual(
      fieldsNamed(fields, 'to').map(({ value }) => value),
      ['a', 'b'],
    );
    assert.equal(firstValue(fields, 'to'), 'a');
    assert.equal(firstValue(fields, 'cc'), undefined);
  });
});

describe('a field that is not UTF-8', () => {
  it('says nothing about the others', () => {
    const raw = Buffer.concat([
      Buffer.from('From: Jörg <a@müller.test>\r\nSubject: 日本\r\nX-Printer: caf'),
      Buffer.from([0xe9]),
      Buffer.from('\r\n und mehr\r\nTo: é@example.com\r\n\r\n'),
    ]);
    const values = readHeaderFields(raw, 1_000).map(({ value }) => value);
    assert.deepEqual(values, ['Jörg <a@müller.test>', '日本', 'café und mehr', 'é@example.com']);
  });
});
