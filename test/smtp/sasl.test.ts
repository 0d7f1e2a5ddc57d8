import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { beginSasl, type SaslStep } from '../../src/smtp/sasl.ts';

const base64 = (text: string) => Buffer.from(text).toString('base64');

/** Goes through the whole exchange. */
function exchange(mechanism: string, initialResponse: string | undefined, ...lines: string[]): SaslStep | null {
  let step = beginSasl(mechanism, initialResponse);
  for (const line of lines) {
    assert.ok(step && 'next' in step, 'a line too many');
    step = step.next(line);
  }
  return step;
}

const CANCELLED = { code: 501, enhancedCode: '5.7.0' };
const MALFORMED = { code: 501, enhancedCode: '5.5.2' };

describe('beginSasl', () => {
  it('knows no other mechanism', () => {
    for (const name of ['', 'CRAM-MD5', 'XOAUTH2', 'PLAINS', 'toString']) assert.equal(beginSasl(name, 'AA=='), null);
  });

  it('PLAIN: with and without an initial response', () => {
    for (const mechanism of ['PLAIN', 'plain', 'Plain']) {
      assert.deepEqual(exchange(mechanism, base64('\0user\0secret')), { password: 'secret' });
      assert.deepEqual(exchange(mechanism, undefined, base64('\0user\0secret')), { password: 'secret' });
    }
    assert.equal((beginSasl('PLAIN', undefined) as { challenge: string }).challenge, '');
  });

  it('PLAIN: user and authorisation names do not matter, the password is kept as it is', () => {
    assert.deepEqual(exchange('PLAIN', base64('\0\0 pass word ')), { password: ' pass word ' });
    assert.deepEqual(exchange('PLAIN', base64('admin\0user\0pässwörd')), { password: 'pässwörd' });
    assert.deepEqual(exchange('PLAIN', base64('\0\0')), { password: '' });
  });

  it('PLAIN: three fields, no more, no less', () => {
    for (const text of ['', 'a', 'a\0b', 'a\0b\0c\0d']) {
      assert.throws(() => exchange('PLAIN', undefined, base64(text)), MALFORMED, JSON.stringify(text));
    }
    assert.throws(() => exchange('PLAIN', '='), MALFORMED);
  });

  it('LOGIN: prompts as every client knows them', () => {
    const first = beginSasl('login', undefined) as { challenge: string };
    assert.equal(Buffer.from(first.challenge, 'base64').toString(), 'Username:');
    const second = exchange('LOGIN', undefined, base64('user')) as { challenge: string };
    assert.equal(Buffer.from(second.challenge, 'base64').toString(), 'Password:');
    assert.deepEqual(exchange('LOGIN', undefined, base64('user'), base64('secret')), { password: 'secret' });
  });

  it('LOGIN: with the user name as initial response, which may be empty', () => {
    assert.deepEqual(exchange('LOGIN', base64('user'), base64('secret')), { password: 'secret' });
    assert.deepEqual(exchange('LOGIN', '=', base64('secret')), { password: 'secret' });
    assert.deepEqual(exchange('LOGIN', undefined, '', base64('secret')), { password: 'secret' });
  });

  it('is cancelled by *, at every step', () => {
    assert.throws(() => exchange('PLAIN', '*'), CANCELLED);
    assert.throws(() => exchange('PLAIN', undefined, ' * '), CANCELLED);
    assert.throws(() => exchange('LOGIN', undefined, '*'), CANCELLED);
    assert.throws(() => exchange('LOGIN', base64('user'), '*'), CANCELLED);
  });

  it('takes nothing but Base64', () => {
    for (const bad of ['a', 'ab', 'abc', 'a===', 'ab=c', '====', 'ab cd', 'ab-_', 'Zm9v!', '**', 'Zm9vYg', 'Zm9v\0']) {
      assert.throws(() => exchange('LOGIN', undefined, bad), MALFORMED, bad);
      assert.throws(() => exchange('LOGIN', 'eA==', bad), MALFORMED, bad);
      assert.throws(() => exchange('PLAIN', bad), MALFORMED, bad);
    }
  });
});
