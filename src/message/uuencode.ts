import { Transform, type TransformCallback } from 'node:stream';

const LF = 0x0a;
const SPACE = 0x20;

/**
 * Decodes uuencode (POSIX.1-2017, `uuencode`, "uuencode Historical Algorithm"): the lines between `begin` and `end`; each begins
 * with how many bytes it has. Takes bytes, gives bytes.
 */
export class UuDecoder extends Transform {
  #rest: Buffer = Buffer.alloc(0);
  #inside = false;

  override _transform(chunk: Buffer, _encoding: BufferEncoding, done: TransformCallback): void {
    const bytes = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    let start = 0;
    for (let end = bytes.indexOf(LF); end !== -1; end = bytes.indexOf(LF, start)) {
      this.#line(bytes.subarray(start, end).toString('latin1').trimEnd());
      start = end + 1;
    }
    this.#rest = bytes.subarray(start);
    done();
  }

  override _flush(done: TransformCallback): void {
    this.#line(this.#rest.toString('latin1').trimEnd());
    done();
  }

  #line(line: string): void {
    if (!this.#inside) this.#inside = /^begin [0-7]{3,4} /.test(line);
    else if (line === 'end') this.#inside = false;
    else this.push(decodeLine(line));
  }
}

function decodeLine(line: string): Buffer {
  const value = (at: number): number => ((line.charCodeAt(at) || SPACE) - SPACE) & 0x3f;
  const length = line === '' ? 0 : value(0);
  const bytes = Buffer.alloc(Math.ceil(length / 3) * 3);
  for (let group = 0; group < bytes.length / 3; group += 1) {
    const at = 1 + group * 4;
    const bits = (value(at) << 18) | (value(at + 1) << 12) | (value(at + 2) << 6) | value(at + 3);
    bytes.writeUIntBE(bits, group * 3, 3);
  }
  return bytes.subarray(0, length);
}
