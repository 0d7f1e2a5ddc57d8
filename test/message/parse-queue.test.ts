import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { readHeaderFields } from '../../src/message/header/fields.ts';
import { Parser } from '../../src/message/parser.ts';
import { mail } from '../support/mail.ts';
import { PARTS_OPTIONS } from './read-parts.ts';

/** A message that takes the thread a while: many lines in a charset that is slow to decode. */
function slow(lines: number): Buffer {
  return mail(
    'From: a@acme.test',
    'Content-Type: multipart/mixed; boundary=b',
    '',
    '--b',
    'Content-Type: text/plain; charset=iso-2022-jp',
    '',
    '\x1b$B$"\x1b(Ba\r\n'.repeat(lines),
    '--b--',
  );
}

function parse(parser: Parser, raw: Buffer, signal?: AbortSignal) {
  return parser.parse(raw, readHeaderFields(raw, 10_000), PARTS_OPTIONS, signal);
}

describe('messages that wait for a parse thread', () => {
  it('have all their time when their turn comes', async t => {
    const parser = new Parser({ threadBytes: 0, threads: 1, timeout: 60_000 });
    t.after(() => parser.close());
    const started = performance.now();
    await parse(parser, slow(20_000));
    const took = performance.now() - started;
    const timeout = Math.ceil(3 * took + 1_000);
    const hurried = new Parser({ threadBytes: 0, threads: 1, timeout });
    t.after(() => hurried.close());
    // Together they take far longer than one may.
    const count = Math.ceil((3 * timeout) / took);
    await Promise.all(Array.from({ length: count }, () => parse(hurried, slow(20_000))));
  });

  it('are not stranded behind one whose time is over', async t => {
    const unhurried = new Parser({ threadBytes: 0, threads: 1, timeout: 60_000 });
    t.after(() => unhurried.close());
    // Its thread has started by then.
    await parse(unhurried, slow(1));
    const started = performance.now();
    await parse(unhurried, slow(150_000));
    const took = performance.now() - started;
    // Less than ten times as much takes, and enough for a small one on a slow machine.
    const parser = new Parser({ threadBytes: 0, threads: 1, timeout: Math.ceil(3 * took + 1_000) });
    t.after(() => parser.close());
    const endless = parse(parser, slow(4_000_000));
    const behind = parse(parser, slow(1));
    await assert.rejects(endless, { code: 451, rule: 'parse_timeout' });
    assert.equal((await behind).parts.text, 'あa\n');
  });

  it('are let go of at once where they are called off, and so is one that a thread works on', async t => {
    const parser = new Parser({ threadBytes: 0, threads: 1, timeout: 600_000 });
    t.after(() => parser.close());
    const reason = new Error('called off');
    const [working, waiting] = [new AbortController(), new AbortController()];
    const endless = parse(parser, slow(4_000_000), working.signal);
    const queued = parse(parser, slow(1), waiting.signal);
    const behind = parse(parser, slow(1));
    waiting.abort(reason);
    await assert.rejects(queued, reason);
    working.abort(reason);
    await assert.rejects(endless, reason);
    assert.equal((await behind).parts.text, 'あa\n');
  });
});
