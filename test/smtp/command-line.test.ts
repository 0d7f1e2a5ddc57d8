import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { parsePathCommand } from '../../src/smtp/protocol/commands.ts';

const mail = (text: string) => parsePathCommand('MAIL FROM', `MAIL FROM:${text}`);
const rcpt = (text: string) => parsePathCommand('RCPT TO', `RCPT TO:${text}`);

describe('parsePathCommand', () => {
  it('reads a path without parameters', () => {
    assert.deepEqual(mail('<a@acme.test>'), { address: 'a@acme.test', args: false });
    assert.deepEqual(rcpt('<a@acme.test>'), { address: 'a@acme.test', args: false });
  });

  it('reads the null reverse-path for MAIL only', () => {
    assert.deepEqual(mail('<>'), { address: '', args: false });
    assert.equal(rcpt('<>'), null);
  });

  it('takes the keyword in any case and spacing', () => {
    for (const line of ['mail from:<a@b.test>', 'MAIL  From :<a@b.test>', ' MAIL FROM:\t<a@b.test> ']) {
      assert.equal(parsePathCommand('MAIL FROM', line)?.address, 'a@b.test', line);
    }
    for (const line of [
      'MAIL TO:<a@b.test>',
      'MAILFROM:<a@b.test>',
      'MAIL FROM <a@b.test>',
      'X MAIL FROM:<a@b.test>',
    ]) {
      assert.equal(parsePathCommand('MAIL FROM', line), null, line);
    }
  });

  it('takes a path without angle brackets', () => {
    assert.deepEqual(mail(' a@b.test SIZE=1'), { address: 'a@b.test', args: { SIZE: '1' } });
    assert.equal(mail(''), null);
    assert.equal(mail('   '), null);
  });

  it('finds the end of a path behind quoted brackets', () => {
    assert.deepEqual(mail('<"a>b"@c.test> SIZE=1'), { address: '"a>b"@c.test', args: { SIZE: '1' } });
    assert.deepEqual(mail('<"a\\">b"@c.test>'), { address: '"a\\">b"@c.test', args: false });
    assert.equal(mail('<"a>b@c.test>'), null);
  });

  it('drops a source route', () => {
    assert.equal(mail('<@x.test,@y.test:a@b.test>')?.address, 'a@b.test');
  });

  it('keeps domains as A-labels', () => {
    assert.equal(rcpt('<a@bücher.example>')?.address, 'a@xn--bcher-kva.example');
    assert.equal(rcpt('<a@xn--bcher-kva.example>')?.address, 'a@xn--bcher-kva.example');
  });

  it('reads parameters by upper-case keyword', () => {
    assert.deepEqual(mail('<> size=10  SMTPUTF8 body=8BITMIME')?.args, {
      SIZE: '10',
      SMTPUTF8: true,
      BODY: '8BITMIME',
    });
    assert.deepEqual(mail('<> AUTH=<>')?.args, { AUTH: '<>' });
  });

  it('names a keyword that is given twice', () => {
    assert.equal(mail('<> SIZE=1 size=2')?.duplicate, 'SIZE');
    assert.equal(mail('<> SIZE=1')?.duplicate, undefined);
  });

  it('knows no keyword of JavaScript', () => {
    assert.deepEqual(mail('<> constructor=1 toString')?.args, { CONSTRUCTOR: '1', TOSTRING: true });
    assert.equal(mail('<> __proto__=1'), null);
  });

  it('refuses what is no parameter', () => {
    for (const bad of ['=1', 'SIZE=1=2', '-X', 'A\x01=1', 'X=ü', 'a,b']) assert.equal(mail(`<> ${bad}`), null, bad);
    assert.equal(mail('<>SIZE=1'), null);
  });
});
