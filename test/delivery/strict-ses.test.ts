import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { SendEmailRequest } from '../support/ses/mailbox.ts';
import { readAddresses } from '../support/ses/strict/addresses.ts';
import { refuseRequest } from '../support/ses/strict/request.ts';

const TO = { ToAddresses: ['bob@example.com'] };
const BODY = { Subject: { Data: 'Hi' }, Body: { Text: { Data: 'Hello' } } };
const FIELDS = ['From: Acme <hello@acme.test>', 'To: bob@example.com', 'Subject: Hi'];

function raw(fields: readonly string[], body = '\r\nHello\r\n', rest: SendEmailRequest = {}): SendEmailRequest {
  const text = `${fields.join('\r\n')}\r\n${body}`;
  return { Destination: TO, Content: { Raw: { Data: Buffer.from(text).toString('base64') } }, ...rest };
}

function simple(message: object = {}, rest: SendEmailRequest = {}): SendEmailRequest {
  return {
    FromEmailAddress: 'hello@acme.test',
    Destination: TO,
    Content: { Simple: { ...BODY, ...message } },
    ...rest,
  };
}

function header(Name: string, Value: string): SendEmailRequest {
  return simple({ Headers: [{ Name, Value }] });
}

function multipart(...fields: string[]): SendEmailRequest {
  const type = 'Content-Type: multipart/mixed; boundary="b 1"';
  return raw([...FIELDS, type], `\r\n--b 1\r\n${fields.join('\r\n')}\r\n\r\nx\r\n--b 1--\r\n`);
}

const many = (count: number) => Array.from({ length: count }, (_, nth) => `to${nth}@example.com`);
const headers = (count: number) => Array.from({ length: count }, (_, nth) => ({ Name: `X-${nth}`, Value: 'x' }));

const TAKEN: Readonly<Record<string, SendEmailRequest>> = {
  'simple content': simple(),
  'fifteen headers': simple({ Headers: headers(15) }),
  'a header of 870 characters': header('X-Long', 'x'.repeat(870)),
  'a subject in UTF-8': simple({ Subject: { Data: 'Grüße' } }),
  'a subject without text': simple({ Subject: { Data: '' } }),
  'raw content': raw(FIELDS),
  'a line of 998 characters': raw([...FIELDS, `X-Long: ${'x'.repeat(990)}`]),
  'what may stand twice': raw([...FIELDS, 'Received: a', 'Received: b', 'X-A: 1', 'X-A: 2']),
  'an empty group': raw([FIELDS[0] as string, 'To: undisclosed-recipients:;']),
  'a name of encoded words, comments, quotes, a group': raw([
    'From: =?utf-8?Q?J=C3=B6rg?= <hello@acme.test>',
    'To: "Bob, Jr." <bob@example.com>, J. Doe (home (old)) <j@example.com>, Us: a@example.com, B <b@example.com>;',
  ]),
  'a Return-Path in the domain of From': raw([...FIELDS, 'Return-Path: <bounce@acme.test>']),
  'a subject that is not ASCII, an empty list': raw(['From: a@acme.test', 'To:', 'Subject: Grüße']),
  'no Destination': { ...raw(FIELDS), Destination: {} },
  'a part with a file': multipart('Content-Disposition: attachment; filename="a b.pdf"; size=3;'),
};

