/** A generator of numbers that gives the same ones for the same seed (mulberry32). */
export class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed;
  }

  /** From 0 to below 1. */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  }

  /** From 0 to `max`, both included. */
  upTo(max: number): number {
    return Math.floor(this.next() * (max + 1));
  }

  chance(probability: number): boolean {
    return this.next() < probability;
  }

  pick<T>(choices: readonly T[]): T {
    return choices[this.upTo(choices.length - 1)] as T;
  }

  /** So many of what `make` makes. */
  some<T>(count: number, make: () => T): T[] {
    return Array.from({ length: count }, make);
  }
}

const NAMES = [
  'Bob',
  'Jörg Müller',
  '山田太郎',
  'Acme, Inc.',
  'a.b',
  'Al "the" Z',
  "O'Neil",
  'me@x.test',
  '😀😀😀',
  'x [y]',
];
const LOCALS = ['bob', 'a.b+c', 'x_y', "o'neil", '"a b"', '"a\\"b"', 'jörg', '=?utf-8?Q?a?=', 'a-b', 'x'.repeat(64)];
const DOMAINS = [
  'example.com',
  'EXAMPLE.org',
  'bücher.example',
  'xn--bcher-kva.example',
  'a-b.c_d.test',
  '[192.0.2.1]',
];
const WORDS = [
  'report',
  'Grüße',
  'x'.repeat(70),
  '=?utf-8?B?R3LDvMOfZQ==?=',
  '(c)',
  '"q"',
  ';',
  ':',
  ',',
  '<>',
  '\t',
  '日本',
];
/** Header names that SES allows once, several times, not at all, and that the relay takes out. */
const FIELD_NAMES =
  `Subject Date Message-ID MIME-Version In-Reply-To References Comments Keywords List-Id List-Unsubscribe
  list-unsubscribe-post Precedence Importance Sensitivity Organization User-Agent Thread-Topic Thread-Index Auto-Submitted
  Delivered-To Errors-To DKIM-Signature DomainKey-Signature Received Resent-From Resent-Bcc X-Mailer X-Priority x-a X-A
  Authentication-Results ARC-Seal Return-Path Bcc X-SES-CONFIGURATION-SET X-OpenSend-New Archived-At Content-Language
  Content-Description Disposition-Notification-To Return-Receipt-To Accept-Language acceptLanguage VBR-Info`.split(
    /\s+/,
  );
const FILES = [
  'a.pdf',
  'Größe.txt',
  'a b.doc',
  'setup.exe',
  'run.JS',
  'x.tar.gz',
  '"odd".png',
  'no-extension',
  'a.js.txt',
];

/** Addresses in most of the forms that clients write, some that cannot be read among them. */
function mailbox(random: Random): string {
  const local = random.chance(0.85) ? random.pick(LOCALS.slice(0, 4)) : random.pick(LOCALS);
  const domain = random.chance(0.7) ? random.pick(DOMAINS.slice(0, 2)) : random.pick(DOMAINS);
  const address = `${local}@${domain}`;
  const name = random.pick(NAMES);
  const forms = [
    () => address,
    () => `<${address}>`,
    () => `"${name.replaceAll(/["\\]/g, '\\$&')}" <${address}>`,
    () => `=?utf-8?B?${Buffer.from(name).toString('base64')}?= <${address}>`,
    () => `${name} <${address}>`,
    () => `${address} (${name})`,
    () => `${address} <${address}>`,
    () => `${'Very Long Name '.repeat(random.upTo(80))}<${address}>`,
  ];
  const odd = [() => name, () => `${name} ${address}`, () => `<${address}`, () => '', () => `a@b, ${address}>`];
  return (random.chance(0.98) ? random.pick(forms) : random.pick(odd))();
}

/** An address list, folded here and there. */
export function addressList(random: Random, max: number): string {
  const mailboxes = random.some(random.upTo(max), () => mailbox(random));
  const list = mailboxes.join(random.pick([', ', ',', ',\r\n ', ',\r\n\t', ' , ']));
  if (random.chance(0.04)) return `${random.pick(['Friends', '"A, B"', 'Größe'])}: ${list};`;
  return random.chance(0.02) ? 'undisclosed-recipients:;' : list;
}

function text(random: Random): string {
  const words = random.some(random.upTo(random.chance(0.05) ? 60 : 6), () => random.pick(WORDS));
  return words.join(random.pick([' ', '\r\n ', '\r\n\t', '  ']));
}

function headerField(random: Random): string {
  const name = random.pick(FIELD_NAMES);
  return `${random.chance(0.1) ? name.toUpperCase() : name}${random.chance(0.02) ? ' ' : ''}: ${text(random)}`;
}

