import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import libqp from 'libqp';
import { hasLongLine } from '../../src/message/bytes.ts';
import { unfold } from '../../src/message/header/fields.ts';
import { toBase64, toQuotedPrintable } from '../../src/message/mending/content.ts';
import { foldField } from '../../src/message/mending/header.ts';
import { measureMending, mend } from '../../src/message/mending/mend.ts';
import { readParts } from '../../src/message/mime/parts.ts';
import { countCpu } from '../support/cpu.ts';
import { Random, randomMail } from '../support/random-mail.ts';
import { PARTS_OPTIONS, read } from './read-parts.ts';

const LINES = { lines: true, types: false };
const LONG = 'word '.repeat(300).trim();
const WIDE = 'x'.repeat(2_500);
const HEADER = 'From: a@acme.test\r\nMIME-Version: 1.0\r\n';

/** Latin-1, so that each character is one byte. */
async function mended(text: string, rules = LINES): Promise<string> {
  const raw = Buffer.from(text, 'latin1');
  const facts = measureMending(raw, rules);
  const result = await mend(raw, rules);
  assert.equal(facts.fault, null, facts.fault?.place);
  assert.equal(facts.bytes, result.length, 'what was measured is what is made');
  assert.ok(!hasLongLine(result), 'no long line is left');
  return result.toString('latin1');
}

function faultOf(text: string) {
  return measureMending(Buffer.from(text, 'latin1'), LINES).fault;
}

const multipart = (...parts: string[]) =>
  `${HEADER}Content-Type: multipart/mixed; boundary=b\r\n\r\n${parts.map(part => `--b\r\n${part}\r\n`).join('')}--b--\r\n`;

describe('lines', () => {
  for (const [text, isLong] of [
    ['', false],
    ['x'.repeat(998), false],
    [`${'x'.repeat(998)}\r\n`, false],
    [`${'x'.repeat(998)}\r\n\r\n${'x'.repeat(998)}\r\n`, false],
    ['x'.repeat(999), true],
    [`${'x'.repeat(999)}\r\n`, true],
    [`a\r\n${'x'.repeat(999)}\r\nb\r\n`, true],
    [`${'x\r\n'.repeat(2_000)}${'x'.repeat(999)}`, true],
    ['x\r\n'.repeat(2_000), false],
  ] as const) {
    it(`of ${text.length} bytes are ${isLong ? 'too long' : 'short enough'}`, () => {
      assert.equal(hasLongLine(Buffer.from(text)), isLong);
    });
  }
});

describe('header fields', () => {
  const ids = Array.from({ length: 25 }, (_, nth) => `<${'i'.repeat(50)}${nth}@acme.test>`);
  const addresses = Array.from({ length: 45 }, (_, nth) => `recipient${nth}@example.com`);

  for (const [name, value] of Object.entries({
    References: ids.join(' '),
    To: addresses.join(', '),
    'X-Tabs': LONG.replaceAll(' ', '\t'),
    'X-Quoted': `"${LONG}" <a@example.com>`,
    'X-Spaces': LONG.replaceAll(' ', '   '),
    Subject: `${'=?utf-8?Q?a?= '.repeat(100)}end`,
    'X-Late': `${'y'.repeat(990)} ${LONG}`,
  })) {
    it(`are folded at white space, and unfolded as before: ${name}`, async () => {
      const result = await mended(`From: a@acme.test\r\n${name}: ${value}\r\n\r\nHi\r\n`);
      const field = /^X?[A-Za-z-]+: [\s\S]*?\r\n(?![ \t])/m.exec(result.slice(result.indexOf(name)))?.[0] ?? '';
      assert.equal(unfold(field.slice(name.length + 1)), value);
      assert.ok(result.startsWith(`From: a@acme.test\r\n${name}: `) && result.endsWith('\r\n\r\nHi\r\n'));
      assert.doesNotMatch(result.split('\r\n\r\n')[0] as string, /\n[ \t]*\r/);
    });
  }

  it('are folded behind separators where there is no white space', async () => {
    const to = await mended(`To: ${addresses.join(',')}\r\n\r\nHi\r\n`);
    assert.deepEqual(unfold(to.slice(3, to.indexOf('\r\n\r\n'))).split(/, ?/), addresses);
    const references = await mended(`References: ${ids.join('')}\r\n\r\nHi\r\n`);
    assert.equal(references.replaceAll(/\s/g, ''), `References:${ids.join('')}Hi`);
    const quoted = `"${'a,b;'.repeat(200)}" <a@example.com>`;
    const kept = await mended(`Cc: ${quoted},${addresses.join(',')}\r\n\r\nHi\r\n`);
    assert.ok(kept.includes(quoted.replace(' <', '\r\n <')));
  });

  it('are begun in a line of their own where only that helps', async () => {
    assert.equal(await mended(`X-Long: ${'x'.repeat(995)}\r\n\r\n`), `X-Long:\r\n ${'x'.repeat(995)}\r\n\r\n`);
  });

  it('of white space are shortened', async () => {
    assert.equal(
      await mended(`X-A: a${' '.repeat(2_000)}b\r\n${' '.repeat(1_500)}\r\n c\r\n\r\n`),
      'X-A: a b\r\n c\r\n\r\n',
    );
  });

  it('that are cut off are folded', () => assert.equal(foldField(`X: ${LONG}`, 'x')?.includes('\r\n'), true));

  it('without white space are named', () => {
    assert.deepEqual(faultOf(`From: a@acme.test\r\nX-Token: ${WIDE}\r\n\r\n`), {
      place: 'header X-Token',
      kind: 'field',
      sealed: false,
    });
    const part = `Content-Type: text/plain; name=${WIDE}\r\n\r\nx`;
    assert.equal(faultOf(multipart('\r\nx', part))?.place, 'header Content-Type of part 2');
  });

  it('that do not go out are nobody’s business', async () => {
    const text = `From: a@acme.test\r\nBcc: ${WIDE}\r\nX-OpenSend-Tag: ${WIDE}\r\nReturn-Path: ${WIDE}\r\n\r\nHi\r\n`;
    const { fault, firstLong } = measureMending(Buffer.from(text), LINES);
    assert.deepEqual([fault, firstLong], [null, null]);
  });
});

