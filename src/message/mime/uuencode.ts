import { Transform, type TransformCallback } from 'node:stream';

const LF = 0x0a;
const SPACE = 0x20;

const BEGIN = /^begin(-base64)? [0-7]{3,4} /;

/**
 * Decodes both forms of uuencode (POSIX.1-2017, `uuencode`): the lines between `begin` and `end`, each of which begins with how many
 * bytes it has, and Base64 between `begin-base64` and `====`. What has no such beginning comes out as it is. Takes bytes, gives bytes.
 */
export class UuDecoder extends Transform {
  #rest: Buffer = Buffer.alloc(0);
  /** What stands before the beginning; null where that has come. */
  #before: Buffer[] | null = [];
  #inside: 'historical' | 'base64' | null = null;

  override _transform(chunk: Buffer, _encoding: BufferEncoding, done: TransformCallback): void {
    const bytes = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    let start = 0;
    for (let end = bytes.indexOf(LF); end !== -1; end = bytes.indexOf(LF, start)) {
      this.#line(bytes.subarray(start, end + 1));
      start = end + 1;
    }
    this.#rest = bytes.subarray(start);
    done();
  }

  override _flush(done: TransformCallback): void {
    this.#line(this.#rest);
    for (const bytes of this.#before ?? []) this.push(bytes);
    done();
  }

  #line(bytes: Buffer): void {
    const line = bytes.toString('latin1').trimEnd();
    if (this.#inside !== null) this.#content(line, this.#inside);
    else {
      const [begin, base64] = BEGIN.exec(line) ?? [];
      if (begin === undefined) this.#before?.push(bytes);
      else {
        this.#inside = base64 === undefined ? 'historical' : 'base64';
        this.#before = null;
      }
    }
  }

  #content(line: string, form: 'historical' | 'base64'): void {
    if (line === (form === 'base64' ? '====' : 'end')) this.#inside = null;
    else this.push(form === 'base64' ? Buffer.from(line, 'base64') : decodeLine(line));
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
