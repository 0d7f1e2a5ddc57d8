import { hasLongLine, type Range } from '../bytes.ts';
import { bodyOffset, trimWhiteSpaceEnd } from '../header/fields.ts';
import { goesOut } from '../header/sent-fields.ts';
import { SEALING_FIELDS } from '../mime/part-header.ts';
import { isMessage, isSealed, type NewContent, newContent } from './content.ts';
import { encodingField, folded, mendedFields, type NewField, textType } from './header.ts';
import {
  contentPlace,
  type Division,
  divide,
  fieldPlace,
  type MimePart,
  messagePlace,
  type Place,
  type PlacedField,
  partPlace,
  readPart,
  WHOLE,
} from './mime-part.ts';

/** What the next hop asks of a message. */
export interface MendingRules {
  /** No line of more than 998 bytes. */
  readonly lines: boolean;
  /** Content-Type and Content-Disposition of another form than RFC 2045's are written as what they mean; so is a multipart without parts. */
  readonly types: boolean;
  /** The client's signatures do not go out, and so keep nothing from being changed (`goesOut`). */
  readonly unsigned?: boolean;
}

/** A line that is too long, and goes out. */
export interface LongLine {
  /** For a reply: `header References`, `the body`, `part 2 (application/json)`. */
  readonly place: string;
  readonly kind: 'field' | 'content';
}

/** Why a long line stays: it cannot be folded or encoded, or is signed or encrypted. */
export interface Fault extends LongLine {
  readonly sealed: boolean;
}

/** Puts these pieces in the place of what stands there. */
export interface Edit extends Range {
  readonly pieces: () => Iterable<Buffer>;
}

export interface Mending {
  /** In order, none over another. */
  readonly edits: readonly Edit[];
  readonly firstLong: LongLine | null;
  readonly fault: Fault | null;
  /** How many fields that are not of their form (`ContentFields`) are written anew. */
  readonly types: number;
  /** A message within was looked into. */
  readonly within: boolean;
  /** How many multiparts without parts stay what they are, since they are signed. */
  readonly sealedEmpty: number;
}

/** Parts in parts, and messages in messages, that are looked into. */
const MAX_DEPTH = 120;
/** Bytes of a header in a message within; that of the message itself, and those of its parts, were bounded when it was read. */
const MAX_HEADER = 1_048_576;
const SEALING_NAMES = new Set(SEALING_FIELDS.map(name => name.toLowerCase()));

/**
 * Says how a message becomes one that the next hop takes. This is decided here alone, so nothing is accepted that cannot be mended
 * when it is sent. Header fields are folded. Content is encoded, or gets line breaks in its encoding: decoded, it is the same.
 * Signed and encrypted content stays as it is.
 *
 * Yields between pieces of work, so that a caller can give others their turn.
 *
 * @param raw as received: lines end with CRLF
 */
export function* planMending(raw: Buffer, rules: MendingRules): Generator<void, Mending> {
  const planner = new Planner(raw, rules);
  yield* planner.message({ start: 0, end: raw.length }, WHOLE);
  return planner.mending();
}

class Planner {
  readonly #raw: Buffer;
  readonly #rules: MendingRules;
  readonly #edits: Edit[] = [];
  #firstLong: LongLine | null = null;
  #fault: Fault | null = null;
  #types = 0;
  #within = false;
  #sealedEmpty = 0;

  constructor(raw: Buffer, rules: MendingRules) {
    this.#raw = raw;
    this.#rules = rules;
  }

  mending(): Mending {
    // A part's header is edited after its content.
    const edits = this.#edits.sort((one, other) => one.start - other.start || one.end - other.end);
    return {
      edits,
      firstLong: this.#firstLong,
      fault: this.#fault,
      types: this.#types,
      within: this.#within,
      sealedEmpty: this.#sealedEmpty,
    };
  }