/** Content-Type and Content-Disposition of a file, quoted, encoded, continued, and now and then not of their form. */
function fileFields(random: Random): string[] {
  const name = random.chance(0.9) ? random.pick(FILES.slice(0, 3)) : random.pick(FILES);
  const quoted = `"${name.replaceAll(/["\\]/g, '\\$&')}"`;
  const parameter = random.pick([
    () => `filename=${quoted}`,
    () => `filename="=?utf-8?B?${Buffer.from(name).toString('base64')}?="`,
    () => `filename*=utf-8''${encodeURIComponent(name).replaceAll("'", '%27')}`,
    () =>
      `filename*0*=utf-8''${encodeURIComponent(name.slice(0, 3))};\r\n filename*1=${quoted.slice(0, 1)}${name.slice(3)}"`,
    () => (random.chance(0.2) ? `filename=${name}` : `filename=${quoted};`),
  ])();
  const type = random.pick([
    `application/pdf; name=${quoted}`,
    'application/octet-stream',
    'text/plain; charset=utf-8;',
  ]);
  return [`Content-Type: ${type}`, `Content-Disposition: ${random.pick(['attachment', 'inline'])}; ${parameter}`];
}

/** A part: its fields, an empty line, its content. */
function part(random: Random, depth: number): string[] {
  if (depth > 0 && random.chance(0.3)) {
    const boundary = `b${random.upTo(1_000_000)} ${'='.repeat(depth)}`;
    const parts = random.some(random.chance(0.97) ? 1 + random.upTo(2) : 0, () => [
      `--${boundary}`,
      ...part(random, depth - 1),
    ]);
    const type = `multipart/${random.pick(['mixed', 'alternative', 'related'])}; boundary="${boundary}"`;
    return [`Content-Type: ${type}`, '', ...parts.flat(), `--${boundary}--`, ''];
  }
  const body = random.some(random.upTo(3), () => random.pick(['Hello', 'Grüße', '.', '', '-- ', 'x'.repeat(300)]));
  if (random.chance(0.3)) return [...fileFields(random), 'Content-Transfer-Encoding: base64', '', 'AAECAwQF', ''];
  if (random.chance(0.2)) return ['', ...body];
  const type = random.pick([
    'text/plain; charset=utf-8',
    'text/html (c); charset="utf-8"',
    'text/plain',
    'message/rfc822',
  ]);
  return [`Content-Type: ${type}`, '', ...body];
}

export interface RandomMail {
  readonly raw: Buffer;
  /** For a person who reads a failure. */
  readonly seed: number;
}

/** Header fields, lines of texts, Base64 and what stands between parts, longer than SMTP carries. */
function lengthen(random: Random, lines: readonly string[]): string[] {
  const many = (text: string) => text.repeat(200 + random.upTo(200));
  const added = random.pick([
    [],
    [`X-Long: ${many('word ')}`],
    [`X-Ids: ${many('<a@b.test>')}`],
    [`Resent-To: ${many('a@b.test,')}a@c.test`],
  ]);
  const chance = random.next();
  const longer = lines.map(line => {
    if (!random.chance(chance)) return line;
    if (/^(?:Hello|Grüße|-- )$/.test(line)) return many(`${line} `);
    if (line === 'AAECAwQF') return many(line);
    if (line === 'Content-Type: text/plain') return random.pick(['Content-Type: text', 'Content-Type: html; name=a']);
    return /^(?:Subject|Cc|X-[A-Z]\w*): /.test(line) ? line.replace(': ', `: ${many('(c) ')}`) : line;
  });
  return [...added, ...longer];
}

/** In UTF-8; now and then some lines in Latin-1, as where a program has added its fields to those of another. */
function encode(random: Random, lines: readonly string[]): Buffer {
  const chance = random.chance(0.15) ? 0.5 : 0;
  const encodingOf = (line: string) => (/^[\0-\xff]*$/.test(line) && random.chance(chance) ? 'latin1' : 'utf8');
  return Buffer.concat(lines.map(line => Buffer.from(`${line}\r\n`, encodingOf(line))));
}

/**
 * A message such as a client may send, the same for the same seed: header fields of all kinds, folded, repeated, in UTF-8 and
 * in Latin-1; addresses in odd forms; nested parts with files. One From field, in `domain`, so that what is tried is all the rest.
 *
 * @param withLongLines some lines of the same message have more than 998 bytes
 */
export function randomMail(seed: number, domain: string, withLongLines = false): RandomMail {
  const random = new Random(seed);
  const from = random.pick([`hello@${domain}`, `Jörg <hello@${domain}>`, `"Acme, Inc." <hello@${domain}>`]);
  const fields = random.some(random.upTo(random.chance(0.7) ? 5 : 20), () => headerField(random));
  for (const [name, chance] of Object.entries({ To: 0.95, Cc: 0.4, 'Reply-To': 0.3 })) {
    if (random.chance(chance)) fields.push(`${name}: ${addressList(random, 4)}`);
    if (random.chance(0.03)) fields.push(`${name}: bob@example.com`);
  }
  if (random.chance(0.2)) fields.push(`Sender: <desk@${domain}>`);
  fields.splice(random.upTo(fields.length), 0, `From: ${from}`);
  const hasBody = random.chance(0.98);
  const written = hasBody ? [...fields, ...part(random, 3)] : fields;
  const lines = withLongLines ? lengthen(new Random(seed), written) : written;
  return { raw: encode(new Random(~seed), lines), seed };
}
