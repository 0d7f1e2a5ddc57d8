import { isAscii } from 'node:buffer';
import { randomBytes } from 'node:crypto';
import { hasLongLine, type Range } from '../bytes.ts';

/** Whole lines that are left out. */
export interface Stretch extends Range {
  readonly isAscii: boolean;
}

export function isStretch(piece: Buffer | Stretch): piece is Stretch {
  return !Buffer.isBuffer(piece);
}

/**
 * As much of a large message as decisions need: its header, the headers of its parts, the lines that may divide them, and lines
 * that are too long or hint at PGP. A marker stands for each stretch of the rest. It is one line, no sender can guess it, and it
 * does not survive being encoded. So a marker that is still there after an edit stands for a stretch that the edit left as it was.
 */
export class Skeleton {
  readonly bytes: Buffer;
  readonly #token: Buffer;
  /** By the number of the marker. */
  readonly #left: ReadonlyMap<number, Stretch>;

  constructor(bytes: Buffer, token: string, left: ReadonlyMap<number, Stretch>) {
    this.bytes = bytes;
    this.#token = Buffer.from(token, 'latin1');
    this.#left = left;
  }

  /** The length of bytes that were made of the skeleton, with the stretches that their markers stand for. */
  sizeOf(bytes: Buffer): number {
    return this.takeApart(bytes).reduce(
      (sum, piece) => sum + (Buffer.isBuffer(piece) ? piece.length : piece.end - piece.start),
      0,
    );
  }

