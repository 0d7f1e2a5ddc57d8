import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { describe, it } from 'node:test';
import { readParts } from '../../src/message/mime/parts.ts';
import { base64Lines, mail, multipart } from '../support/mail.ts';
import { PARTS_OPTIONS, read } from './read-parts.ts';

const PNG = Buffer.from('89504e470d0a1a0a0000000d49484452', 'hex');

const TEXT = mail('Content-Type: text/plain; charset=utf-8', '', 'Grüße');
const HTML = mail('Content-Type: text/html; charset=utf-8', '', '<p>Grüße</p><img src="cid:logo@acme.test">');
const IMAGE = mail(
  'Content-Type: image/png; name="logo.png"',
  'Content-Disposition: inline; filename="logo.png"',
  'Content-ID: <logo@acme.test>',
  'Content-Transfer-Encoding: base64',
  '',
  base64Lines(PNG),
);
const PDF = mail(
  'Content-Type: application/pdf',
  'Content-Disposition: attachment; filename=a.pdf',
  'Content-Transfer-Encoding: base64',
  '',
  base64Lines(Buffer.from('%PDF')),
);

/** Name, type, Content-ID and text of each attachment. */
async function attachments(raw: Buffer) {
  const { attachments: found } = await read(raw);
  return found.map(({ filename, content_type, content_id, content }) => [
    filename,
    content_type,
    content_id,
    content.toString(),
  ]);
}

describe('bodies', () => {
  it('are the text, or the HTML, or both', async () => {
    assert.deepEqual(await read(TEXT), { text: 'Grüße\n', html: null, attachments: [] });
    assert.equal((await read(HTML)).text, null);
    const both = await read(multipart('alternative', TEXT, HTML));
    assert.deepEqual([both.text, both.html?.slice(0, 12)], ['Grüße\n', '<p>Grüße</p>']);
  });

  it('the text part is dropped when an HTML part and an attachment are present: both are there', async () => {
    const {
      text,
      html,
      attachments: found,
    } = await read(multipart('mixed', multipart('alternative', TEXT, multipart('related', HTML, IMAGE)), PDF));
    assert.equal(text, 'Grüße\n');
    assert.equal(html, '<p>Grüße</p><img src="cid:logo@acme.test">\n');
    assert.deepEqual(
      found.map(({ filename }) => filename),
      ['logo.png', 'a.pdf'],
    );
  });

  it('that are several of one type stand one behind the other, and text does not get into HTML', async () => {
    const { text, html } = await read(
      multipart(
        'mixed',
        TEXT,
        mail('Content-Type: text/html', '', '<p>1'),
        PDF,
        mail('', 'footer'),
        mail('Content-Type: text/html', '', '<p>2'),
      ),
    );
    assert.deepEqual([text, html], ['Grüße\n\nfooter\n', '<p>1\n\n<p>2\n']);
  });

  it('keep white space and empty lines', async () => {
    assert.equal(
      (await read(mail('', '', '  lead', 'trail  ', '\ttab', '', ''))).text,
      '\n  lead\ntrail  \n\ttab\n\n\n',
    );
  });

  it('of format=flowed are kept as written', async () => {
    const raw = mail(
      'Content-Type: text/plain; format=flowed',
      '',
      '> quoted ',
      '> more',
      ' one ',
      'two',
      '-- ',
      'sig',
    );
    assert.equal((await read(raw)).text, '> quoted \n> more\n one \ntwo\n-- \nsig\n');
  });

  it('of format=flowed with delsp=yes are joined, since their words are broken', async () => {
    const type = 'Content-Type: text/plain; format=flowed; delsp=yes; charset=utf-8';
    const raw = mail(type, '', '日本 ', '語', '> quo ', '> ted', 'https://example.com/a ', 'b?c', '', '-- ', 'sig');
    assert.equal((await read(raw)).text, '日本語\n> quoted\nhttps://example.com/ab?c\n\n-- \nsig');
  });

  it('in quoted-printable lose the spaces that transport may have added, and keep those that are encoded', async () => {
    const raw = mail('Content-Transfer-Encoding: Quoted-Printable', '', 'a =', 'b=20', 'c  ', '=3D=\t', 'd');
    assert.equal((await read(raw)).text, 'a b \nc\n=d\n');
  });

  it('whose encoding nobody knows are kept as they are', async () => {
    assert.equal((await read(mail('Content-Transfer-Encoding: x-rot13', '', 'uryyb'))).text, 'uryyb\n');
  });

  for (const [what, raw] of [
    ['an empty message', Buffer.alloc(0)],
    ['a header without an end', Buffer.from('Subject: x')],
    ['a header alone', mail('Subject: x')],
    ['no body behind the header', mail('Subject: x', '')],
  ] as const) {
    it(`${what}: the text is empty`, async () => {
      assert.deepEqual(await read(raw), { text: '', html: null, attachments: [] });
    });
  }

  it('may be none, where there are attachments only', async () => {
    const { text, html, attachments: found } = await read(PDF);
    assert.deepEqual([text, html, found.length], [null, null, 1]);
  });

  it('keep cid links, and the images keep their content ids', async () => {
    const { html, attachments: found } = await read(multipart('related', HTML, IMAGE));
    assert.match(html ?? '', /src="cid:logo@acme\.test"/);
    assert.deepEqual(found, [
      { filename: 'logo.png', content: PNG, content_type: 'image/png', content_id: 'logo@acme.test' },
    ]);
  });

  it('may stand in any depth, among preambles and epilogues', async () => {
    const inner = Buffer.concat([multipart('alternative', TEXT, HTML), Buffer.from('epilogue\r\n')]);
    const { text, html } = await read(multipart('mixed', multipart('mixed', inner)));
    assert.deepEqual([text, html !== null], ['Grüße\n', true]);
  });
});

