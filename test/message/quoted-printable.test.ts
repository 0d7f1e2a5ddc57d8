import assert from 'node:assert/strict';
import { it } from 'node:test';
import libqp from 'libqp';
import { decodeQuotedPrintable, QuotedPrintableDecoder } from '../../src/message/mime/decoders.ts';
import { countCpu } from '../support/cpu.ts';

const PIECES = ['=', ' ', '\t', '\r', '\n', '\r\n', 'a', 'F', '3', '=3D', '=\r\n', '\xe9', '=0A', '=20'];

/** Texts of pieces that mean something, the same in each run. */
function* texts(count: number): Generator<string> {
  let state = 1;
  const next = (below: number): number => {
    state = (state * 1_103_515_245 + 12_345) % 2_147_483_648;
    return Math.floor((state / 2_147_483_648) * below);
  };
  for (let made = 0; made < count; made += 1) {
    yield Array.from({ length: 1 + next(9) }, () => PIECES[next(PIECES.length)]).join('');
  }
}

it('gives what libqp gives, however malformed', () => {
  for (const text of texts(20_000)) {
    const decoded = decodeQuotedPrintable(Buffer.from(text, 'latin1')).toString('latin1');
    assert.equal(decoded, libqp.decode(text).toString('latin1'), JSON.stringify(text));
  }
});

it('tells where each byte was written', () => {
  for (const text of texts(3_000)) {
    const encoded = Buffer.from(text, 'latin1');
    const positions = new Uint32Array(encoded.length + 1);
    const decoded = decodeQuotedPrintable(encoded, positions);
    assert.equal(positions[decoded.length], encoded.length, JSON.stringify(text));
    for (let at = 0; at < decoded.length; at += 1) {
      const rest = decodeQuotedPrintable(encoded.subarray(positions[at]));
      assert.deepEqual(rest, decoded.subarray(at), JSON.stringify([text, at]));
    }
  }
});

it('gives the same as a stream, wherever its chunks end', async () => {
  for (const text of texts(300)) {
    const stream = new QuotedPrintableDecoder();
    for (const char of text) stream.write(Buffer.from(char, 'latin1'));
    stream.end();
    const decoded = Buffer.concat(await stream.toArray());
    assert.equal(decoded.toString('latin1'), libqp.decode(text).toString('latin1'), JSON.stringify(text));
  }
});

it('takes no longer for a run of white space than for a text', () => {
  const took = countCpu();
  decodeQuotedPrintable(Buffer.from(`${' '.repeat(4_000_000)}x${'=\r\n'.repeat(1_000_000)}`));
  assert.ok(took() < 2_000);
});
