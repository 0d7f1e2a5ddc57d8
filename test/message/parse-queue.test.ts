import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
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
  it('are not stranded behind one whose time is over', async t => {
    t.mock.timers.enable({ apis: ['setTimeout'] });
    const parser = new Parser({ threadBytes: 0, threads: 1, timeout: 1_000 });
    t.after(() => parser.close());
    let isOver = false;
    const endless = assert.rejects(parse(parser, slow(4_000_000)), { code: 451, rule: 'parse_timeout' }).finally(() => {
      isOver = true;
    });
    const behind = parse(parser, slow(1));
    // Its time begins when a thread has it, and that one's has not begun when it is over.
    for (; !isOver; await sleep(20)) t.mock.timers.tick(1_000);
    await endless;
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