const REFUSED: readonly [what: string, request: SendEmailRequest, words: RegExp][] = [
  ['no content', { Destination: TO }, /Raw content is missing/],
  ['two kinds of content', { ...raw(FIELDS), Content: { ...raw(FIELDS).Content, Simple: BODY } }, /Only one kind/],
  ['51 recipients', { ...raw(FIELDS), Destination: { ToAddresses: many(50), CcAddresses: many(1) } }, /exceeds 50/],
  ['simple content for nobody', { ...simple(), Destination: {} }, /required header 'To'/],
  ['simple content from nobody', { Destination: TO, Content: { Simple: BODY } }, /required header 'From'/],
  ['a recipient that is not ASCII', { ...simple(), Destination: { CcAddresses: ['jörg@example.com'] } }, /illegal/],
  ['two recipients in one entry', { ...simple(), Destination: { BccAddresses: ['a@x.test, b@x.test'] } }, /final/],
  ['a sender with a raw umlaut', simple({}, { FromEmailAddress: 'Jörg <hello@acme.test>' }), /illegal/],
  [
    'a sender with an @ in its name',
    simple({}, { FromEmailAddress: 'a@b.test <hello@acme.test>' }),
    /Extra route-addr/,
  ],
  ['a Reply-To without a domain', simple({}, { ReplyToAddresses: ['support'] }), /Missing final '@domain'/],
  ['51 tags', simple({}, { EmailTags: many(51).map((_, nth) => ({ Name: `n${nth}`, Value: 'v' })) }), /Too many/],
  ['a tag with a dot', simple({}, { EmailTags: [{ Name: 'a.b', Value: 'v' }] }), /Invalid message tag/],
  ['a tag twice', simple({}, { EmailTags: [1, 2].map(() => ({ Name: 'a', Value: 'v' })) }), /Duplicate message tag/],
  ['sixteen headers', simple({ Headers: headers(16) }), /more than 15/],
  ['a header name of 127 characters', header('x'.repeat(127), 'x'), /Invalid header name/],
  ['a header name with a colon', header('X:', 'x'), /Invalid header name/],
  ['a header value of 871 characters', header('X-Long', 'x'.repeat(871)), /871 characters/],
  ['an empty header value', header('X-Empty', ''), /Invalid value/],
  ['a header value with a tab', header('X-Tab', 'a\tb'), /Invalid value/],
  ['a header value that is not ASCII', header('X-Name', 'Jörg'), /Invalid value/],
  ['a header that SES sets', header('message-id', '<a@b.test>'), /set by SES/],
  ['a header twice', simple({ Headers: ['X-A', 'x-a'].map(Name => ({ Name, Value: 'x' })) }), /Duplicate header 'x-a'/],
  ['two empty bodies', simple({ Body: { Text: { Data: '' }, Html: { Data: '' } } }), /body must be given/],
  ['no subject', simple({ Subject: undefined }), /Subject/],
  ['a header only', raw(FIELDS, ''), /blank line/],
  ['a line of 999 characters', raw([...FIELDS, `X-Long: ${'x'.repeat(991)}`]), /999 characters/],
  ['a long line in the body', raw(FIELDS, `\r\n${'x'.repeat(999)}`), /999 characters/],
  ['no From', raw(FIELDS.slice(1)), /Missing required header 'From'/],
  ['a header twice in another case', raw([...FIELDS, 'list-ID: a', 'List-Id: b']), /Duplicate header 'List-Id'/],
  ['two of DKIM-Signature', raw([...FIELDS, 'DKIM-Signature: a', 'DKIM-Signature: b']), /'DKIM-Signature'/],
  ['To twice', raw([...FIELDS, 'To: c@example.com']), /Duplicate header 'To'/],
  ['From with two addresses', raw(['From: a@acme.test, b@acme.test']), /exactly one/],
  ['a Cc that cannot be read', raw([...FIELDS, 'Cc: <First Last <a@x.test>, B <b@x.test>']), /Local address contains/],
  ['a Reply-To with a comma in its name', raw([...FIELDS, 'Reply-To: Acme, Inc. <h@acme.test>']), /final '@domain'/],
  ['a Reply-To with a Unicode domain', raw([...FIELDS, 'Reply-To: h@bücher.test']), /illegal/],
  ['a line that is no field', raw([...FIELDS, 'no field']), /Empty header names/],
  ['a name with a space in it', raw([...FIELDS, 'X A: b']), /Illegal header 'X A'/],
  [
    'a type with text behind it',
    raw([...FIELDS, 'Content-Type: text/plain; name=a b.txt']),
    /Expected ';', got "b.txt"/,
  ],
  ['a type without a slash', raw([...FIELDS, 'Content-Type: text']), /Expected '\/'/],
  ['a parameter without a value', multipart('Content-Type: text/plain; charset'), /Expected '=', got 'null'/],
  ['a multipart without a boundary', raw([...FIELDS, 'Content-Type: multipart/mixed']), /start boundary/],
  ['a multipart without parts', raw([...FIELDS, 'Content-Type: multipart/mixed; boundary=b']), /start boundary/],
  ['a file that SES does not carry', multipart('Content-Type: x/y; name="Setup.EXE"'), /Illegal filename 'Setup.EXE'/],
  [
    'the same by RFC 2231',
    multipart("Content-Disposition: attachment; filename*0*=utf-8''a%2E; filename*1=js"),
    /a\.js/,
  ],
  ['the same by encoded words', multipart('Content-Disposition: inline; filename="=?utf-8?B?YS5qcw==?="'), /a\.js/],
];

describe('the strict SES', () => {
  for (const [what, request] of Object.entries(TAKEN)) {
    it(`takes ${what}`, () => assert.equal(refuseRequest(request), null));
  }

  for (const [what, request, words] of REFUSED) {
    it(`refuses ${what}`, () => {
      const refusal = refuseRequest(request);
      assert.match(refusal?.message ?? '', words);
      assert.deepEqual([refusal?.status, refusal?.name], [400, 'BadRequestException']);
    });
  }

  it('says which addresses it reads', () => {
    const { addresses } = readAddresses('A: a@x.test, "B, C" <b@y.test>;, (c) c.d@z.test');
    assert.deepEqual(addresses, ['a@x.test', 'b@y.test', 'c.d@z.test']);
  });
});