describe('attachments', () => {
  it('have their bytes, whatever their encoding', async () => {
    const part = (encoding: string, body: string | Buffer) =>
      mail(
        'Content-Type: text/csv',
        'Content-Disposition: attachment; filename=a.csv',
        `Content-Transfer-Encoding: ${encoding}`,
        '',
        body,
      );
    const bytes = Buffer.from([0x61, 0xe9, 0x0d, 0x0a, 0x2e, 0x0d, 0x0a, 0xff]);
    const { attachments: found } = await read(
      multipart(
        'mixed',
        part('base64', base64Lines(bytes)),
        part('8bit', bytes),
        part('quoted-printable', 'a=E9=0D=0A.=0D=0A=FF='),
      ),
    );
    for (const { content } of found) assert.deepEqual(content.subarray(0, bytes.length), bytes);
    assert.equal(found.length, 3);
  });

  it('are not decoded from their charset', async () => {
    const raw = mail(
      'Content-Type: text/plain; charset=utf-16le',
      'Content-Disposition: attachment; filename=a.txt',
      'Content-Transfer-Encoding: base64',
      '',
      Buffer.from('é', 'utf16le').toString('base64'),
    );
    assert.deepEqual((await read(raw)).attachments[0]?.content, Buffer.from('é', 'utf16le'));
  });

  it('have the type that is declared, not one guessed from the name', async () => {
    const raw = mail(
      'Content-Type: application/octet-stream',
      'Content-Disposition: attachment; filename=a.html',
      '',
      'x',
    );
    assert.deepEqual(await attachments(raw), [['a.html', 'application/octet-stream', null, 'x\r\n']]);
  });

  it('without a type get the one of their name', async () => {
    const raw = multipart('mixed', mail('Content-Disposition: attachment; filename=a.pdf', '', 'x'));
    assert.deepEqual(await attachments(raw), [['a.pdf', 'application/pdf', null, 'x\r\n']]);
  });

  it('without a name get one', async () => {
    const raw = multipart(
      'mixed',
      TEXT,
      mail('Content-Type: image/gif', '', 'G'),
      mail('Content-Type: x-odd/type', '', 'X'),
    );
    assert.deepEqual(
      (await attachments(raw)).map(([filename]) => filename),
      ['attachment-1.gif', 'attachment-2.bin'],
    );
  });

  it('are text files that Apple Mail shows inline: their names survive', async () => {
    const notes = mail(
      'Content-Type: text/plain; name=notes.txt',
      'Content-Disposition: inline; filename=notes.txt',
      '',
      'notes',
    );
    const page = mail('Content-Type: text/html; name=page.html', '', '<p>page');
    const raw = multipart('mixed', TEXT, notes, page);
    assert.deepEqual(await attachments(raw), [
      ['notes.txt', 'text/plain', null, 'notes\r\n'],
      ['page.html', 'text/html', null, '<p>page\r\n'],
    ]);
    assert.deepEqual((await read(raw)).text, 'Grüße\n');
  });

  it('are not bodies that have a name', async () => {
    const named = mail('Content-Type: text/plain; name=body.txt', '', 'body');
    assert.deepEqual((await read(multipart('mixed', named, PDF))).text, 'body\n');
    assert.deepEqual(
      (await read(multipart('alternative', TEXT, mail('Content-Type: text/html; name=a.html', '', '<p>')))).html,
      '<p>\n',
    );
    assert.deepEqual((await read(named)).text, 'body\n');
  });

  it('are hashed where it is asked for', async () => {
    const options = { ...PARTS_OPTIONS, contents: false, hashes: true };
    const [pdf] = (await readParts(multipart('mixed', TEXT, PDF), options)).attachments;
    assert.equal(pdf?.sha256, createHash('sha256').update('%PDF').digest('hex'));
  });

  it('are described without their contents for the standalone pipeline', async () => {
    const raw = multipart('mixed', TEXT, multipart('related', HTML, IMAGE), PDF);
    const { attachments: found, attachmentsJson } = await readParts(raw, { ...PARTS_OPTIONS, contents: false });
    assert.equal(attachmentsJson, null);
    assert.deepEqual(found, [
      { filename: 'logo.png', contentType: 'image/png', contentId: 'logo@acme.test', size: 16, sha256: null },
      { filename: 'a.pdf', contentType: 'application/pdf', contentId: null, size: 4, sha256: null },
    ]);
  });

  it('have the same size in both pipelines, whatever their length', async () => {
    for (const length of [0, 1, 2, 3, 56, 57, 58, 1_000, 30_000, 70_000, 70_001, 200_000]) {
      const raw = mail(
        'Content-Type: image/png',
        'Content-Transfer-Encoding: base64',
        '',
        base64Lines(Buffer.alloc(length, 1)),
      );
      for (const contents of [true, false]) {
        const [image] = (await readParts(raw, { ...PARTS_OPTIONS, contents })).attachments;
        assert.equal(image?.size, length, `${length} bytes, ${contents ? 'with' : 'without'} contents`);
      }
    }
  });
});

