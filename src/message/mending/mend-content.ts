import { hasPgpText, isSealedType } from '../mime/sealed.ts';
import { breakBase64, breakQuotedPrintable, type Pieces, toBase64, toQuotedPrintable } from './encode-content.ts';
import type { MimePart } from './mime-part.ts';

/** A part's content without long lines. */
export interface NewContent {
  /** Its Content-Transfer-Encoding; null where that stays. */
  readonly encoding: 'quoted-printable' | 'base64' | null;
  readonly pieces: () => Pieces;
}

const IDENTITY = new Set<string | null>(['', '7bit', '8bit', 'binary']);
const CRLF = Buffer.from('\r\n');

/** Whether a part is a message, whose own parts are to be encoded and not itself (RFC 2046 section 5.2.1, RFC 6532). */
export function isMessage({ type, encoding }: MimePart): boolean {
  return (type === 'message/rfc822' || type === 'message/global') && IDENTITY.has(encoding);
}

/** Whether a part's content is signed or encrypted. */
export function isSealed(raw: Buffer, { type, encoding, bodyAt, end }: MimePart): boolean {
  if (isSealedType(type)) return true;
  return type.startsWith('text/') && IDENTITY.has(encoding) && hasPgpText(raw.subarray(bodyAt, end));
}

/** The content of a part that is no multipart, encoded anew or in shorter lines; null where it cannot be. */
export function newContent(raw: Buffer, { type, encoding, bodyAt, end }: MimePart): NewContent | null {
  const content = raw.subarray(bodyAt, end);
  if (encoding === 'base64') return { encoding: null, pieces: () => breakBase64(content) };
  if (encoding === 'quoted-printable') return { encoding: null, pieces: () => breakQuotedPrintable(content) };
  if (!IDENTITY.has(encoding) || type.startsWith('message/')) return null;
  if (type.startsWith('text/')) return { encoding: 'quoted-printable', pieces: () => toQuotedPrintable(content) };
  return { encoding: 'base64', pieces: () => withLineEnd(toBase64(content), end === raw.length) };
}

/** Behind the last part of all there is no delimiter, whose line break would end the line. */
function* withLineEnd(pieces: Pieces, isLast: boolean): Pieces {
  yield* pieces;
  if (isLast) yield CRLF;
}