describe('content', () => {
  const body = (text: string) => text.slice(text.indexOf('\r\n\r\n') + 4);

  for (const [what, type] of Object.entries({
    plain: 'text/plain',
    html: 'text/html; charset=utf-8',
    other: 'text/x-y',
  })) {
    it(`of text is encoded as quoted-printable: ${what}`, async () => {
      const content = `\xc3\xbc = ${LONG} \r\n.\r\nFrom \t\r\n--${WIDE}\r\n`;
      const result = await mended(
        `${HEADER}Content-Type: ${type}\r\nContent-Transfer-Encoding: 8bit\r\n\r\n${content}`,
      );
      assert.match(result, /\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n/);
      assert.equal(libqp.decode(body(result)).toString('latin1'), content);
      assert.ok(
        body(result)
          .split('\r\n')
          .every(line => line.length <= 76 && !/[ \t]$/.test(line)),
      );
    });
  }

  it('without any MIME header gets what it needs', async () => {
    const result = await mended(`From: a@acme.test\r\n\r\n${'x'.repeat(1_000)}\r\n`);
    assert.deepEqual(result.split('\r\n').slice(0, 4), [
      'From: a@acme.test',
      'MIME-Version: 1.0',
      'Content-Transfer-Encoding: quoted-printable',
      '',
    ]);
  });

  it('of another kind is encoded as Base64', async () => {
    const json = `{"a":"${WIDE}"}\r\n`;
    const result = await mended(multipart(`Content-Type: application/json\r\n\r\n${json}`, '\r\nshort'));
    const [, encoded = ''] =
      /application\/json\r\nContent-Transfer-Encoding: base64\r\n\r\n([^-]*)\r\n--b/.exec(result) ?? [];
    assert.equal(Buffer.from(encoded, 'base64').toString(), json);
    assert.ok(result.endsWith('--b\r\n\r\nshort\r\n--b--\r\n'));
    const whole = await mended(`${HEADER}Content-Type: application/json\r\n\r\n${json}`);
    assert.equal(Buffer.from(body(whole), 'base64').toString(), json);
    assert.ok(whole.endsWith('=\r\n') || whole.endsWith('\r\n'));
  });

  it('in Base64 gets shorter lines, all its characters as they are', async () => {
    const padded = `${Buffer.from('a'.repeat(2_000)).toString('base64')}${Buffer.from('b').toString('base64')}`;
    const result = await mended(`${HEADER}Content-Transfer-Encoding: BASE64\r\n\r\n${padded}\r\nYQ==\r\n`);
    assert.equal(body(result).replaceAll('\r\n', ''), `${padded}YQ==`);
    assert.ok(result.startsWith(`${HEADER}Content-Transfer-Encoding: BASE64\r\n\r\n`));
  });

  it('in quoted-printable gets soft line breaks', async () => {
    const content = `${'=C3=BC-'.repeat(500)} =\r\n${'==3D='.repeat(300)}\r\n${'-'.repeat(2_000)}\r\nshort =3D  \r\n`;
    const result = await mended(`${HEADER}Content-Transfer-Encoding: quoted-printable\r\n\r\n${content}`);
    assert.deepEqual(libqp.decode(body(result)), libqp.decode(content));
    assert.doesNotMatch(body(result), /^--/m);
  });

  it('of a message within is mended in its own parts', async () => {
    const inner = `From: x@example.com\r\nReferences: ${LONG}\r\n\r\n${WIDE}\r\n`;
    const result = await mended(multipart('\r\nHi', `Content-Type: message/rfc822\r\n\r\n${inner}`));
    assert.match(
      result,
      /message\/rfc822\r\n\r\nFrom: x@example.com\r\nReferences: word [\s\S]*MIME-Version: 1.0\r\nContent-Transfer-Encoding: quoted/,
    );
    assert.doesNotMatch(result, /Content-Transfer-Encoding: [^q]/);
    const digest = `${HEADER}Content-Type: multipart/digest; boundary=b\r\n\r\n--b\r\n\r\n${inner}\r\n--b--\r\n`;
    assert.match(await mended(digest), /--b\r\n\r\nFrom: x@example.com/);
  });

  it('before and behind all parts is left out, and delimiters are shortened', async () => {
    const text = multipart('\r\nHi').replace('\r\n\r\n--b', `\r\n\r\n${LONG}\r\n--b${' '.repeat(1_000)}`);
    assert.equal(await mended(`${text}${WIDE}\r\n`), multipart('\r\nHi'));
  });

  for (const [what, text, place] of [
    ['message/partial', multipart('\r\n', `Content-Type: message/partial\r\n\r\n${WIDE}`), 'part 2 (message/partial)'],
    ['delivery status', `${HEADER}Content-Type: message/delivery-status\r\n\r\n${WIDE}`, 'the body'],
    ['another encoding', multipart(`Content-Transfer-Encoding: x-uue\r\n\r\n${WIDE}`), 'part 1 (text/plain)'],
    ['two encodings', `${HEADER}${'Content-Transfer-Encoding: 7bit\r\n'.repeat(2)}\r\n${WIDE}`, 'the body'],
    ['a multipart without parts', `${HEADER}Content-Type: multipart/mixed\r\n\r\n${WIDE}`, 'the body'],
    [
      'a part of a message within',
      multipart('\r\n', `Content-Type: message/rfc822\r\n\r\n${HEADER}X-A: ${WIDE}\r\n\r\n`),
      'header X-A of the message in part 2',
    ],
  ] as const) {
    it(`that cannot be mended is named: ${what}`, () => {
      assert.equal(faultOf(text)?.place, place);
      assert.equal(faultOf(text)?.sealed, false);
    });
  }
});