describe('long runs of Base64, which the standalone pipeline only counts', () => {
  const content = Buffer.from(Array.from({ length: 150_000 }, (_, index) => 0x20 + ((index * 31) % 90)));
  const encoded = base64Lines(content);
  const base64Part = (...lines: string[]) => mail(...lines, 'Content-Transfer-Encoding: base64', '', encoded);
  const image = base64Part('Content-Type: image/png; name=a.png');

  for (const [what, raw] of [
    ['several attachments', multipart('mixed', TEXT, image, PDF, image)],
    ['a text', base64Part('Content-Type: text/plain')],
    ['a text beside an attachment', multipart('mixed', base64Part('Content-Type: text/html; charset=utf-8'), image)],
    ['a text that only looks like Base64', multipart('mixed', mail('', encoded, 'end'), image)],
    ['an attachment of another encoding', multipart('mixed', TEXT, mail('Content-Type: image/png', '', encoded))],
    [
      'a forwarded message',
      multipart('mixed', TEXT, Buffer.concat([mail('Content-Type: message/rfc822', ''), multipart('mixed', image)])),
    ],
    ['what stands behind the last part', Buffer.concat([multipart('mixed', TEXT), mail('', encoded)])],
    ['an attachment with a line too much', multipart('mixed', TEXT, Buffer.concat([image, mail('', '!', encoded)]))],
  ] as const) {
    it(`in ${what}: both pipelines read the same`, async () => {
      const [counted, decoded] = await Promise.all(
        [false, true].map(contents => readParts(raw, { ...PARTS_OPTIONS, contents })),
      );
      const nothing = { attachmentsJson: null, contentApart: null };
      assert.deepEqual({ ...counted, ...nothing }, { ...decoded, ...nothing });
    });
  }
});

