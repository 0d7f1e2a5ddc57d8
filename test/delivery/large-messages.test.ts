import assert from 'node:assert/strict';
import { createHash, randomUUID } from 'node:crypto';
import { describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { pino } from 'pino';
import type { TransportKind } from '../../src/config/transports/list.ts';
import {
  MessageUnread,
  type OutgoingBytes,
  piecesOf,
  SLICE,
  StreamedBytes,
} from '../../src/delivery/outgoing/bytes.ts';
import { bytesFor, createWholeMessages } from '../../src/delivery/outgoing/large-message.ts';
import { createOutgoingBuilder, createTrack, type OutgoingBuilder } from '../../src/delivery/outgoing/outgoing.ts';
import { BODY_HEAD, SesBodyHash } from '../../src/delivery/transport/ses/request.ts';
import { readControlHeaders } from '../../src/message/header/control-headers.ts';
import type { Claim } from '../../src/store/delivery/claim.ts';
import { createTokens } from '../../src/tracking/token.ts';
import { Random, randomMail } from '../support/random-mail.ts';

const logger = pino({ level: 'silent' });
const MIB = 1024 * 1024;

interface Builder {
  readonly raw: Buffer;
  readonly kind: TransportKind;
  readonly tracks: boolean;
  /** With these sizes; null: from memory. */
  readonly streamed: { readonly slice?: number; readonly shortest?: number; readonly block?: number } | null;
  readonly readSlice?: (start: number, length: number) => Promise<Buffer | null>;
  readonly room?: number;
}

function builderOf({ raw, kind, tracks, streamed, readSlice, room = 64 * MIB }: Builder): OutgoingBuilder {
  const ends = { send: async () => [], close: async () => {} };
  const transport = { kind, maxRecipients: 50, ...ends, ...(kind === 'ses' && { preview: () => new SesBodyHash() }) };
  const tokens = { tokens: createTokens(['s'.repeat(40)]), canSign: tracks };
  const { slice, ...skeleton } = streamed ?? {};
  return createOutgoingBuilder({
    readRaw: async () => Buffer.from(raw),
    readSlice: async (_, start, length) =>
      readSlice ? readSlice(start, length) : Buffer.from(raw.subarray(start, start + length)),
    wholeMessages: createWholeMessages({ concurrency: 8, bytes: room }),
    streamedFrom: streamed ? 0 : Number.POSITIVE_INFINITY,
    sizes: { ...(slice !== undefined && { slice }), skeleton },
    findDomain: async () => null,
    transportFor: async () => transport,
    captureTransport: () => transport,
    receivedHeader: () => 'full',
    unsignedForSes: true,
    track: createTrack({ tokens: () => tokens, baseUrl: 'https://links.test', logger }),
    logger,
  });
}

const ID = randomUUID();

function claimOf(raw: Buffer): Claim {
  const message = {
    userId: 'acme',
    from: 'hello@acme.test',
    to: ['bob@example.com'],
    subject: 'x',
    acceptedAt: new Date(0),
    reversePath: 'hello@acme.test',
    recipients: ['bob@example.com'],
    bodyType: '8BITMIME',
    smtpUtf8: false,
    ...readControlHeaders([]),
    trackOpens: true,
    trackClicks: true,
    messageId: null,
    sizeBytes: raw.length,
    arrival: null,
    captured: false,
    sandbox: false,
    refused: [],
    traceparent: null,
    raw: null,
  };
  return { emailId: ID, token: ID, try: 0, message, earlier: [] };
}

async function build(options: Builder): Promise<OutgoingBytes> {
  const built = await builderOf(options).build(claimOf(options.raw));
  assert.ok(built);
  built.release?.();
  return built.message.raw;
}

async function bytesOf(raw: OutgoingBytes): Promise<Buffer> {
  const bytes = Buffer.concat(await Array.fromAsync(piecesOf(raw, 1000)));
  assert.equal(raw.length, bytes.length, 'the length is known beforehand');
  return bytes;
}

let foreseen = 0;

/** @returns whether it was streamed */
async function assertSame(options: Builder, what: string): Promise<boolean> {
  const whole = await build({ ...options, streamed: null });
  const streamed = await build(options);
  assert.ok(Buffer.isBuffer(whole));
  const bytes = await bytesOf(streamed);
  if (!bytes.equals(whole)) {
    const at = bytes.findIndex((byte, index) => byte !== whole[index]);
    const around = (from: Buffer) => JSON.stringify(from.toString('latin1', Math.max(0, at - 200), at + 200));
    assert.fail(`${what}: differs at ${at} of ${whole.length}\n streamed ${around(bytes)}\n whole    ${around(whole)}`);
  }
  if (Buffer.isBuffer(streamed)) return false;
  if (streamed.preview) {
    const { preview } = streamed;
    const body = `${BODY_HEAD}${bytes.toString('base64')}tail`;
    assert.ok(preview instanceof SesBodyHash);
    assert.equal(preview.with('tail'), createHash('sha256').update(body).digest('hex'), what);
    foreseen += 1;
  }
  assert.equal(streamed.isAscii, /^[\0-\x7f]*$/.test(bytes.toString('latin1')), what);
  return true;
}

/** Content of parts, with whatever might be taken for something else in it. */
function content(random: Random): string[] {
  const count = random.upTo(40);
  const kind = random.upTo(6);
  const word = () => random.pick(['Hello', 'Grüße', '--', '-- ', '--b', '.', '..', '', '\t', 'a=3D', '-', '\r--x']);
  const line = () => random.pick(['x'.repeat(random.upTo(76)), `${word()} ${word()}`, word(), 'Subject: y']);
  const html = () => random.pick([`<p><a href="https://a.test/${random.upTo(99)}">z</a>`, '<img src=x>', '<p>text']);
  const lines = random.some(count, () => {
    if (random.chance(0.004))
      return random.pick(['-----BEGIN PGP MESSAGE-----', '> -----BEGIN PGP SIGNED MESSAGE-----']);
    if (random.chance(0.01)) return 'long '.repeat(300);
    if (kind === 0) return html();
    if (kind === 1) return 'QUJD'.repeat(19);
    return kind === 2 && random.chance(0.5) ? html() : line();
  });
  return [...lines, ...(kind === 0 ? ['</body></html>'] : [])];
}

const TYPES = [
  'text/plain; charset=utf-8',
  'text/html; charset=utf-8',
  'text/html',
  'application/octet-stream',
  'message/rfc822',
  'text',
  'html; name=a',
  'text/csv',
  'multipart/digest; boundary=none',
  'multipart/mixed; boundary=none',
  'application/pkcs7-signature',
];
const ENCODINGS = ['7bit', '8bit', 'base64', 'quoted-printable', 'binary', 'x-odd'];

function fileName(random: Random): string[] {
  return random.chance(0.3)
    ? [`Content-Disposition: attachment; filename=a.${random.pick(['eml', 'txt', 'pdf'])}`]
    : [];
}

function mixedPart(random: Random, depth: number): string[] {
  if (depth > 0 && random.chance(0.4)) {
    const boundary = random.pick(['b', 'b1', '=_x', `n${random.upTo(99)}`]);
    const parts = random.some(1 + random.upTo(3), () => [`--${boundary}`, ...mixedPart(random, depth - 1)]);
    const ends = random.chance(0.85) ? [`--${boundary}--`] : [];
    const around = () => (random.chance(0.3) ? content(random) : []);
    return [
      `Content-Type: multipart/${random.pick(['mixed', 'alternative', 'digest', 'signed'].slice(0, random.chance(0.1) ? 4 : 2))}; boundary="${boundary}"`,
      '',
      ...around(),
      ...parts.flat(),
      ...ends,
      ...around(),
    ];
  }
  const type = random.chance(0.9) ? [`Content-Type: ${random.pick(TYPES.slice(0, random.chance(0.9) ? 8 : 11))}`] : [];
  const encoding = random.chance(0.7) ? [`Content-Transfer-Encoding: ${random.pick(ENCODINGS)}`] : [];
  const blank = random.chance(0.97) ? [''] : [];
  return [...type, ...encoding, ...fileName(random), ...blank, ...content(random)];
}

function mixedMail(seed: number): Buffer {
  const random = new Random(seed);
  const header = ['From: hello@acme.test', `Subject: ${'word '.repeat(random.upTo(300))}`, 'MIME-Version: 1.0'];
  const lines = [...header, ...mixedPart(random, 3), ''];
  const encoding = random.chance(0.5) ? 'utf8' : 'latin1';
  const text = lines.join('\r\n');
  return Buffer.from(random.chance(0.9) ? text : text.slice(0, -2), encoding);
}

/** A multipart of parts with their header, in Base64 unless they are texts. */
function mailOf(...parts: readonly (readonly [header: string, content: string | Buffer])[]): Buffer {
  const head =
    'From: hello@acme.test\r\nSubject: x\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n';
  const written = parts.flatMap(([header, content]) => [`--b\r\n${header}\r\n\r\n`, content, '\r\n']);
  return Buffer.concat([head, ...written, '--b--\r\n'].map(piece => Buffer.from(piece)));
}

const FILE = [
  'Content-Type: application/pdf\r\nContent-Transfer-Encoding: base64',
  lines('QUJD'.repeat(19), 3 * MIB),
] as const;
const HTML = 'Content-Type: text/html; charset=utf-8';

function lines(line: string, bytes: number): string {
  return `${line}\r\n`.repeat(Math.floor(bytes / (line.length + 2)));
}

describe('a large message', () => {
  const KINDS: readonly TransportKind[] = ['ses', 'smtp', 'capture'];

  it('goes out as the same bytes as from memory, wherever slices end', async () => {
    let streamed = 0;
    let count = 0;
    for (let seed = 700; seed < 900; seed += 1) {
      const random = new Random(seed * 7 + 1);
      const raw = seed % 3 === 0 ? randomMail(seed, 'acme.test', seed % 2 === 0).raw : mixedMail(seed);
      const sizes = { slice: 40 + random.upTo(300), shortest: 1 + random.upTo(120), block: 1 + random.upTo(200) };
      const options = { raw, tracks: seed % 4 < 3, streamed: sizes };
      for (const kind of KINDS) {
        count += 1;
        if (await assertSame({ ...options, kind }, `seed ${seed} by ${kind}`)) streamed += 1;
      }
    }
    assert.ok(streamed > count * 0.7, `${streamed} of ${count} were streamed`);
    assert.ok(foreseen > count * 0.05, `${foreseen} of ${count} were hashed as they were read`);
  });

  it('is read twice at most, in slices, and is never in memory as a whole', async () => {
    const raw = mailOf(['', 'Hello'], FILE, FILE);
    let read = 0;
    let largest = 0;
    const readSlice = async (start: number, length: number) => {
      read += length;
      largest = Math.max(largest, length);
      return Buffer.from(raw.subarray(start, start + length));
    };
    const outgoing = await build({ raw, kind: 'ses', tracks: true, streamed: {}, readSlice });
    assert.ok(outgoing instanceof StreamedBytes);
    assert.equal(read, raw.length);
    assert.ok(outgoing.preview, 'its hash is known');
    let longest = 0;
    for await (const piece of outgoing.pieces()) longest = Math.max(longest, piece.length);
    assert.ok(read <= raw.length * 2 + largest, `${read} bytes read of ${raw.length}`);
    assert.ok(largest <= MIB / 2 && longest <= largest, `slices of ${largest}, pieces of ${longest} bytes`);
  });

  const link = '<p><a href="https://a.test/x">z</a>\r\n';
  const html = (bytes: number) => `${link}${lines(`<p>${'text '.repeat(14)}`, bytes - 2 * link.length)}${link}`;
  const CASES: Readonly<Record<string, { readonly raw: Buffer; readonly streamed: boolean }>> = {
    'a small HTML text beside files': { raw: mailOf([HTML, html(20_000)], FILE), streamed: true },
    'HTML of just under 2 MiB': { raw: mailOf([HTML, html(2 * MIB - 100)], FILE), streamed: true },
    'HTML of more than 2 MiB': { raw: mailOf([HTML, html(2 * MIB + 100)], FILE), streamed: true },
    'more HTML than is put back': { raw: mailOf(...Array(4).fill([HTML, html(2 * MIB - 100)])), streamed: false },
    'a text of many lines': { raw: mailOf(['', lines('Hello, this is a log', 4 * MIB)]), streamed: true },
    'PGP in a large text': {
      raw: mailOf([HTML, `${html(MIB)}-----BEGIN PGP MESSAGE-----\r\n${html(MIB)}`], FILE),
      streamed: true,
    },
    'a long line beside a file': { raw: mailOf([HTML, `${html(30_000)}${'x '.repeat(2_000)}`], FILE), streamed: true },
    'a long line in a large text': { raw: mailOf(['', `${html(8 * MIB)}${'x '.repeat(2_000)}`]), streamed: false },
    'a file in one line': { raw: mailOf(['Content-Transfer-Encoding: base64', 'QUJD'.repeat(MIB)]), streamed: false },
    'a long line in a message within': {
      raw: mailOf(['Content-Type: message/rfc822', `Subject: ${'y '.repeat(900)}\r\n\r\nHi\r\n`], FILE),
      streamed: false,
    },
    'parts of 60 KB each': {
      raw: mailOf(...Array.from({ length: 100 }, () => [FILE[0], lines('QUJD'.repeat(19), 60_000)] as const)),
      streamed: true,
    },
  };
  for (const [name, { raw, streamed }] of Object.entries(CASES)) {
    it(`with ${name} goes out ${streamed ? 'slice by slice' : 'from memory'}, as the same bytes`, async () => {
      assert.equal(await assertSame({ raw, kind: 'ses', tracks: true, streamed: {} }, name), streamed);
    });
  }

  it('that has to be in memory waits until there is room for it', async () => {
    const raw = CASES['a file in one line']?.raw as Buffer;
    const builder = builderOf({ raw, kind: 'ses', tracks: false, streamed: {}, room: raw.length * 1.5 });
    const first = await builder.build(claimOf(raw));
    let hasSecond = false;
    const second = builder.build(claimOf(raw)).then(built => {
      hasSecond = true;
      built?.release?.();
    });
    await sleep(200);
    assert.equal(hasSecond, false);
    first?.release?.();
    await second;
  });

  it('that is not kept any more is told of at once, and one that goes meanwhile breaks off', async () => {
    const raw = mailOf(['', 'Hello'], FILE);
    const gone = builderOf({ raw, kind: 'ses', tracks: false, streamed: {}, readSlice: async () => null });
    assert.equal(await gone.build(claimOf(raw)), null);
    let isKept = true;
    const readSlice = async (start: number, length: number) =>
      isKept ? Buffer.from(raw.subarray(start, start + length)) : null;
    const outgoing = await build({ raw, kind: 'ses', tracks: false, streamed: {}, readSlice });
    isKept = false;
    await assert.rejects(bytesOf(outgoing), new MessageUnread(true));
  });

  it('that cannot be read is not made, whatever happens to it', async () => {
    const raw = mailOf([HTML, html(MIB)], FILE);
    let reads = 0;
    // The skeleton is made then, and the text is put back for tracking.
    const whenMade = Math.ceil(raw.length / SLICE) + 2;
    const readSlice = async (start: number, length: number) => {
      reads += 1;
      if (reads >= whenMade) throw new Error('no connection');
      return Buffer.from(raw.subarray(start, start + length));
    };
    const builder = builderOf({ raw, kind: 'ses', tracks: true, streamed: {}, readSlice });
    await assert.rejects(builder.build(claimOf(raw)), MessageUnread);
    assert.ok(reads >= whenMade);
  });

  it('takes of the worker what it has in memory', () => {
    assert.equal(bytesFor({ sizeBytes: 1_000 }), 1_000);
    assert.equal(bytesFor({ sizeBytes: 45 * MIB }), 4 * MIB);
  });
});
