import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { decodeHeaderText } from '../../src/message/addresses/address-list.ts';
import { readHeaderFields } from '../../src/message/header/fields.ts';
import { sendableHeaders } from '../../src/message/header/row-headers.ts';
import type { Refusal } from '../../src/message/refusal.ts';
import { countCpu } from '../support/cpu.ts';
import { mail } from '../support/mail.ts';

const fields = (...lines: readonly (string | Buffer)[]) => readHeaderFields(mail(...lines, ''), 1_048_576);
const sendable = (...lines: readonly (string | Buffer)[]) => sendableHeaders(fields(...lines), false);
const headers = (...lines: readonly (string | Buffer)[]) => sendable(...lines).headers;
const leftOut = (...lines: readonly (string | Buffer)[]) =>
  sendable(...lines).leftOut.map(({ name, reason }) => `${name}: ${reason}`);

/** What SES sets itself in `Simple` content (developer guide, "header fields"). */
const SET_BY_SES =
  /^(?:bcc|cc|content-disposition|content-type|date|from|message-id|mime-version|reply-to|return-path|subject|to)$/i;

describe('headers for OpenSend’s worker: names', () => {
  it('leave out Message-ID and all that SES or the worker sets, and say so of X-Entity-ID', () => {
    const names = [
      'Message-ID',
      'message-id',
      'From',
      'DATE',
      'Return-Path',
      'MIME-Version',
      'Content-Type',
      'Resent-Bcc',
    ];
    assert.deepEqual(sendable(...names.map(name => `${name}: x`), 'X-Kept: 1'), {
      headers: { 'X-Kept': '1' },
      leftOut: [],
    });
    assert.deepEqual(leftOut('x-entity-id: 1'), ['x-entity-id: replaced']);
  });

  it('have at most 126 characters, and stand there once in whatever case', () => {
    const [fits, long] = ['X'.repeat(126), 'Y'.repeat(127)];
    assert.deepEqual(headers(`${fits}: 1`, `${long}: 1`), { [fits]: '1' });
    assert.deepEqual(leftOut(`${fits}: 1`, `${long}: 1`), [`${long}: name`]);
    assert.deepEqual(headers('Auto-Submitted: auto-generated', 'AUTO-SUBMITTED: auto-generated', 'x-a: 1', 'X-A: 2'), {
      'Auto-Submitted': 'auto-generated',
      'x-a': '1, 2',
    });
    assert.deepEqual(Object.entries(headers('__proto__: 1')), [['__proto__', '1']]);
  });
});

