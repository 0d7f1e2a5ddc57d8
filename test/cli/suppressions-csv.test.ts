import assert from 'node:assert/strict';
import { Readable } from 'node:stream';
import { describe, it } from 'node:test';
import { type CsvDefaults, type CsvLine, readSuppressionsCsv } from '../../src/cli/suppressions/csv.ts';

function read(text: string | Buffer, defaults: CsvDefaults = { owner: 'acme' }): Promise<CsvLine[]> {
  return Array.fromAsync(readSuppressionsCsv(Readable.from([Buffer.from(text)]), defaults));
}

async function rows(text: string | Buffer, defaults?: CsvDefaults) {
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

  it('passes over the line that tells spreadsheets the delimiter', async () => {
    for (const line of ['sep=;', 'SEP=;\r', '"sep=;"', '\ufeffsep=;']) {
      const [row, ...others] = await rows(`${line}\nEmail;Reason\na@example.com;bounce\n`);
      assert.deepEqual([row?.email, row?.reason, others], ['a@example.com', 'bounced', []], line);
    }
    assert.equal((await rows('sep=,\na@example.com\n')).length, 1);
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
    const text = 'email,reason\na@x.test,\nnobody,\nb@x.test,whim\n,\n';
    assert.deepEqual(await problems(text), [
      [3, '"nobody" is not an email address'],
      [5, '"" is not an email address'],
    ]);
    assert.deepEqual(await problems('email\na@x.test\n', {}), [[2, 'it names no owner, and neither does --owner']]);
  });

  it('refuses a file that is something else', async () => {
    await assert.rejects(read('name,age\nbob,7\n'), /first line must name the columns, "email" among them/);
    await assert.rejects(read('{"SuppressedDestinationSummaries": []}'), /JSON is to be made CSV first/);
  });

  for (const [name, text] of [
    ['SendGrid, bounces', 'email,created,reason,status\na@x.test,1443651125,550 5.1.1 no; such; user; here,5.1.1\n'],
    [
      'SendGrid, with semicolons and commas',
      'status,reason,email,created\n5.0.0,550 no, such; user,a@x.test,1443651125\n',
    ],
    ['Mailgun', 'address,code,error,created_at\na@x.test,550,no; such user,"Wed, 30 Sep 2015 22:12:05 UTC"\n'],
    ['Mailchimp', '"Email Address","First Name","CLEAN_TIME"\n"a@x.test","A","2015-09-30 22:12:05"\n'],
    ['milliseconds', 'email;created\na@x.test;1443651125000\n'],
    ['SES by aws --output text', 'SUPPRESSEDDESTINATIONSUMMARIES\ta@x.test\t2015-09-30T22:12:05+00:00\tBOUNCE\n'],
    ['UTF-16 of a spreadsheet', Buffer.from('\ufeffemail\tcreated\r\na@x.test\t2015-09-30T22:12:05Z\r\n', 'utf16le')],
    ['line ends of old', 'email,created\ra@x.test,2015-09-30T22:12:05Z\r'],
  ] as const) {
    it(`reads the time and the address of ${name}`, async () => {
      const [line, ...more] = await read(text);
      assert.ok(line && 'row' in line, JSON.stringify(line));
      assert.deepEqual(
        [line.row.email, line.row.suppressedAt?.toISOString()],
        ['a@x.test', '2015-09-30T22:12:05.000Z'],
      );
      assert.deepEqual([line.note, more], [undefined, []]);
    });
  }

  it('takes what a server said for a bounce, and other words for a remark', async () => {
    const lines = await read(
      'email,created,reason,status\na@x.test,,550 no,\nb@x.test,,unroutable address,5.1.2\nc@x.test,,was rude to us,\n',
    );
    assert.deepEqual(
      lines.map(line => 'row' in line && [line.row.reason, line.note]),
      [
        ['bounced', undefined],
        ['bounced', undefined],
        ['manual', 'the reason "was rude to us" is taken as manual'],
      ],
    );
  });

  it('lets no address go for a reason of one word that nobody knows, and a note says what it was taken as', async () => {
    for (const [given, reason] of [
      ['Undetermined', 'manual'],
      ['transactional', 'manual'],
      ['non_transactional', 'manual'],
      ['10', 'manual'],
      ['99999', 'manual'],
      ['ÜNBEKANNT', 'manual'],
      ['soft-bounce', 'bounced'],
      ['Soft Bounce', 'bounced'],
      ['BouncedByProvider', 'bounced'],
      ['user_complained', 'complained'],
      ['AbuseReport', 'complained'],
      ['they bounced us about the office', 'manual'],
    ] as const) {
      assert.deepEqual(
        await read(`email,reason\na@x.test,${given}\n`),
        [
          {
            line: 2,
            row: { owner: 'acme', email: 'a@x.test', reason, suppressedAt: null },
            note: `the reason "${given}" is taken as ${reason}`,
          },
        ],
        given,
      );
    }
    assert.deepEqual(await read('email,type\na@x.test,451\n'), [
      { line: 2, row: { owner: 'acme', email: 'a@x.test', reason: 'bounced', suppressedAt: null } },
    ]);
    const [bare] = await read('a@x.test,soft-bounce\n');
    assert.deepEqual(bare && 'row' in bare && [bare.row.reason, bare.note], [
      'bounced',
      'the reason "soft-bounce" is taken as bounced',
    ]);
  });

  it('lets no address go for its date: it counts from now on, and a note says so', async () => {
    for (const since of ['some day', '31/12/2025', '7', '0', '99999999999999999999', '2026-13-45']) {
      const [line] = await read(`email,created\na@x.test,${since}\n`);
      assert.ok(line && 'row' in line);
      assert.equal(line.row.suppressedAt, null);
      assert.match(line.note ?? '', /is not a time, so it counts from now on/);
    }
  });

  it('takes a bare list of addresses', async () => {
    assert.deepEqual(
      (await rows('\ufeffa@x.test\r\n\r\nB@x.test\r\nc@x.test')).map(({ email }) => email),
      ['a@x.test', 'b@x.test', 'c@x.test'],
    );
  });

  it('reads fields in quotes with what may be in them', async () => {
    const text =
      'email,error,reason\n"a@x.test","said ""no"",\nand again\r\nno, really",bounce\n"b@x.test","""",complaint\n';
    assert.deepEqual(
      (await rows(text)).map(({ email, reason }) => [email, reason]),
      [
        ['a@x.test', 'bounced'],
        ['b@x.test', 'complained'],
      ],
    );
  });

  it('a stray quote spoils no other line', async () => {
    for (const stray of ['"said no', 'said "no', '"said "no" again', '5" pipe', '"']) {
      const text = `email,error\na@x.test,ok\nb@x.test,${stray}\nc@x.test,"fine, too"\nd@x.test,ok\n`;
      const found = (await rows(text)).map(({ email }) => email);
      assert.deepEqual(found, ['a@x.test', 'b@x.test', 'c@x.test', 'd@x.test'], stray);
    }
    const [, second] = await read('email,error\na@x.test,ok\nb@x.test,"said no\nc@x.test,ok\n');
    assert.deepEqual([second?.line, second && 'note' in second && second.note], [3, 'a quote is not closed']);
    const long = await read(`email\na@x.test\n${'x'.repeat(200_000)}\nb@x.test\n`);
    assert.deepEqual(
      long.map(line => ('row' in line ? line.row.email : line.problem)),
      ['a@x.test', 'it has more than 65536 characters', 'b@x.test'],
    );
    const many = Array.from({ length: 300 }, (_, n) => `u${n}@x.test,ok\n`).join('');
    assert.equal((await rows(`email,error\na@x.test,"no\n${many}`)).length, 301);
  });

  it('reads a file that comes byte by byte', async () => {
    const bytes = Buffer.from('email,error\r\na@bücher.test,"no\r\nno"\r\nb@x.test,\r\n');
    const input = Readable.from(Array.from(bytes, byte => Buffer.of(byte)));
    const lines = await Array.fromAsync(readSuppressionsCsv(input, { owner: 'acme' }));
    assert.deepEqual(
      lines.map(line => [line.line, 'row' in line && line.row.email]),
      [
        [3, 'a@xn--bcher-kva.test'],
        [4, 'b@x.test'],
      ],
    );
  });
});
