import assert from 'node:assert/strict';
import { randomBytes, randomUUID } from 'node:crypto';
import { describe, it } from 'node:test';
import { readRawHeader, readRawMessage, readRawSlice } from '../../src/store/messages/raw.ts';
import { createDatabase } from '../support/database.ts';
import { openPool } from '../support/pool.ts';
import { storeMessage } from '../support/stored.ts';

describe('reading a message as it was received', () => {
  it('gives the bytes that are asked for, as many as there are, and null for what is not kept', async t => {
    const pool = openPool(await createDatabase(t), 2);
    t.after(() => pool.end());
    const raw = Buffer.concat([Buffer.from('Subject: x\r\n\r\n'), randomBytes(2_500_000)]);
    const id = await storeMessage(pool, { raw });
    const read = (start: number, length: number) => readRawSlice(pool, id, start, length);
    const K = 1024;
    const ranges = [
      ...[0, 1, 32 * K - 1, 32 * K, 32 * K + 1, 384 * K, 1_000_003].map(length => [0, length] as const),
      ...[1, 32 * K, 77_777, raw.length - 10, raw.length].map(start => [start, 384 * K] as const),
    ];
    const all = await Promise.all(ranges.map(([start, length]) => readRawSlice(pool, id, start, length)));
    for (const [index, [start, length]] of ranges.entries()) {
      assert.ok(all[index]?.equals(raw.subarray(start, start + length)), `${start} ${length}`);
    }
    assert.ok((await readRawMessage(read, raw.length))?.equals(raw));
    assert.equal(String(await readRawHeader(read, raw.length)), 'Subject: x\r\n\r\n');
    assert.equal(await readRawSlice(pool, randomUUID(), 0, 10), null);
    assert.equal(await readRawMessage(async () => null, 10), null);
    await assert.rejects(readRawMessage(read, raw.length + 1), /ends before/);
    await assert.rejects(readRawSlice(pool, "' or true --", 0, 10), TypeError);
    await pool.query('alter table smtp_relay_messages rename to away');
    await assert.rejects(readRawSlice(pool, id, 0, 10), { code: '42P01' });
    assert.equal((await pool.query('select 1 as one')).rows[0].one, 1, 'the connection is good for more');
  });
});