describe('what is signed or encrypted', () => {
  const signed = (inner: string) =>
    `Content-Type: multipart/signed; boundary=s; protocol="application/pgp-signature"\r\n\r\n--s\r\n${inner}\r\n--s\r\nContent-Type: application/pgp-signature\r\n\r\nx\r\n--s--`;
  for (const [what, text, place] of [
    ['multipart/signed', `${HEADER}${signed(`\r\n${WIDE}`)}\r\n`, 'part 1 (text/plain)'],
    ['a header within it', `${HEADER}${signed(`X-A: ${LONG}\r\n\r\nx`)}\r\n`, 'header X-A of part 1'],
    ['nested in it', multipart('\r\n', signed(`\r\n${WIDE}`)), 'part 2.1 (text/plain)'],
    [
      'S/MIME',
      `${HEADER}Content-Type: application/pkcs7-mime\r\nContent-Transfer-Encoding: base64\r\n\r\n${WIDE}\r\n`,
      'the body',
    ],
    ['PGP in a text', `${HEADER}\r\n-----BEGIN PGP SIGNED MESSAGE-----\r\n${WIDE}\r\n`, 'the body'],
    ['DKIM', `DKIM-Signature: v=1\r\n${HEADER}\r\n${WIDE}\r\n`, 'the body'],
    ['a header under DKIM', `dkim-signature: v=1\r\n${HEADER}References: ${LONG}\r\n\r\nx\r\n`, 'header References'],
    ['ARC', `ARC-Message-Signature: i=1\r\n${HEADER}\r\n${WIDE}\r\n`, 'the body'],
    [
      'a signed message within',
      multipart(`Content-Type: message/rfc822\r\n\r\nDKIM-Signature: v=1\r\n\r\n${WIDE}`),
      'the body of the message in part 1',
    ],
  ] as const) {
    it(`stays: ${what}`, async () => {
      const raw = Buffer.from(text);
      assert.deepEqual([faultOf(text)?.place, faultOf(text)?.sealed], [place, true]);
      assert.equal(await mend(raw, LINES), raw);
    });
  }

  it('is mended where the signature is a DKIM one of its own, which does not go out', async () => {
    const fields = `DKIM-Signature: v=1; ${LONG}\r\nDomainKey-Signature: x\r\n`;
    const rules = { ...LINES, types: true, unsigned: true };
    for (const text of [
      `${HEADER}References: ${LONG}\r\n\r\n${WIDE}\r\n`,
      `${HEADER}Content-Type: text\r\n\r\nHi\r\n`,
    ]) {
      const raw = Buffer.from(fields + text);
      assert.equal(measureMending(raw, rules).fault, null);
      assert.equal((await mend(raw, rules)).toString(), fields + (await mend(Buffer.from(text), rules)));
    }
    const within = multipart(`Content-Type: message/rfc822\r\n\r\nDKIM-Signature: v=1\r\n\r\n${WIDE}`);
    assert.equal(measureMending(Buffer.from(within), rules).fault?.sealed, true);
  });

  it('does not keep the message around it from being mended', async () => {
    const text = `References: ${LONG}\r\n${multipart(`\r\n${WIDE}`, signed('\r\nx'))}`;
    const result = await mended(text);
    assert.ok(result.includes(signed('\r\nx')));
  });
});

