import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { plainAddresses, unreadableAddresses } from '../../src/message/header/sent-fields.ts';
import { countCpu } from '../support/cpu.ts';

describe('address fields that every server reads', () => {
  for (const value of [
    'bob@example.com',
    '<bob@example.com>',
    'Bob <bob@example.com>, "Doe, J." <j@example.com>,\ta.b+c@EXAMPLE.org',
    '=?utf-8?Q?J=C3=B6rg?= <j@xn--bcher-kva.example>',
    'J. Doe (at (my) "home") <j@example.com>, j@example.com (me@x.test)',
    'Jo [Sales] <jo@example.com>',
    'undisclosed-recipients:;',
    'Us: a@example.com, B <b@example.com>;, c@example.com',
    '',
  ]) {
    it(`stay as they are: ${value}`, () => assert.equal(plainAddresses(value), value));
  }

  for (const [value, plain] of [
    ['Jörg <j@example.com>', '=?UTF-8?B?SsO2cmc=?=\r\n <j@example.com>'],
    ['bob@bücher.example', 'bob@xn--bcher-kva.example'],
    ['A <a@example.com>, b@bücher.example', 'A <a@example.com>,\r\n b@xn--bcher-kva.example'],
    ['bob@example.com <bob@example.com>', '"bob@example.com" <bob@example.com>'],
    ['Größe: a@example.com, b@example.com;', 'a@example.com,\r\n b@example.com'],
    ['Größe:;', 'undisclosed-recipients:;'],
    ['"a b"@example.com', '"a b"@example.com'],
  ] as const) {
    it(`are written anew: ${value}`, () => assert.equal(plainAddresses(value), plain));
  }

  for (const value of [
    'jörg@example.com',
    'Bob',
    'Acme, Inc. <h@acme.test>',
    '<a <b@x.test>',
    '=?utf-8?B?YQ==?=@x.test',
  ]) {
    it(`cannot be had of ${value}`, () => {
      assert.equal(plainAddresses(value), null);
      assert.ok(unreadableAddresses('reply-to', value));
      assert.equal(unreadableAddresses('subject', value), null);
    });
  }

  it('have no line that is too long, and every character whole', () => {
    const name = '😀ü '.repeat(300).trim();
    const plain = plainAddresses(`${name} <a@example.com>`) ?? '';
    assert.ok(
      plain.split('\r\n').every(line => line.length <= 78),
      plain,
    );
    assert.doesNotMatch(plain, /=F0(?!=9F=98=80)/);
    const long = `"${'Very Long, '.repeat(200)}" <a@bücher.example>`;
    assert.ok((plainAddresses(long) ?? '').split('\r\n').every(line => line.length <= 78));
  });

  it('are found in time, whatever the client sends', () => {
    for (const value of ['(', '"', 'a ', 'a@b,', '[', 'a:', '((a)', '"a\\', '<a@', 'ü <a@b.c>,'].map(part =>
      part.repeat(Math.ceil(250_000 / part.length)),
    )) {
      const took = countCpu();
      plainAddresses(value);
      assert.ok(took() < 1_000, `${value.slice(0, 10)}: ${took()} ms`);
    }
  });
});
