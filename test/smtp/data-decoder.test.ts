import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { DataDecoder } from '../../src/smtp/data/decoder.ts';

interface Decoded {
  readonly content: string;
  /** What stands behind the end of data; null where there is no end. */
  readonly rest: string | null;
  readonly bareLineEnding: boolean;
  readonly longestLine: number;
}

function decode(chunks: readonly string[], normalise: boolean): Decoded {
  const content: Buffer[] = [];
  const decoder = new DataDecoder(bytes => content.push(Buffer.from(bytes)), normalise);
  let rest: string | null = null;
  for (const chunk of chunks) {
    if (rest !== null) {
      rest += chunk;
      continue;
    }
    const end = decoder.push(Buffer.from(chunk, 'latin1'));
    if (end !== -1) rest = chunk.slice(end);
  }
  return { content: Buffer.concat(content).toString('latin1'), rest, ...decoder.facts() };
}

/** The same, written for the whole text at once: lines by their ends, then dots. */
function reference(text: string, normalise: boolean): Decoded {
  const lines = [...text.matchAll(/((?:[^\r\n])*)(\r\r\n|\r\n|\r|\n|$)/g)].flatMap(([, line = '', end = '']) =>
    normalise ? [{ line, end }] : splitEnd(line, end),
  );
  let content = '';
  let consumed = 0;
  let longestLine = 0;
  let bareLineEnding = false;
  let previousEnd = '\r\n';
  for (const { line, end } of lines) {
    const afterCrlf = previousEnd.endsWith('\r\n');
    if (afterCrlf && line === '.' && end === '\r\n') {
      return { content, rest: text.slice(consumed + 3), bareLineEnding, longestLine };
    }
    consumed += line.length + end.length;
    const isBare = end !== '' && end !== '\r\n';
    const doubled = line.startsWith('..') || (line.startsWith('.') && afterCrlf);
    const decoded = doubled ? line.slice(1) : line;
    if (end !== '') longestLine = Math.max(longestLine, decoded.length);
    bareLineEnding ||= isBare;
    content += decoded + (normalise && isBare ? '\r\n' : end);
    previousEnd = end;
  }
  return { content, rest: null, bareLineEnding, longestLine };
}

/** `CR CR LF` is a bare CR and a CRLF where line ends stay as they are. */
function splitEnd(line: string, end: string) {
  if (end !== '\r\r\n') return [{ line, end }];
  return [
    { line, end: '\r' },
    { line: '', end: '\r\n' },
  ];
}

/** Numbers that are the same in each run (mulberry32). */
function createRandom(seed: number): (below: number) => number {
  let state = seed;
  return below => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
  };
}

function cut(text: string, random: (below: number) => number): string[] {
  const chunks: string[] = [];
  for (let start = 0; start < text.length; ) {
    const length = 1 + random(random(3) === 0 ? 20 : 4);
    chunks.push(text.slice(start, start + length));
    start += length;
  }
  return chunks;
}

describe('DataDecoder', () => {
  for (const [name, sent, content] of [
    ['plain lines', 'a\r\nb\r\n', 'a\r\nb\r\n'],
    ['nothing', '', ''],
    ['empty lines', '\r\n\r\n', '\r\n\r\n'],
    ['dots at the start of lines', '..\r\n..a\r\n.b\r\n...\r\n', '.\r\n.a\r\nb\r\n..\r\n'],
    ['dots elsewhere', 'a.\r\na..b\r\n', 'a.\r\na..b\r\n'],
  ] as const) {
    it(`takes ${name}, cut at every place`, () => {
      const text = `${sent}.\r\nNOOP\r\n`;
      for (let at = 0; at <= text.length; at += 1) {
        const decoded = decode([text.slice(0, at), text.slice(at)], false);
        assert.deepEqual([decoded.content, decoded.rest, decoded.bareLineEnding], [content, 'NOOP\r\n', false]);
      }
    });
  }

  it('ends at CRLF . CRLF and nowhere else', () => {
    const ends = [
      '\n.\n',
      '\n.\r\n',
      '\r.\r',
      '\r.\r\n',
      '\r\n.\n',
      '\r\n.\r',
      '\r\r\n.\r',
      '\r\n.\r\r\n',
      '\r\n.\0\r\n',
    ];
    for (const end of ends) {
      for (const normalise of [false, true]) {
        const decoded = decode([...`a${end}b\r\n`], normalise);
        assert.equal(decoded.rest, null, JSON.stringify(end));
        assert.equal(decoded.bareLineEnding, !end.includes('\0'), JSON.stringify(end));
      }
    }
  });

  it('turns bare line ends into CRLF where asked', () => {
    assert.equal(decode(['a\nb\rc\r\r\nd\r\n'], true).content, 'a\r\nb\r\nc\r\nd\r\n');
    assert.equal(decode(['a\r\rb\r\r\r\nc\n\nd\r\n'], true).content, 'a\r\n\r\nb\r\n\r\nc\r\n\r\nd\r\n');
    assert.equal(decode(['a\nb\rc\r\r\nd\r\n'], false).content, 'a\nb\rc\r\r\nd\r\n');
  });

  it('measures the longest line without its end and the dots of transparency', () => {
    assert.equal(decode(['abc\r\n..de\r\n.\r\n'], false).longestLine, 3);
    assert.equal(decode(['ab', 'cde', '\r', '\n', '.', '\r\n'], false).longestLine, 5);
  });

  it('says the same as a reference for random text in random cuts', () => {
    const random = createRandom(20_261);
    const alphabet = ['\r\n', '\r\n', '\r\n.', '\r\n.\r\n', '\r', '\n', '.', '..', 'a', 'bc', '\0', '\xff'];
    for (let round = 0; round < 20_000; round += 1) {
      const text = Array.from({ length: random(14) }, () => alphabet[random(alphabet.length)]).join('');
      const ended = `${text}x\r\n.\r\nrest`;
      for (const normalise of [false, true]) {
        const expected = reference(ended, normalise);
        const actual = decode(cut(ended, random), normalise);
        assert.deepEqual(actual, expected, `${JSON.stringify(ended)}, normalise: ${normalise}`);
      }
    }
  });
});