describe('types that are none', () => {
  const TYPES = { lines: false, types: true };
  for (const [type, anew] of Object.entries({
    text: 'text/plain',
    html: 'text/plain',
    'text\\html': 'text/plain',
    'Text; charset=utf-8': 'text/plain; charset=utf-8',
    '': 'text/plain',
    'text charset=utf-8': 'text/plain',
  })) {
    it(`are written as what they mean: ${type}`, async () => {
      const text = `${HEADER}Content-Type: ${type}\r\nX-A: b\r\n\r\nHi\r\n`;
      const result = (await mend(Buffer.from(text), TYPES)).toString();
      assert.equal(result, text.replace(`Content-Type: ${type}`, `Content-Type: ${anew}`));
      const part = (written: string) =>
        multipart(`Content-Type: ${written}\r\nContent-Disposition: attachment\r\n\r\nHi`);
      const expected = part(anew.replace('text/plain', 'application/octet-stream'));
      assert.equal((await mend(Buffer.from(part(type)), TYPES)).toString(), expected);
    });
  }

  for (const type of ['text/plain', 'TEXT / html (c); charset="utf-8";', 'application/pdf; name="a b.pdf"']) {
    it(`are left alone where they are types: ${type}`, async () => {
      const raw = Buffer.from(`${HEADER}Content-Type: ${type}\r\n\r\nHi\r\n`);
      assert.equal(await mend(raw, TYPES), raw);
    });
  }

  it('are written anew with their parameters and dispositions, in each part', async () => {
    const odd = [
      'Content-Type: application/pdf; name=my file.pdf',
      'Content-Disposition: attachment; filename==?utf-8?Q?my_file.pdf?=; size=1',
    ];
    const good = [
      'Content-Type: application/pdf; name="my file.pdf"',
      'Content-Disposition: attachment; filename="=?utf-8?Q?my_file.pdf?="; size=1',
    ];
    const part = (fields: readonly string[]) =>
      multipart(`${fields.join('\r\n')}\r\n\r\nx`)
        .replace('boundary=b', 'boundary="=b"')
        .replaceAll('--b', '--=b');
    assert.equal((await mend(Buffer.from(part(odd).replace('"=b"', '=b')), TYPES)).toString(), part(good));
    const signed = Buffer.from(`DKIM-Signature: x\r\n${part(odd)}`);
    assert.equal(await mend(signed, TYPES), signed);
  });

  it('are left alone in what is signed, and in messages within', async () => {
    const signed = Buffer.from(`DKIM-Signature: x\r\n${HEADER}Content-Type: text\r\n\r\nHi\r\n`);
    assert.equal(await mend(signed, TYPES), signed);
    const within = Buffer.from(multipart(`Content-Type: message/rfc822\r\n\r\nContent-Type: text\r\n\r\nHi\r\n`));
    assert.equal(await mend(within, TYPES), within);
  });
});