  /** Divides bytes that were made of the skeleton, in order: new bytes, and the stretches that markers stand for. */
  takeApart(bytes: Buffer): (Buffer | Stretch)[] {
    const pieces: (Buffer | Stretch)[] = [];
    let position = 0;
    for (const { number, start, end } of this.#markersIn(bytes)) {
      pieces.push(bytes.subarray(position, start), this.#left.get(number) as Stretch);
      position = end;
    }
    return [...pieces, bytes.subarray(position)].filter(piece => !Buffer.isBuffer(piece) || piece.length > 0);
  }

  /** The stretches whose markers these bytes lack. An edit wanted to change them, so they have to be put back first. */
  lostIn(bytes: Buffer): Stretch[] {
    const found = new Set([...this.#markersIn(bytes)].map(({ number }) => number));
    return [...this.#left].filter(([number]) => !found.has(number)).map(([, stretch]) => stretch);
  }

  /** The skeleton with these stretches in their place. @param read their bytes, one for one */
  with(stretches: readonly Stretch[], read: readonly Buffer[]): Skeleton {
    const pieces = this.takeApart(this.bytes).map(piece => {
      const index = Buffer.isBuffer(piece) ? -1 : stretches.indexOf(piece);
      return index === -1 ? piece : (read[index] as Buffer);
    });
    const numbers = new Map([...this.#left].map(([number, stretch]) => [stretch, number]));
    const written = pieces.map(piece =>
      Buffer.isBuffer(piece) ? piece : marker(this.#token.toString(), numbers.get(piece) as number),
    );
    const left = new Map([...this.#left].filter(([, stretch]) => !stretches.includes(stretch)));
    return new Skeleton(Buffer.concat(written), this.#token.toString(), left);
  }

  *#markersIn(bytes: Buffer): Generator<{ readonly number: number } & Range> {
    const token = this.#token;
    for (let at = bytes.indexOf(token); at !== -1; at = bytes.indexOf(token, at + token.length)) {
      const close = bytes.indexOf(END, at + token.length);
      const number = close === -1 ? -1 : Number(bytes.toString('latin1', at + token.length, close));
      if (this.#left.has(number)) yield { number, start: at, end: close + 1 };
    }
  }
}

const END = ';';

function marker(token: string, number: number): Buffer {
  return Buffer.from(`${token}${number}${END}`, 'latin1');
}

export interface SkeletonLimits {
  /** Shorter stretches are not left out. */
  readonly shortest: number;
  /** Bytes that are looked at together: one line that must stay keeps them all. */
  readonly block: number;
  /** A message whose skeleton would be larger has none. */
  readonly bytes: number;
}

const LIMITS: SkeletonLimits = { shortest: 4 * 1024, block: 32 * 1024, bytes: 2 * 1024 * 1024 };
const LF = 0x0a;
const CR = 0x0d;
const EMPTY_LINE = Buffer.from('\n\r\n');
const PGP = Buffer.from('-----BEGIN PGP ');
/** Readers of MIME take a carriage return before a delimiter for the rest of a line break. */
const DELIMITER = Buffer.from('\n--');
const ODD_DELIMITER = Buffer.from('\n\r--');

/**
 * Makes the skeleton of a message that is read slice by slice. Behind the empty line that ends a header, lines are left out up to
 * the next one that begins with `--`, which may divide parts, each of which has a header again.
 */
export class SkeletonBuilder {
  readonly #limits: SkeletonLimits;
  // Quoted-printable would encode the equals sign, and Base64 never has one in the middle.
  readonly #token = `${randomBytes(24).toString('hex')}=`;
  readonly #kept: Buffer[] = [];
  readonly #left = new Map<number, Stretch>();
  #keptBytes = 0;
  /** Of the next line. */
  #offset = 0;
  /** The beginning of a line whose end has not come yet. */
  #rest: Buffer = Buffer.alloc(0);
  #inHeader = true;
  /** Lines that can be left out, if there are enough of them. */
  #run: { readonly start: number; end: number; pieces: Buffer[]; lineEnd: Buffer; isAscii: boolean } | null = null;

  constructor(limits: Partial<SkeletonLimits> = {}) {
    this.#limits = { ...LIMITS, ...limits };
  }

  /** @param slice the next bytes @returns false where there is no skeleton: too much has to stay */
  add(slice: Buffer): boolean {
    const bytes = this.#rest.length === 0 ? slice : Buffer.concat([this.#rest, slice]);
    const end = bytes.lastIndexOf(LF) + 1;
    this.#lines(bytes.subarray(0, end));
    this.#rest = Buffer.from(bytes.subarray(end));
    return this.#keptBytes + this.#rest.length <= this.#limits.bytes;
  }

  end(): Skeleton {
    this.#endRun();
    this.#push(this.#rest);
    return new Skeleton(Buffer.concat(this.#kept), this.#token, this.#left);
  }

  /** @param lines whole ones */
  #lines(lines: Buffer): void {
    let position = 0;
    while (position < lines.length) {
      position = this.#inHeader ? this.#header(lines, position) : this.#body(lines, position);
    }
  }

  #header(lines: Buffer, start: number): number {
    const isEmpty = lines[start] === CR && lines[start + 1] === LF;
    const next = isEmpty ? -1 : lines.indexOf(EMPTY_LINE, start);
    this.#inHeader = !isEmpty && next === -1;
    const end = isEmpty ? start + 2 : next === -1 ? lines.length : next + EMPTY_LINE.length;
    this.#keep(lines.subarray(start, end));
    return end;
  }

  #body(lines: Buffer, start: number): number {
    const end = nextDelimiter(lines, start);
    for (let from = start; from < end; ) {
      const to = endOfBlock(lines, from, end, this.#limits.block);
      const block = lines.subarray(from, to);
      if (hasLongLine(block) || block.includes(PGP)) this.#keep(block);
      else this.#leaveOut(block);
      from = to;
    }
    this.#inHeader = end < lines.length;
    return end;
  }

  #leaveOut(block: Buffer): void {
    this.#run ??= { start: this.#offset, end: this.#offset, pieces: [], lineEnd: block, isAscii: true };
    const run = this.#run;
    this.#offset += block.length;
    run.end = this.#offset;
    run.lineEnd = Buffer.from(block.subarray(block.at(-2) === CR ? -2 : -1));
    run.isAscii &&= isAscii(block);
    if (run.end - run.start < this.#limits.shortest) run.pieces.push(Buffer.from(block));
    else run.pieces = [];
  }

  #keep(bytes: Buffer): void {
    if (bytes.length === 0) return;
    this.#endRun();
    this.#push(Buffer.from(bytes));
    this.#offset += bytes.length;
  }

  #endRun(): void {
    const run = this.#run;
    if (run === null) return;
    this.#run = null;
    if (run.end - run.start < this.#limits.shortest) {
      for (const piece of run.pieces) this.#push(piece);
      return;
    }
    // The line break before a delimiter belongs to the delimiter.
    const number = this.#left.size;
    this.#left.set(number, { start: run.start, end: run.end - run.lineEnd.length, isAscii: run.isAscii });
    this.#push(marker(this.#token, number));
    this.#push(run.lineEnd);
  }

  #push(bytes: Buffer): void {
    this.#kept.push(bytes);
    this.#keptBytes += bytes.length;
  }
}

/** Where the next line that begins with two dashes does; the end of the lines where there is none. */
function nextDelimiter(lines: Buffer, start: number): number {
  if (lines[start] === 0x2d && lines[start + 1] === 0x2d) return start;
  if (lines[start] === CR && lines[start + 1] === 0x2d && lines[start + 2] === 0x2d) return start;
  const plain = lines.indexOf(DELIMITER, start);
  const before = plain === -1 ? lines.length : plain + 1;
  // Not beyond the plain one, so that no byte is searched twice.
  const odd = lines.subarray(start, before).indexOf(ODD_DELIMITER);
  return odd === -1 ? before : start + odd + 1;
}

/** Behind the last line that ends within a block from there, or the first one where that is longer. */
function endOfBlock(lines: Buffer, start: number, end: number, size: number): number {
  if (end - start <= size) return end;
  const lineFeed = lines.lastIndexOf(LF, start + size - 1);
  return (lineFeed >= start ? lineFeed : lines.indexOf(LF, start)) + 1;
}