describe('headers for OpenSend’s worker: values', () => {
  it('have one space for each fold and each TAB, and no control character', () => {
    assert.deepEqual(
      headers(
        'A: one',
        '\ttwo ',
        '   three',
        ' \t ',
        ' four',
        'B: a\tb\t\tc  d',
        'C: a\u0001\u001b\u007fb\u0085c\u2028d',
        'D: \u0007x\u0007',
      ),
      { A: 'one two three four', B: 'a b  c  d', C: 'a b c d', D: 'x' },
    );
  });

  it('that are empty are left out', () => {
    assert.deepEqual(headers('A:', 'B: \t ', 'C: \u0001', 'D:', 'd: x'), { D: 'x' });
    assert.deepEqual(leftOut('A:', 'C: \u0001'), ['A: empty', 'C: empty']);
  });

  it('are encoded where they are not ASCII, word by word', () => {
    assert.deepEqual(headers('A: a café au lait', 'B: plain =?utf-8?Q?=C3=A9?='), {
      A: 'a =?UTF-8?B?Y2Fmw6k=?= au lait',
      B: 'plain =?utf-8?Q?=C3=A9?=',
    });
    assert.deepEqual(headers(Buffer.from('A: caf\xe9 au lait', 'latin1')), { A: '=?UTF-8?B?Y2Fmw6k=?= au lait' });
    const text = 'Grüße  aus 日本 und 🙂 von hier'.repeat(4);
    assert.equal(decodeHeaderText(headers(`A: ${text}`)['A'] ?? ''), text);
  });

  it('of addresses are encoded in their names only', () => {
    assert.deepEqual(
      headers('Sender: "Müller, Jörg" <Jo@Acme.test>', 'Disposition-Notification-To: Ann <a@x.test>, É <b@x.test>'),
      {
        Sender: '=?UTF-8?B?TcO8bGxlciwgSsO2cmc=?= <Jo@acme.test>',
        'Disposition-Notification-To': 'Ann <a@x.test>, =?UTF-8?B?w4k=?= <b@x.test>',
      },
    );
    assert.deepEqual(sendable('Errors-To: É <é@x.test>'), {
      headers: {},
      leftOut: [{ name: 'Errors-To', reason: 'characters' }],
    });
  });

  it('of links stay links', () => {
    assert.deepEqual(
      headers(
        'List-Unsubscribe: <https://acme.test/ü?a=é>, <mailto:u@acme.test> (Grüße)',
        'List-Id: "Ünited" <news.acme.test>',
      ),
      {
        'List-Unsubscribe': '<https://acme.test/%C3%BC?a=%C3%A9>, <mailto:u@acme.test> =?UTF-8?B?KEdyw7zDn2Up?=',
        'List-Id': '=?UTF-8?B?IsOcbml0ZWQi?= <news.acme.test>',
      },
    );
  });

  it('may have 870 characters, of what is sent', () => {
    const fits = 'x'.repeat(870);
    assert.deepEqual(headers(`A: ${fits}`, `B: ${fits}x`, `C: ${'é'.repeat(300)}`), { A: fits });
    assert.deepEqual(leftOut(`A: ${fits}`, `B: ${fits}x`, `C: ${'é'.repeat(300)}`), ['B: length', 'C: length']);
    assert.deepEqual(
      leftOut(`A: ${'a'.repeat(400)}`, `A: ${'b'.repeat(500)}`),
      ['A: length'],
      'repeated ones together',
    );
    assert.deepEqual(headers(`A: ${'a'.repeat(860)}`, `${' '.repeat(20)}b`)['A']?.length, 862);
  });

  it('of References keep the first id and as many of the last as fit', () => {
    const ids = Array.from(
      { length: 60 },
      (_, index) => `<${String(index).padStart(3, '0')}.${'x'.repeat(24)}@acme.test>`,
    );
    const value = headers(`References: ${ids[0]}`, ...ids.slice(1).map(id => `\t${id}`))['References'] ?? '';
    const kept = value.split(' ');
    assert.ok(value.length <= 870 && value.length > 870 - 41);
    assert.deepEqual(kept, [ids[0], ...ids.slice(1 - kept.length)]);
    assert.equal(headers(`References: ${ids.slice(0, 3).join(' ')}`)['References'], ids.slice(0, 3).join(' '));
    assert.equal(
      headers('References: <a@b>', 'References: <c@d>', 'In-Reply-To: <a@b>', 'In-Reply-To: <c@d>')['References'],
      '<a@b> <c@d>',
    );
    const huge = `<${'y'.repeat(900)}@acme.test>`;
    assert.equal(headers(`References: ${huge} ${ids[1]} ${ids[2]}`)['References'], `${ids[1]} ${ids[2]}`);
    assert.equal(headers(`References: ${ids.join('')}`)['References'], value, 'also where no space stands between');
    assert.deepEqual(leftOut(`References: ${huge}`), ['References: length']);
  });

  it('of List-Unsubscribe refuse the message rather than be left out', () => {
    const link = (length: number) => `<https://acme.test/${'u'.repeat(length - 20)}>`;
    assert.equal(headers(`List-Unsubscribe: ${link(870)}`)['List-Unsubscribe']?.length, 870);
    for (const lines of [
      [`List-Unsubscribe: ${link(871)}`],
      [`LIST-UNSUBSCRIBE: ${link(400)}`, `List-Unsubscribe: ${link(500)}`],
      [`List-Unsubscribe: <https://acme.test/${'é'.repeat(200)}>`],
    ]) {
      assert.throws(
        () => sendableHeaders(fields(...lines), true),
        (error: Refusal) => error.code === 554 && /List-Unsubscribe .*870/.test(error.message),
      );
    }
    assert.deepEqual(leftOut(`List-Help: ${link(871)}`), ['List-Help: length']);
  });
});

