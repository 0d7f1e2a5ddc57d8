import { createHash, type Hash } from 'node:crypto';
import type { Preview } from '../../outgoing/preview.ts';

/** How the JSON of SendEmail with a raw message begins. */
export const BODY_HEAD = '{"Content":{"Raw":{"Data":"';

/** The hash of a request's body as far as the message goes, whatever follows in it. */
export class SesBodyHash implements Preview {
  readonly #hash: Hash = createHash('sha256').update(BODY_HEAD);
  readonly #base64 = new Base64();

  add(bytes: Buffer): void {
    for (const text of this.#base64.encode(bytes)) this.#hash.update(text, 'latin1');
  }

  /** In lower-case hex. @param tail what stands behind the message; may be asked for several times */
  with(tail: string): string {
    return this.#hash.copy().update(this.#base64.rest, 'latin1').update(tail).digest('hex');
  }
}

/** Bytes in Base64, wherever their pieces end: what makes no group of three yet goes with the next. */
export class Base64 {
  #rest: Buffer = Buffer.alloc(0);

  /** Two texts, since putting them together would copy them. */
  encode(piece: Buffer): readonly [string, string] {
    const needed = this.#rest.length === 0 ? 0 : 3 - this.#rest.length;
    const first = Buffer.concat([this.#rest, piece.subarray(0, needed)]);
    if (first.length % 3 !== 0) {
      this.#rest = first;
      return ['', ''];
    }
    const whole = needed + Math.floor((piece.length - needed) / 3) * 3;
    this.#rest = Buffer.from(piece.subarray(whole));
    return [first.toString('base64'), piece.toString('base64', needed, whole)];
  }

  /** Of what has come, the last group. */
  get rest(): string {
    return this.#rest.toString('base64');
  }
}
