import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { breakLongLines, refuseLongFields } from '../../src/message/header/sendable-lines.ts';
import type { Refusal } from '../../src/message/refusal.ts';
import { countCpu } from '../support/cpu.ts';

function longest(text: string): number {
  return Math.max(...text.split('\n').map(line => Buffer.byteLength(line)));
}

describe('lines of a body beside attachments', () => {
  it('stay as they are where none is longer than 998 bytes', () => {
    for (const text of [
      '',
      '\n',
      'x'.repeat(998),
      `${'é'.repeat(499)}\n${'🙂'.repeat(249)}\n`,
      'a b\n'.repeat(10_000),
    ]) {
      assert.equal(breakLongLines(text, false), text);
      assert.equal(breakLongLines(text, true), text);
    }
  });

  it('are broken at spaces, of which one becomes the break', () => {
    const words = Array.from({ length: 1_000 }, (_, index) => `word${index}`).join(' ');
    const broken = breakLongLines(`short\n${words}\nshort`, false);
    assert.ok(longest(broken) <= 998);
    assert.equal(broken.replaceAll('\n', ' '), `short ${words} short`);
  });

  it('are broken between characters where there is no space, and no character is', () => {
    for (const text of [
      '日本語'.repeat(1_000),
      '🙂'.repeat(1_000),
      `x${'🙂'.repeat(1_000)}`,
      'A'.repeat(5_000),
      'é'.repeat(999),
    ]) {
      const broken = breakLongLines(text, false);
      assert.ok(longest(broken) <= 998 && broken.isWellFormed());
      assert.equal(broken.replaceAll('\n', ''), text);
    }
  });

  it('of HTML are broken within tags rather than in texts', () => {
    const cells = '<td class="a">one two</td><!-- c --><br/>'.repeat(100);
    const broken = breakLongLines(`<table>${cells}</table>`, true);
    assert.ok(longest(broken) <= 998);
    assert.equal(broken.replaceAll('\n>', '>'), `<table>${cells}</table>`);
    const image = `<p>x</p><img src="data:image/png;base64,${'QUJD'.repeat(2_000)}"><p>y`;
    assert.ok(longest(breakLongLines(image, true)) <= 998);
    assert.equal(breakLongLines(image, true).replaceAll('\n', ''), image.replace('<img src', '<imgsrc'));
  });

  it('of tens of megabytes take no time to speak of', () => {
    const took = countCpu();
    for (const text of ['x'.repeat(20_000_000), '> '.repeat(5_000_000), '<b>'.repeat(3_000_000)]) {
      assert.ok(longest(breakLongLines(text, true)) <= 998);
    }
    assert.ok(took() < 10_000);
  });
});

describe('fields beside attachments', () => {
  const fields = { subject: '', to: [], cc: [], bcc: [], replyTo: [] };
  const addresses = (count: number) =>
    Array.from({ length: count }, (_, index) => `r${10 + index}@longer-name.example.com`);

  it('fit in a line of 998', () => {
    refuseLongFields({ ...fields, subject: 'é'.repeat(494), to: addresses(34), cc: addresses(34), bcc: addresses(34) });
    for (const long of [
      { subject: 'é'.repeat(495) },
      { to: addresses(40) },
      { cc: addresses(40) },
      { bcc: addresses(40) },
      { replyTo: addresses(40) },
    ]) {
      assert.throws(
        () => refuseLongFields({ ...fields, ...long }),
        (error: Refusal) => error.code === 554 && error.message.startsWith('With attachments, '),
      );
    }
  });
});
