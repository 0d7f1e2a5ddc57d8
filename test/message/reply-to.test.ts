import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { readReplyTo } from '../../src/message/addresses/originators.ts';
import { readHeaderFields } from '../../src/message/header/fields.ts';
import { countCpu } from '../support/cpu.ts';
import { mail } from '../support/mail.ts';

function read(...values: readonly string[]) {
  const fields = readHeaderFields(mail(...values.map(value => `Reply-To: ${value}`), ''), 4_000_000);
  const { mailboxes, isUnreadable } = readReplyTo(fields);
  return isUnreadable ? null : mailboxes.map(({ name, address }) => (name ? `${name} <${address}>` : address));
}

const HELP = 'help@acme.test';
const ACME = `Acme Support <${HELP}>`;
const word = (text: string) => `=?utf-8?B?${Buffer.from(text).toString('base64')}?=`;

describe('Reply-To is read as a person would:', () => {
  for (const [value, expected] of [
    [ACME, [ACME]],
    [`Acme Support ${HELP}`, [ACME]],
    [`"Acme Support" ${HELP}`, [ACME]],
    [`Acme Support (${HELP})`, [ACME]],
    [`${HELP} Acme Support`, [ACME]],
    [`'Acme Support' '${HELP}'`, [ACME]],
    [`'${HELP}'`, [HELP]],
    [`"${HELP}"`, [HELP]],
    [`<'${HELP}'>`, [HELP]],
    [`<<${HELP}>>`, [HELP]],
    [`${HELP}.`, [HELP]],
    [`${HELP},`, [HELP]],
    [`<${HELP}>,`, [HELP]],
    [`<${HELP}`, [HELP]],
    [`mailto:${HELP}`, [HELP]],
    [`<mailto:${HELP}?subject=Hi>`, [HELP]],
    [`Acme Support <MAILTO:${HELP}>`, [ACME]],
    ['help @ acme.test', [HELP]],
    [`${HELP};a@x.test`, [HELP, 'a@x.test']],
    [`${HELP} a@x.test`, [HELP, 'a@x.test']],
    [`Acme, Inc. <${HELP}>`, [`Acme, Inc. <${HELP}>`]],
    [`Acme: ${HELP}`, [`Acme <${HELP}>`]],
    [`other@x.test <${HELP}>`, [`other@x.test <${HELP}>`]],
    [word(HELP), [HELP]],
    [word(ACME), [ACME]],
    [word(`Jörg ${HELP}`), [`Jörg <${HELP}>`]],
    [`${word('help')}@acme.test`, [`${word('help')}@acme.test`]],
    [`Acme <${word(HELP)}>`, [`Acme <${HELP}>`]],
    [`Acme <${HELP}> (night only)`, [`Acme <${HELP}>`]],
    ['help@bücher.test', ['help@xn--bcher-kva.test']],
    ['', []],
    ['<>', []],
    ['""', []],
    ['nobody:;', []],
  ] as const) {
    it(value || 'nothing', () => assert.deepEqual(read(value), expected));
  }

  it('several fields', () => assert.deepEqual(read(HELP, `'a@x.test'`), [HELP, 'a@x.test']));

  for (const value of [
    'help',
    'help at acme.test',
    '@',
    '@acme.test',
    'help@',
    'a@b@c.test',
    `${HELP}, x@@y`,
    '<Acme Support>',
  ]) {
    it(`not at all: ${value}`, () => assert.equal(read(value), null));
  }

  it('in time, whatever the client sends', () => {
    for (const part of ['<', '<@', '"', '@', ' ', ' @', ',', ';a', '.', '\\', '(', 'a@b.test ', '<a@b.test>', '=?']) {
      const took = countCpu();
      read(`${part.repeat(100_000)}x@y`);
      assert.ok(took() < 5_000, `${part}: ${took()} ms`);
    }
  });
});