describe('parts that carry more than their bytes', () => {
  const SIGNATURE = Buffer.from([0x30, 0x82, 0x01, 0x0a]);

  it('S/MIME: the text of a signed message is its body, the signature an attachment', async () => {
    const signature = mail(
      'Content-Type: application/pkcs7-signature; name=smime.p7s',
      'Content-Disposition: attachment; filename=smime.p7s',
      'Content-Transfer-Encoding: base64',
      '',
      SIGNATURE.toString('base64'),
    );
    const raw = multipart('signed; protocol="application/pkcs7-signature"; micalg=sha-256', TEXT, signature);
    const { text, attachments: found } = await read(raw);
    assert.equal(text, 'Grüße\n');
    assert.deepEqual(found, [
      { filename: 'smime.p7s', content: SIGNATURE, content_type: 'application/pkcs7-signature', content_id: null },
    ]);
  });

  it('S/MIME: an encrypted message is an attachment', async () => {
    const raw = mail(
      'Content-Type: application/pkcs7-mime; smime-type=enveloped-data; name="smime.p7m"',
      'Content-Transfer-Encoding: base64',
      '',
      SIGNATURE.toString('base64'),
    );
    const { text, attachments: found } = await read(raw);
    assert.equal(text, null);
    assert.deepEqual(found, [
      { filename: 'smime.p7m', content: SIGNATURE, content_type: 'application/pkcs7-mime', content_id: null },
    ]);
  });

  it('PGP/MIME: both parts of an encrypted message are attachments', async () => {
    const raw = multipart(
      'encrypted; protocol="application/pgp-encrypted"',
      mail('Content-Type: application/pgp-encrypted', '', 'Version: 1'),
      mail(
        'Content-Type: application/octet-stream; name=encrypted.asc',
        'Content-Disposition: inline; filename=encrypted.asc',
        '',
        '-----BEGIN PGP MESSAGE-----',
      ),
    );
    assert.deepEqual(await attachments(raw), [
      ['attachment-1.asc', 'application/pgp-encrypted', null, 'Version: 1\r\n'],
      ['encrypted.asc', 'application/octet-stream', null, '-----BEGIN PGP MESSAGE-----\r\n'],
    ]);
  });

  it('PGP/MIME: the signature is an attachment', async () => {
    const signature = mail(
      'Content-Type: application/pgp-signature; name=signature.asc',
      '',
      '-----BEGIN PGP SIGNATURE-----',
    );
    const raw = multipart('signed; protocol="application/pgp-signature"; micalg=pgp-sha512', TEXT, signature);
    assert.equal((await read(raw)).text, 'Grüße\n');
    assert.deepEqual(await attachments(raw), [
      ['signature.asc', 'application/pgp-signature', null, '-----BEGIN PGP SIGNATURE-----\r\n'],
    ]);
  });

  it('a calendar invitation is an attachment, as an alternative', async () => {
    const calendar = mail(
      'Content-Type: text/calendar; charset="UTF-8"; method=REQUEST',
      '',
      'BEGIN:VCALENDAR',
      'SUMMARY:Grüße',
      'END:VCALENDAR',
    );
    assert.deepEqual(await attachments(multipart('alternative', TEXT, HTML, calendar)), [
      ['attachment-1.ics', 'text/calendar', null, 'BEGIN:VCALENDAR\r\nSUMMARY:Grüße\r\nEND:VCALENDAR\r\n'],
    ]);
  });

  it('a calendar invitation is an attachment, as an attachment', async () => {
    const calendar = mail(
      'Content-Type: text/calendar; method=CANCEL; name=invite.ics',
      'Content-Disposition: attachment; filename=invite.ics',
      'Content-Transfer-Encoding: base64',
      '',
      Buffer.from('BEGIN:VCALENDAR').toString('base64'),
    );
    assert.deepEqual(await attachments(multipart('mixed', TEXT, calendar)), [
      ['invite.ics', 'text/calendar', null, 'BEGIN:VCALENDAR'],
    ]);
  });

  it('a forwarded message stays one attachment, byte for byte, with all that is in it', async () => {
    const inner = Buffer.concat([mail('From: x@y.test', 'Subject: inner'), multipart('mixed', TEXT, PDF)]);
    for (const disposition of ['inline', 'attachment; filename="inner.eml"']) {
      const part = Buffer.concat([
        mail('Content-Type: message/rfc822', `Content-Disposition: ${disposition}`, ''),
        inner,
      ]);
      const { text, attachments: found } = await read(multipart('mixed', TEXT, part));
      assert.equal(text, 'Grüße\n');
      assert.equal(found.length, 1);
      assert.match(found[0]?.filename ?? '', /\.eml$/);
      assert.equal(found[0]?.content_type, 'message/rfc822');
      assert.deepEqual(found[0]?.content, inner);
    }
  });

  it('a delivery report keeps its parts', async () => {
    const raw = multipart(
      'report; report-type=delivery-status',
      TEXT,
      mail('Content-Type: message/delivery-status', '', 'Reporting-MTA: dns; x'),
      mail('Content-Type: text/rfc822-headers', '', 'Subject: x'),
    );
    assert.deepEqual(
      (await attachments(raw)).map(([, type, , content]) => [type, content]),
      [
        ['message/delivery-status', 'Reporting-MTA: dns; x\r\n'],
        ['text/rfc822-headers', 'Subject: x\r\n'],
      ],
    );
  });
});
