import { mediaType } from '../mime/attachment-fields.ts';
import type { MimePart, PlacedField } from './mime-part.ts';

/** Where in a message something stands. */
export interface Place {
  /** Of the part: `2.1`; empty for a message itself. */
  readonly number: string;
  /** Of which message: empty for the one that is sent, else ` of the message in part 2`. */
  readonly of: string;
  /** How many parts and messages it is in. */
  readonly depth: number;
  /** Signed or encrypted by what is around it. */
  readonly isSealed: boolean;
  /** RFC 2046 section 5.1.5. */
  readonly inDigest: boolean;
}

export const WHOLE: Place = { number: '', of: '', depth: 0, isSealed: false, inDigest: false };

/** Longer ones say no more. */
const MAX_NAME = 60;
const MAX_PLACE = 150;

/** For a reply: `the body`, `part 2 (application/json)`. */
export function contentPlace({ number, of }: Place, { type }: MimePart): string {
  return shown(number === '' ? `the body${of}` : `part ${number}${of} (${mediaType(type)})`);
}

/** For a reply: `header References`, `header Content-Type of part 2`. */
export function fieldPlace({ number, of }: Place, raw: Buffer, { name, start }: PlacedField): string {
  const written = raw.toString('latin1', start, start + Math.min(name.length, MAX_NAME));
  const field = name === '' ? 'a header without a name' : `header ${written}`;
  return shown(`${field}${number === '' ? of : ` of part ${number}${of}`}`);
}

function shown(place: string): string {
  return place.slice(0, MAX_PLACE).replaceAll(/[^ -~]/g, '?');
}

/** @param nth from 1 */
export function partPlace(place: Place, nth: number, within: Pick<Place, 'isSealed' | 'inDigest'>): Place {
  const number = place.number === '' ? `${nth}` : `${place.number}.${nth}`;
  return { number, of: place.of, depth: place.depth + 1, ...within };
}

/** Of the message that a part is. */
export function messagePlace(place: Place, isSealed: boolean): Place {
  const of = ` of the message in ${place.number === '' ? 'the body' : `part ${place.number}`}${place.of}`;
  return { number: '', of: shown(of), depth: place.depth + 1, isSealed, inDigest: false };
}