describe('any message', () => {
  it('says the same when it is mended', async () => {
    let tried = 0;
    for (let seed = 0; seed < 400; seed += 1) {
      const { raw } = randomMail(seed, 'acme.test', true);
      const rules = { lines: true, types: seed % 2 === 0 };
      const facts = measureMending(raw, rules);
      const result = await mend(raw, rules);
      assert.equal(result.length, facts.bytes, `seed ${seed}`);
      if (facts.fault === null) assert.ok(!hasLongLine(withoutUnsent(result)), `seed ${seed}`);
      if (facts.fault !== null || facts.firstLong === null) continue;
      tried += 1;
      assert.equal(await mend(result, { lines: true, types: false }), result, `seed ${seed}`);
      if (raw.includes('message/rfc822')) continue;
      const { emptyMultiparts = 0, mendable = 0 } = (await readParts(raw, PARTS_OPTIONS)).contentFields;
      // What is sent as the text that it is shows its delimiters too, and a name in odd quotes is another one in good ones.
      if (rules.types && emptyMultiparts + mendable > 0) continue;
      const [before, after] = [await read(raw), await read(result)];
      assert.deepEqual(after, before, `seed ${seed}`);
    }
    assert.ok(tried > 50, `${tried} tried`);
  });

  it('is measured in time, whatever the client sends', () => {
    const many = 200_000;
    const within = (text: string) => multipart(`Content-Type: message/rfc822\r\n\r\n${text}`);
    for (const [what, text] of Object.entries({
      'spaces in a field': `X-A: a${' '.repeat(many)}b\r\n\r\n`,
      'quotes in a field': `To: ${'"\\'.repeat(many)}\r\n\r\n`,
      'escaped comments': `To: (${'\\('.repeat(many)}\r\n\r\n`,
      'begun encoded words': `To: ${'=?a?q?'.repeat(many)}\r\n\r\n`,
      commas: `To: ${','.repeat(many)}\r\n\r\n`,
      'spaces behind a boundary': multipart('\r\nx').replace('--b\r\n', `--b\r\n--b${' '.repeat(many)}x\r\n`),
      'parts within': within(`Content-Type: multipart/mixed; boundary=c\r\n\r\n${'--c\r\n'.repeat(many)}${WIDE}`),
      'fields within': within(`${'a:\r\n'.repeat(many * 2)}\r\n${WIDE}`),
      'messages within': `${'Content-Type: message/rfc822\r\n\r\n'.repeat(many / 4)}${WIDE}`,
      'long lines': `${HEADER}\r\n${`${'='.repeat(1_000)}\r\n`.repeat(500)}`,
    })) {
      const took = countCpu();
      measureMending(Buffer.from(text), { lines: true, types: true });
      assert.ok(took() < 5_000, `${what}: ${took()} ms`);
    }
  });

  it('is encoded byte for byte', () => {
    const random = new Random(7);
    const all = Buffer.from(random.some(200_000, () => random.pick([0x20, 0x3d, 0x0d, 0x0a, 0x2d, random.upTo(255)])));
    assert.deepEqual(decodedQuotedPrintable(Buffer.concat([...toQuotedPrintable(all)])), all);
    assert.deepEqual(Buffer.from(Buffer.concat([...toBase64(all)]).toString(), 'base64'), all);
  });
});

function decodedQuotedPrintable(bytes: Buffer): Buffer {
  const text = bytes.toString('latin1').replaceAll('=\r\n', '');
  return Buffer.from(
    text.replaceAll(/=([0-9A-F]{2})/g, (_, hex) => String.fromCharCode(Number.parseInt(hex, 16))),
    'latin1',
  );
}

/** Header fields that do not go out may have long lines. */
function withoutUnsent(raw: Buffer): Buffer {
  return Buffer.from(
    raw.toString('latin1').replaceAll(/^(?:resent-bcc|return-path|x-ses-[^:]*):.*\r\n(?:[ \t].*\r\n)*/gim, ''),
    'latin1',
  );
}
