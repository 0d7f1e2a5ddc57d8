import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import * as formats from '../../src/config/formats/format.ts';
import { duration } from '../../src/config/formats/time.ts';

interface Case {
  readonly format: formats.Format<unknown>;
  readonly good: readonly (readonly [text: string, value: unknown])[];
  readonly bad: readonly string[];
}

const cases: Readonly<Record<string, Case>> = {
  port: {
    format: formats.port,
    good: [
      ['0', 0],
      ['2587', 2587],
      ['65535', 65_535],
    ],
    bad: [
      '',
      '25x7',
      '65536',
      '-1',
      '+25',
      '02587',
      '2587.0',
      '2.5e3',
      '0x10',
      ' 2587',
      '2587 ',
      '2_587',
      'tcp://10.0.0.1:2587',
    ],
  },
  'whole number with bounds': {
    format: formats.wholeNumber(1, 64),
    good: [
      ['1', 1],
      ['64', 64],
    ],
    bad: ['0', '65', 'one', '1.5', 'NaN', 'Infinity', '٣'],
  },
  'whole number without an upper bound': {
    format: formats.wholeNumber(0),
    good: [['9007199254740991', Number.MAX_SAFE_INTEGER]],
    bad: ['9007199254740993', '99999999999999999999'],
  },
  bytes: {
    format: formats.bytes(1),
    good: [
      ['26214400', 26_214_400],
      ['512KiB', 524_288],
      ['25MiB', 26_214_400],
      ['1GiB', 1_073_741_824],
    ],
    bad: ['', '0', '25MB', '25M', '25 MiB', '0.5GiB', '25mib', '-1', '1e6', '99999999999999GiB'],
  },
  duration: {
    format: duration,
    good: [
      ['1ms', 1],
      ['500ms', 500],
      ['10s', 10_000],
      ['5m', 300_000],
      ['1h', 3_600_000],
      ['596h', 2_145_600_000],
    ],
    bad: ['', '10', '0', '0s', '1.5h', '1h30m', '5 m', '5M', '5min', '-5s', '597h', '1d'],
  },
  boolean: {
    format: formats.boolean,
    good: [
      ['true', true],
      ['false', false],
    ],
    bad: ['', 'True', 'FALSE', 'yes', 'no', 'on', 'off', '1', '0', 'true '],
  },
  'one of': {
    format: formats.oneOf('ses', 'smtp'),
    good: [
      ['ses', 'ses'],
      ['smtp', 'smtp'],
    ],
    bad: ['', 'SES', 'ses ', 'toString', 'ses,smtp'],
  },
  'listen address': {
    format: formats.listenAddress,
    good: [
      ['0.0.0.0', '0.0.0.0'],
      ['::', '::'],
      ['::1', '::1'],
      ['localhost', 'localhost'],
    ],
    bad: ['', '0.0.0.0:2587', '[::]', '256.0.0.1', '127.1', 'a b', 'smtp://x'],
  },
  'host name': {
    format: formats.hostName,
    good: [
      ['smtp.example.com', 'smtp.example.com'],
      ['smtp-relay-5d9f', 'smtp-relay-5d9f'],
      ['xn--bcher-kva.example', 'xn--bcher-kva.example'],
    ],
    bad: [
      '',
      '-a.example',
      'a..b',
      'bücher.example',
      'a b',
      '192.0.2.1',
      `${'a'.repeat(64)}.example`,
      'a\r\nb',
      'a.example\n',
    ],
  },
  'AWS region': {
    format: formats.awsRegion,
    good: [
      ['us-east-1', 'us-east-1'],
      ['us-gov-west-1', 'us-gov-west-1'],
    ],
    bad: ['', 'US-EAST-1', 'us east 1', 'us-east-1.evil.example', 'us-east-1/'],
  },
  'http URL': {
    format: formats.httpUrl,
    good: [
      [
        'https://sqs.us-east-1.amazonaws.com/123456789012/jobs',
        'https://sqs.us-east-1.amazonaws.com/123456789012/jobs',
      ],
      ['http://127.0.0.1:4566/000000000000/jobs.fifo', 'http://127.0.0.1:4566/000000000000/jobs.fifo'],
    ],
    bad: ['', 'sqs', 'https://', 'ftp://x/y', 'https://a b/', ' https://a/', 'arn:aws:sqs:us-east-1:123456789012:jobs'],
  },
  'Postgres URL': {
    format: formats.postgresUrl,
    good: [
      ['postgres://u:p%40ss@db:5432/x?sslmode=require', 'postgres://u:p%40ss@db:5432/x?sslmode=require'],
      ['postgresql://db/x', 'postgresql://db/x'],
      ['postgres://relay@/opensend?host=/run/postgresql', 'postgres://relay@/opensend?host=/run/postgresql'],
      ['postgres:///opensend?host=/run/postgresql', 'postgres:///opensend?host=/run/postgresql'],
    ],
    bad: [
      '',
      'mysql://db/x',
      'db.example.com',
      'postgres:db',
      'postgres://u:p#w@db/x',
      'postgres://u:100%@db/x',
      'postgres://u:p@db/x ',
    ],
  },
  networks: {
    format: formats.networks,
    good: [
      ['', []],
      ['10.0.0.0/8', ['10.0.0.0/8']],
      ['10.0.0.0/8, 2001:db8::/32', ['10.0.0.0/8', '2001:db8::/32']],
    ],
    bad: [
      '10.0.0.1',
      '10.0.0.0/33',
      '2001:db8::/129',
      '::ffff:10.0.0.0/95',
      '10.0.0.0/08',
      '10.0/8',
      '10.0.0.0/8/8',
      '10.0.0.0/8,',
      '010.0.0.0/8',
      'fe80::1%eth0/64',
    ],
  },
  'optional text': {
    format: formats.optional(formats.path),
    good: [
      ['', ''],
      ['/etc/tls/tls.crt', '/etc/tls/tls.crt'],
    ],
    bad: ['a\0b'],
  },
};

for (const [name, { format, good, bad }] of Object.entries(cases)) {
  describe(name, () => {
    for (const [text, value] of good) {
      it(`reads ${JSON.stringify(text)}`, () => assert.deepEqual(format.parse(text), value));
      it(`prints what it reads as ${JSON.stringify(text)} so that it reads the same again`, () => {
        assert.deepEqual(format.parse(format.print(format.parse(text))), value);
      });
    }
    for (const text of bad) {
      it(`refuses ${JSON.stringify(text)}`, () => assert.throws(() => format.parse(text), formats.FormatError));
    }
  });
}

describe('printing', () => {
  it('prints a duration in the largest unit that divides it', () => {
    assert.deepEqual([1, 1500, 90_000, 300_000, 3_600_000, 5_400_000].map(duration.print), [
      '1ms',
      '1500ms',
      '90s',
      '5m',
      '1h',
      '90m',
    ]);
  });

  it('prints a size as a number of bytes', () => assert.equal(formats.bytes(0).print(26_214_400), '26214400'));
});