  /** The message, or one within it. */
  *message(range: Range, place: Place): Generator<void> {
    if (!this.#concerns(range, place) || this.#isBoundless(range, place)) return;
    const part = readPart(this.#raw, range.start, range.end, false);
    const isSigned = part.fields.some(field => SEALING_NAMES.has(field.name) && this.#isSent(field, place));
    yield* this.#part(part, { ...place, isSealed: place.isSealed || isSigned }, true);
  }

  *#part(read: MimePart, place: Place, isWhole: boolean): Generator<void> {
    yield;
    const part = this.#isLoose(read, place) ? { ...read, type: 'text/plain' } : read;
    this.#header(part, place, part === read ? null : textType(this.#raw, read));
    if (part.type.startsWith('multipart/')) yield* this.#multipart(part, place);
    else if (this.#isLong({ start: part.bodyAt, end: part.end })) yield* this.#leaf(part, place, isWhole);
  }

  *#leaf(part: MimePart, place: Place, isWhole: boolean): Generator<void> {
    const isClosed = place.isSealed || isSealed(this.#raw, part);
    if (isMessage(part) && !isClosed && place.depth < MAX_DEPTH) {
      this.#within = true;
      yield* this.message({ start: part.bodyAt, end: part.end }, messagePlace(place, false));
      return;
    }
    const content = isClosed ? null : newContent(this.#raw, part);
    this.#longLine({ place: contentPlace(place, part), kind: 'content' }, content !== null, isClosed);
    if (content !== null) this.#replaceContent(part, content, isWhole);
  }

  #replaceContent(part: MimePart, { encoding, pieces }: NewContent, isWhole: boolean): void {
    this.#edits.push({ start: part.bodyAt, end: part.end, pieces });
    if (encoding === null) return;
    const { text, ...range } = encodingField(part, encoding, isWhole);
    // It may have been folded, where it has a long comment.
    const before = this.#edits.findIndex(({ start, end }) => start === range.start && end === range.end && end > start);
    if (before !== -1) this.#edits.splice(before, 1);
    this.#replace(range, text);
  }

  *#multipart(part: MimePart, place: Place): Generator<void> {
    const within = {
      isSealed: place.isSealed || isSealed(this.#raw, part),
      inDigest: part.type === 'multipart/digest',
    };
    if (!this.#concerns({ start: part.bodyAt, end: part.end }, place)) return;
    const division = place.depth < MAX_DEPTH ? divide(this.#raw, part) : null;
    if (division === null) {
      const isLong = this.#isLong({ start: part.bodyAt, end: part.end });
      if (isLong) this.#longLine({ place: contentPlace(place, part), kind: 'content' }, false, within.isSealed);
      return;
    }
    this.#betweenParts(part, division, place, within.isSealed);
    for (const [index, range] of division.parts.entries()) {
      const inner = partPlace(place, index + 1, within);
      if (!this.#concerns(range, inner) || this.#isBoundless(range, inner)) continue;
      yield* this.#part(readPart(this.#raw, range.start, range.end, within.inDigest), inner, false);
    }
  }

  /** What stands before the first and behind the last part is shown to nobody, and left out where it is too long. */
  #betweenParts(part: MimePart, { around, delimiters }: Division, place: Place, isClosed: boolean): void {
    const long: LongLine = { place: contentPlace(place, part), kind: 'content' };
    for (const range of around.filter(each => this.#isLong(each))) {
      this.#longLine(long, !isClosed, isClosed);
      if (!isClosed) this.#replace(range, '');
    }
    for (const range of delimiters.filter(each => this.#isLong(each))) {
      const text = `${trimWhiteSpaceEnd(this.#raw.toString('latin1', range.start, range.end))}\r\n`;
      const fits = !isClosed && !hasLongLine(Buffer.from(text, 'latin1'));
      this.#longLine(long, fits, isClosed);
      if (fits) this.#replace(range, text);
    }
  }

  /** Whether it is a multipart without parts: what stands in it is text, to those who show it at all. */
  #isLoose(part: MimePart, place: Place): boolean {
    if (!this.#rules.types || place.of !== '' || !part.type.startsWith('multipart/')) return false;
    if (place.depth >= MAX_DEPTH || divide(this.#raw, part) !== null) return false;
    const isClosed = place.isSealed || isSealed(this.#raw, part);
    if (isClosed) this.#sealedEmpty += 1;
    return !isClosed;
  }

  #mendsTypes({ of, isSealed: sealed }: Place): boolean {
    return this.#rules.types && of === '' && !sealed;
  }

  /** @param loose the Content-Type of a multipart that is text; null for any other part */
  #header(part: MimePart, place: Place, loose: NewField | null): void {
    const mended = this.#mendsTypes(place) ? mendedFields(this.#raw, part) : [];
    const anew = new Map([...mended, ...(loose ? [loose] : [])].map(({ field, text }) => [field, text]));
    this.#types += mended.filter(({ text }) => text !== null).length;
    for (const field of part.fields) {
      const text = anew.get(field);
      if (typeof text === 'string') this.#replace(field, text);
      else if (this.#rules.lines && this.#isSent(field, place)) this.#fold(field, place);
    }
  }

  #fold(field: PlacedField, place: Place): void {
    const anew = folded(this.#raw, field);
    if (anew === null) return;
    const isMended = anew.text !== null && !place.isSealed;
    this.#longLine({ place: fieldPlace(place, this.#raw, field), kind: 'field' }, isMended, place.isSealed);
    if (isMended) this.#replace(field, anew.text as string);
  }

  #longLine(line: LongLine, isMended: boolean, sealed: boolean): void {
    this.#firstLong ??= line;
    if (!isMended) this.#fault ??= { ...line, sealed };
  }

  #replace({ start, end }: Range, text: string): void {
    const bytes = Buffer.from(text, 'latin1');
    this.#edits.push({ start, end, pieces: () => [bytes] });
  }

  /** Types are looked at in the message's own parts, not in those of messages within it. */
  #concerns(range: Range, place: Place): boolean {
    return (this.#rules.types && place.of === '') || this.#isLong(range);
  }

  /** Nobody has bounded the headers of messages within, and nobody reads such ones. */
  #isBoundless({ start, end }: Range, place: Place): boolean {
    if (place.of === '' || bodyOffset(this.#raw.subarray(start, end)) <= MAX_HEADER) return false;
    const number = place.number === '' ? 'the header' : `the header of part ${place.number}`;
    this.#longLine({ place: `${number}${place.of}`, kind: 'field' }, false, place.isSealed);
    return true;
  }

  #isLong({ start, end }: Range): boolean {
    return this.#rules.lines && hasLongLine(this.#raw.subarray(start, end));
  }

  #isSent({ name }: PlacedField, { number, of }: Place): boolean {
    return number !== '' || of !== '' || goesOut(name, this.#rules.unsigned);
  }
}
