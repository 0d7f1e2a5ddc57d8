import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { readHeaderFields } from '../../src/message/header/fields.ts';
import { readParts } from '../../src/message/mime/parts.ts';
import { readSinglePart } from '../../src/message/mime/read-message.ts';
import { base64Lines, mail, multipart } from '../support/mail.ts';
import { PARTS_OPTIONS } from './read-parts.ts';

const bytes = (hex: string) => Buffer.from(hex, 'hex');
const quick = (raw: Buffer) => readSinglePart(raw, readHeaderFields(raw, 1_048_576));

const TYPES = [
  'X: no type',
  'Content-Type:',
  'Content-Type: text/plain',
  'CONTENT-TYPE: TEXT/HTML; CHARSET="UTF-8"',
  'Content-Type : text/html (a comment); charset=(c)utf-8',
  'Content-Type: text/plain; charset=us-ascii; name=body.txt',
  'Content-Type: text/plain; charset=iso-8859-1; format=flowed',
  'Content-Type: text/plain; charset=windows-1252',
  'Content-Type: text/plain; charset=x-unknown',
  "Content-Type: text/html; charset*=utf-8''iso-8859-2",
  'Content-Type: text/plain;\r\n\tcharset=ISO-2022-JP',
  'Content-Type: text/plain; charset=shift_jis',
  'Content-Type: text/plain; charset=utf-16le',
  'Content-Type: text/plain; charset=utf-7',
];

const ENCODINGS = [
  'X: no encoding',
  'Content-Transfer-Encoding: 7bit',
  'Content-Transfer-Encoding: 8BIT',
  'Content-Transfer-Encoding: quoted-printable',
  'content-transfer-encoding: BASE64',
];

const BODIES: readonly (readonly (string | Buffer)[])[] = [
  [],
  [''],
  ['plain'],
  ['', '  lead', 'trail  ', '\ttab', '', ''],
  ['> quoted ', 'soft ', '-- ', 'sig'],
  ['é 日本 🙂'],
  [bytes('636166e920938094')],
  [bytes('1b2442467c4b5c1b2842')],
  ['a =', 'b=20', 'c  ', '=3D=C3=A9=E9=', '=zz =4', 'end='],
  ['=', '=', '==', '= ', '=0', '=0A=0D=0D=0A'],
  [base64Lines(Buffer.from('Grüße\r\n'.repeat(20)))],
  [base64Lines(Buffer.from('né', 'utf16le'))],
  ['Zm9v', '', 'YmFy'],
  ['Zm9vYg==', 'YmFy'],
  ['Zm9vYg'],
  ['Zm9v YmFy', 'not base64 at all!'],
  ['--b', 'Content-Type: text/html', '', 'x', '--b--'],
];

describe('the quick way through a message of one text', () => {
  for (const type of TYPES) {
    it(`gives what mailparser gives: ${type}`, async () => {
      let taken = 0;
      for (const encoding of ENCODINGS) {
        for (const body of BODIES) {
          const raw = mail('Subject: x', type, encoding, '', ...body);
          for (const message of [raw, raw.subarray(0, -2)]) {
            const parts = quick(message);
            if (parts === null) continue;
            taken += 1;
            assert.deepEqual(
              parts,
              await readParts(message, PARTS_OPTIONS),
              JSON.stringify(message.toString('latin1')),
            );
          }
        }
      }
      assert.ok(taken > 100, `it was taken only ${taken} times`);
    });
  }

  for (const [what, raw] of [
    ['a multipart', multipart('mixed', mail('', 'x'))],
    ['an attachment', mail('Content-Type: text/plain', 'Content-Disposition: attachment', '', 'x')],
    ['another type', mail('Content-Type: text/calendar', '', 'x')],
    ['no valid type', mail('Content-Type: garbage', '', 'x')],
    ['two types', mail('Content-Type: text/plain', 'Content-Type: text/html', '', 'x')],
    ['two encodings', mail('Content-Transfer-Encoding: 7bit', 'Content-Transfer-Encoding: base64', '', 'eA==')],
    ['an encoding of its own', mail('Content-Transfer-Encoding: x-uuencode', '', 'x')],
    ['Base64 that readers differ about', mail('Content-Transfer-Encoding: base64', '', 'Zm9vYg==', 'YmFy')],
  ] as const) {
    it(`is not taken for ${what}`, () => assert.equal(quick(raw), null));
  }
});
