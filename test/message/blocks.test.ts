import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { describe, it } from 'node:test';
import { readHeaderFields, startOf } from '../../src/message/header/fields.ts';
import { mail } from '../support/mail.ts';
import { inBlocks } from './in-blocks.ts';

const BLOCK = 50_000;

describe('a message in blocks', () => {
  it('gives any stretch of it', () => {
    const bytes = randomBytes(2.5 * BLOCK);
    const blocks = inBlocks(bytes, BLOCK);
    assert.equal(blocks.length, bytes.length);
    const edges = [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK, bytes.length - 1, bytes.length, bytes.length + 1];
    for (const start of edges) {
      for (const end of edges)
        assert.deepEqual(blocks.slice(start, end), bytes.subarray(start, end), `${start}–${end}`);
    }
  });

  it('gives the memory of its blocks back when they are joined, and when it is not needed any more', () => {
    const bytes = randomBytes(2.5 * BLOCK);
    const blocks = inBlocks(bytes, BLOCK);
    const pieces = [...blocks.pieces];
    assert.deepEqual(blocks.join(), bytes);
    assert.deepEqual(
      pieces.map(({ length }) => length),
      [0, 0, 0],
    );
    const [whole] = blocks.pieces;
    assert.equal(blocks.join(), whole);
    blocks.free();
    assert.equal(whole?.length, 0);
  });

  it('has its header read wherever it is cut', () => {
    const raw = mail('From: a@acme.test', 'Subject: x', '', 'body');
    for (let size = 1; size < raw.length; size += 1) {
      const fields = readHeaderFields(startOf(inBlocks(raw, size), 1_000), 1_000);
      assert.deepEqual(
        fields.map(({ name, value }) => [name, value]),
        [
          ['From', 'a@acme.test'],
          ['Subject', 'x'],
        ],
        `blocks of ${size}`,
      );
    }
  });

  it('has no more looked at than its header may have', () => {
    const raw = mail(`Subject: ${'x'.repeat(10 * BLOCK)}`, '', 'body');
    const start = startOf(inBlocks(raw, BLOCK), 2 * BLOCK);
    assert.equal(start.length, 3 * BLOCK);
    assert.throws(() => readHeaderFields(start, 2 * BLOCK), { code: 552, rule: 'header_size' });
  });
});
