import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Refusal } from '../../src/message/refusal.ts';
import { readPassword } from '../../src/smtp/protocol/auth.ts';

const base64 = (text: string) => Buffer.from(text).toString('base64');

/** Goes through the whole exchange, of which `lines` are the client's part. */
async function exchange(command: string, ...lines: string[]) {
  const challenges: string[] = [];
  const ask = async (challenge: string): Promise<string> => {
    challenges.push(Buffer.from(challenge, 'base64').toString());
    return lines.shift() ?? assert.fail('asked once too often');
  };
  const result = await readPassword(command, ask);
  assert.deepEqual(lines, [], 'not asked for all');
  return { result, challenges };
}

async function passwordOf(command: string, ...lines: string[]): Promise<string> {
  return (await exchange(command, ...lines)).result;
}

async function replyTo(command: string): Promise<string> {
  const refusal = await exchange(command).catch(error => error);
  assert.ok(refusal instanceof Refusal, 'it was taken');
  return `${refusal.code} ${refusal.enhancedCode} ${refusal.message}`;
}

const CANCELLED = { code: 501, enhancedCode: '5.7.0' };
const MALFORMED = { code: 501, enhancedCode: '5.5.2' };

describe('readPassword', () => {
  it('knows no other mechanism', async () => {
    for (const name of ['CRAM-MD5', 'XOAUTH2', 'PLAINS', 'toString']) {
      assert.match(await replyTo(`AUTH ${name} AA==`), /^504 5\.5\.4 Unknown mechanism/);
    }
  });

  it('takes a mechanism and at most one response', async () => {
    for (const command of ['AUTH', 'AUTH ', `AUTH PLAIN ${base64('\0a\0b')} x`]) {
      assert.match(await replyTo(command), /^501 5\.5\.4 Syntax/);
    }
  });

  it('PLAIN: with and without an initial response', async () => {
    for (const mechanism of ['PLAIN', 'plain', 'Plain']) {
      assert.equal(await passwordOf(`AUTH ${mechanism} ${base64('\0user\0secret')}`), 'secret');
      assert.equal(await passwordOf(`auth ${mechanism}`, base64('\0user\0secret')), 'secret');
    }
    assert.deepEqual((await exchange('AUTH PLAIN', base64('\0user\0secret'))).challenges, ['']);
  });

  it('PLAIN: user and authorisation names do not matter, the password is kept as it is', async () => {
    assert.equal(await passwordOf(`AUTH PLAIN ${base64('\0\0 pass word ')}`), ' pass word ');
    assert.equal(await passwordOf(`AUTH PLAIN ${base64('admin\0user\0pässwörd')}`), 'pässwörd');
    assert.equal(await passwordOf(`AUTH PLAIN ${base64('\0\0')}`), '');
  });

  it('PLAIN: three fields, no more, no less', async () => {
    for (const text of ['', 'a', 'a\0b', 'a\0b\0c\0d']) {
      await assert.rejects(exchange('AUTH PLAIN', base64(text)), MALFORMED, JSON.stringify(text));
    }
    await assert.rejects(exchange('AUTH PLAIN ='), MALFORMED);
  });

  it('LOGIN: prompts as every client knows them', async () => {
    const { challenges, result } = await exchange('AUTH login', base64('user'), base64('secret'));
    assert.deepEqual(challenges, ['Username:', 'Password:']);
    assert.deepEqual(result, 'secret');
  });

  it('LOGIN: with the user name as initial response, which may be empty', async () => {
    assert.equal(await passwordOf(`AUTH LOGIN ${base64('user')}`, base64('secret')), 'secret');
    assert.equal(await passwordOf('AUTH LOGIN =', base64('secret')), 'secret');
    assert.equal(await passwordOf('AUTH LOGIN', '', base64('secret')), 'secret');
  });

  it('is cancelled by *, at every step', async () => {
    for (const [command, ...lines] of [
      ['AUTH PLAIN *'],
      ['AUTH PLAIN', ' * '],
      ['AUTH LOGIN', '*'],
      [`AUTH LOGIN ${base64('user')}`, '*'],
    ] as const) {
      await assert.rejects(exchange(command, ...lines), CANCELLED);
    }
  });

  it('takes nothing but Base64', async () => {
    for (const bad of ['a', 'ab', 'abc', 'a===', 'ab=c', '====', 'ab-_', 'Zm9v!', '**', 'Zm9vYg', 'Zm9v\0']) {
      await assert.rejects(exchange('AUTH LOGIN', bad), MALFORMED, bad);
      await assert.rejects(exchange('AUTH LOGIN eA==', bad), MALFORMED, bad);
      await assert.rejects(exchange(`AUTH PLAIN ${bad}`), MALFORMED, bad);
    }
    await assert.rejects(exchange('AUTH PLAIN', 'ab cd'), MALFORMED);
  });
});
