/** A generator of numbers from 0 to 1 that begins anew with the same seed (mulberry32). */
export function seeded(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** What fields that name one mailbox look like, honest and sly. */
const WHOLE = [
  'a@acme.test',
  '<a@acme.test>',
  'Boss <a@acme.test>',
  '"Boss, Big" <a@acme.test>',
  '"Bo\\"ss" <a@acme.test>',
  'a@acme.test (Boss)',
  'Boss (at Acme) <a@acme.test>',
  'Boss <a@acme.test> (at Acme)',
  '=?utf-8?Q?B=C3=B6ss?= <a@acme.test>',
  '=?utf-8?B?QsO2c3M=?= <a@acme.test>',
  '=?utf-8?Q?B:oss?= <a@acme.test>',
  '"a b"@acme.test',
  'a@[192.0.2.1]',
  'a@bücher.test',
  'Boss [<ceo@bank.test>] <a@acme.test>',
  'hello@acme.test (a \\) <ceo@bank.test>)',
  'hello@ac(c)me.test',
  'Boss: a@acme.test;',
];

/** What readers stumble over, and what they may stumble into. */
const PIECES = [
  ...['<', '>', '(', ')', '[', ']', '"', "'", '\\', ',', ':', ';', '@', '.', ' ', '\t', '=', '?', '%', '!', '/', '|'],
  ...['a', 'Boss', 'ceo', 'acme.test', 'bank.test', '@acme.test', '@bank.test', 'a@acme.test', 'ceo@bank.test'],
  ...['<a@acme.test>', '<ceo@bank.test>', '[<ceo@bank.test>]', '(ceo@bank.test)', '"ceo@bank.test"', '(', ')', '(c)'],
  ...['\\"', '\\)', '\\(', '\\\\', '""', '()', '<>', '[]', ', ', ' ,', '; ', ': ', ' <', '> ', ' (', ') ', ' "', '" '],
  ...['=?utf-8?B?Y2VvQGJhbmsudGVzdA==?=', '=?utf-8?Q?ceo=40bank.test?=', '=?utf-8?Q?=3Cceo=40bank.test=3E?='],
  ...['=?utf-8?Q?Boss?=', '=?utf-8?Q?B,oss?=', '=?utf-8?Q?a@acme.test?=', '=?', '?=', 'mailto:', '@a,@b:'],
  ...[
    'é',
    '日本',
    '\u00a0',
    '\u200b',
    '\u00ad',
    '。',
    '＠',
    '＜',
    '\u202e',
    '\u3000',
    '\u2028',
    'ß',
    'K',
    'xn--bcher-kva',
  ],
  ...['\u0000', '\u0001', '\u000b', '\u000c', '\u007f', '\u0085', '\r', '\n'],
];

/** A field body that names somebody: a plausible one, changed in up to four places, or made of pieces altogether. */
export function randomField(random: () => number): string {
  const pick = <T>(list: readonly T[]): T => list[Math.floor(random() * list.length)] as T;
  if (random() < 0.15) return Array.from({ length: 1 + Math.floor(random() * 8) }, () => pick(PIECES)).join('');
  let text = pick(WHOLE);
  for (let changes = Math.floor(random() * 5); changes > 0; changes -= 1) {
    const at = Math.floor(random() * (text.length + 1));
    const removed = random() < 0.4 ? Math.floor(random() * 3) : 0;
    text = text.slice(0, at) + (random() < 0.85 ? pick(PIECES) : '') + text.slice(at + removed);
  }
  return text;
}