describe('headers for OpenSend’s worker: count', () => {
  const own = Array.from({ length: 20 }, (_, index) => `X-Own-${index}: 1`);
  const ranked = [
    [
      'X-MS-Has-Attach',
      'Thread-Topic',
      'ARC-Seal',
      'Authentication-Results',
      'X-Originating-IP',
      'Resent-From',
      'X-Microsoft-A',
      'X-Forefront-B',
    ],
    ['X-Own', 'X-MSMail-Priority'],
    ['Feedback-ID'],
    ['Sender'],
    ['Importance', 'X-Priority'],
    ['Precedence'],
    ['Auto-Submitted'],
    ['References'],
    ['In-Reply-To'],
    ['List-Id', 'List-Help'],
    ['List-Unsubscribe', 'List-Unsubscribe-Post'],
  ] as const;

  it('is at most 14 without attachments, and any with them', () => {
    assert.deepEqual(
      Object.keys(headers(...own)),
      own.slice(0, 14).map(line => line.split(':')[0]),
    );
    assert.equal(leftOut(...own).length, 6);
    assert.equal(Object.keys(sendableHeaders(fields(...own), true).headers).length, 20);
  });

  it('keeps them by rank, and in the order in which they stood', () => {
    const names = ranked.flat();
    const others = names.map(name => `${name}: <a@acme.test>`);
    for (let missing = 1; missing < ranked.length; missing += 1) {
      const important: string[] = ranked.slice(missing).flat();
      const kept = Object.keys(headers(...own.slice(0, 14 - important.length), ...others));
      assert.equal(kept.length, 14);
      for (const name of important) assert.ok(kept.includes(name), `${name} of ${kept}`);
    }
    assert.deepEqual(
      Object.keys(
        headers('X-MS-A: 1', ...own.slice(0, 12), 'Thread-Index: x', 'List-Unsubscribe: <https://x.test>', 'X-Last: 1'),
      ),
      [...own.slice(0, 12).map(line => line.split(':')[0]), 'List-Unsubscribe', 'X-Last'],
    );
  });

  it('leaves List-Unsubscribe there, however many List-* there are', () => {
    const lists = Array.from({ length: 30 }, (_, index) => `List-X-${index}: 1`);
    assert.ok('List-Unsubscribe' in headers(...lists, 'List-Unsubscribe: <https://x.test>'));
  });

  it('of hundreds of thousands takes no time to speak of', () => {
    const took = countCpu();
    const many = Array.from({ length: 60_000 }, (_, index) => `a${index}: é`).join('\r\n');
    assert.equal(Object.keys(headers(many)).length, 14);
    const folds = ' \r\n'.repeat(100_000);
    assert.deepEqual(headers(`A: ${'é '.repeat(100_000)}`, `B: x${' \u0001'.repeat(100_000)}`, `C: x${folds} y`), {
      B: 'x',
      C: 'x y',
    });
    assert.ok(took() < 10_000);
  });
});

describe('headers of any kind', () => {
  it('come out as SES takes them', () => {
    const random = generator(20261128);
    for (let round = 0; round < 2_000; round += 1) {
      const written = Array.from({ length: random(40) }, () => `${randomName(random)}: ${randomValue(random)}`);
      const hasAttachments = round % 3 === 0;
      const read = fields(...written);
      let sent: Readonly<Record<string, string>>;
      try {
        sent = sendableHeaders(read, hasAttachments).headers;
      } catch (error) {
        assert.equal((error as Refusal).rule, 'list_unsubscribe_length');
        continue;
      }
      const names = Object.keys(sent);
      assert.ok(hasAttachments || names.length <= 14);
      assert.equal(new Set(names.map(name => name.toLowerCase())).size, names.length);
      for (const [name, value] of Object.entries(sent)) {
        assert.match(name, /^[!-9;-~]{1,126}$/);
        assert.doesNotMatch(name, SET_BY_SES);
        assert.match(value, /^[ -~]{1,870}$/, name);
        assert.equal(value.trim(), value);
      }
    }
  });
});

type Random = (below: number) => number;

/** The same numbers each time (mulberry32). */
function generator(seed: number): Random {
  let state = seed;
  return below => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296) * below);
  };
}

const NAMES = [
  'References',
  'In-Reply-To',
  'List-Unsubscribe',
  'List-Id',
  'Message-ID',
  'Sender',
  'Errors-To',
  'X-Entity-ID',
  'Date',
  'X-MS-A',
  'Comments',
];

function randomName(random: Random): string {
  const name = NAMES[random(2 * NAMES.length)] ?? `X-${random(30)}${'y'.repeat(random(10) === 0 ? 130 : 0)}`;
  return random(2) === 0 ? name : name.toLowerCase();
}

const PIECES = [
  'a',
  'word',
  '<a@b.test>',
  '"',
  ',',
  '(',
  '=?utf-8?Q?x?=',
  'é',
  '日本',
  '🙂',
  '\t',
  '\u0001',
  '\u0085',
  '\u2028',
  '\r\n ',
  '\r\n\t\t',
  '  ',
  '@',
  '<',
];

function randomValue(random: Random): string {
  const length = random(20) === 0 ? 400 : random(12);
  return Array.from({ length }, () => PIECES[random(PIECES.length)]).join(random(2) === 0 ? '' : ' ');
}
