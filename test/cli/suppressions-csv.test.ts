import assert from 'node:assert/strict';
import { Readable } from 'node:stream';
import { describe, it } from 'node:test';
import { type CsvDefaults, type CsvLine, readSuppressionsCsv } from '../../src/cli/suppressions-csv.ts';

function read(text: string, defaults: CsvDefaults = { owner: 'acme' }): Promise<CsvLine[]> {
  return Array.fromAsync(readSuppressionsCsv(Readable.from([Buffer.from(text)]), defaults));
}

async function rows(text: string, defaults?: CsvDefaults) {
  return (await read(text, defaults)).map(line => ('row' in line ? line.row : assert.fail(line.problem)));
}

async function problems(text: string, defaults?: CsvDefaults): Promise<[number, string][]> {
  return (await read(text, defaults)).flatMap(line => ('problem' in line ? [[line.line, line.problem]] : []));
}

describe('readSuppressionsCsv', () => {
  it('reads our own columns', async () => {
    const text = 'email,reason,owner,suppressed_at\r\n A@Example.com ,complained,acme,2026-01-02T03:04:05.678Z\r\n';
    assert.deepEqual(await rows(text), [
      {
        owner: 'acme',
        email: 'a@example.com',
        reason: 'complained',
        suppressedAt: new Date('2026-01-02T03:04:05.678Z'),
      },
    ]);
  });

  it('needs no column but the address', async () => {
    const [row] = await rows('email\na@example.com\n');
    assert.deepEqual(row, { owner: 'acme', email: 'a@example.com', reason: 'manual', suppressedAt: null });
  });

  for (const [vendor, text, expected] of [
    [
      'Postmark',
      '"EmailAddress","SuppressionReason","Origin","CreatedAt"\n' +
        '"a@example.com","HardBounce","Recipient","2026-01-01T00:00:00-05:00"\n' +
        'b@example.com,SpamComplaint,Recipient,2026-01-01\nc@example.com,ManualSuppression,Customer,2026-01-01\n',
      ['bounced', 'complained', 'manual'],
    ],
    [
      'SES',
      'EmailAddress,Reason,LastUpdateTime\na@x.test,BOUNCE,2026-01-01T00:00:00Z\nb@x.test,COMPLAINT,',
      ['bounced', 'complained'],
    ],
    ['Resend', 'email,type,created_at\na@x.test,bounce,2026-01-01 00:00:00+00\n', ['bounced']],
    ['Mailgun', 'address,code,error,created_at\na@x.test,550,"no, really",Thu 01 Jan 2026 00:00:00 UTC\n', ['manual']],
  ] as const) {
    it(`reads what ${vendor} exports`, async () => {
      assert.deepEqual(
        (await rows(text)).map(({ reason }) => reason),
        expected,
      );
    });
  }

  it('lets --reason decide over the file, and the file over --owner', async () => {
    const text = 'address,reason,owner\na@x.test,550 5.1.1 unknown user,other\nb@x.test,bounce,\n';
    const read = await rows(text, { owner: 'acme', reason: 'bounced' });
    assert.deepEqual(
      read.map(({ owner, reason }) => [owner, reason]),
      [
        ['other', 'bounced'],
        ['acme', 'bounced'],
      ],
    );
  });

  it('takes a byte order mark, semicolons, empty lines and lines that are too short', async () => {
    assert.equal((await rows('\ufeffemail;reason\n\na@x.test\nb@x.test;bounced\n')).length, 2);
  });

  it('writes domains as A-labels', async () => {
    assert.equal((await rows('email\nx@bücher.example\n'))[0]?.email, 'x@xn--bcher-kva.example');
  });

  it('says which lines are bad, and why', async () => {
    const text =
      'email,reason,suppressed_at\na@x.test,,\nnobody,,\nb@x.test,whim,\n"c@x.test","bounced","some\nday"\n,,\n';
    assert.deepEqual(await problems(text), [
      [3, '"nobody" is not an email address'],
      [4, 'the reason "whim" is none of bounced, complained, manual'],
      [6, '"some\\nday" is not a time'],
      [7, '"" is not an email address'],
    ]);
    assert.deepEqual(await problems('email\na@x.test\n', {}), [[2, 'it names no owner, and neither does --owner']]);
  });

  it('refuses a file without a header line, and one that is no CSV', async () => {
    await assert.rejects(read('a@x.test\nb@x.test\n'), /first line must name the columns, "email" among them/);
    await assert.rejects(read('email\n"a@x.test\n'), /quote/i);
    await assert.rejects(read(`email\n${'x'.repeat(100_000)}`), /maximum|max_record_size/i);
  });
});
