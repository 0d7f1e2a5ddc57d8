/** What the header of a part says of its content. */
export interface PartHeader {
  /** Lower case; false where there is none. */
  readonly contentType: string | false;
  /** Lower case; false where there is none. */
  readonly disposition: string | false;
  readonly filename: string | false;
}

interface PlacedPartHeader extends PartHeader {
  /** Whether the Content-Type names a boundary. */
  readonly hasBoundary: boolean;
  readonly headers: { hasHeader(name: string): boolean };
  readonly parentNode?: { readonly multipart: string | false };
}

const TOKEN = '[^\\s()<>@,;:\\\\"/[\\]?=]+';
/** RFC 2045 section 5.1, and what follows where a `;` is missing. */
const MEDIA_TYPE = new RegExp(`^"?(${TOKEN})[ \\t]*/[ \\t]*(${TOKEN})"?(?:[ \\t,(]+(.*))?$`, 's');
/** Texts that are for programs. */
const NO_BODY = /^text\/(?:calendar|(?:x-)?vcard|directory|rfc822-headers|x-amp-html|watch-html)$/;
const KNOWN_ENCODINGS = new Set(['', '7bit', '8bit', 'binary', 'quoted-printable', 'base64']);
const UUENCODED = /^(?:x-)?uu(?:e|encode)?$/;

/**
 * The type with which a Content-Type begins, as it is meant: `multipart` and a boundary are a multipart.
 *
 * @param value without parameters
 * @param hasBoundary whether one is named among them
 * @returns null where there is none; `rest` is what stands behind it
 */
export function namedType(
  value: string,
  hasBoundary: boolean,
): { readonly type: string; readonly rest: string } | null {
  const trimmed = value.trim();
  if (hasBoundary && /^multipart\/?$/i.test(trimmed)) return { type: 'multipart/mixed', rest: '' };
  const [, type, subtype, rest = ''] = MEDIA_TYPE.exec(trimmed) ?? [];
  return type === undefined ? null : { type: `${type}/${subtype}`, rest };
}

/**
 * The media type that a part has. One that is not of the form type/subtype counts as none, and so as text (RFC 2045 section 5.2),
 * or as a file where it is named as one; a part of a digest without a type is a message (RFC 2046 section 5.1.5).
 */
export function effectiveType(part: PlacedPartHeader): string {
  const { contentType, parentNode } = part;
  if (parentNode?.multipart === 'digest' && !part.headers.hasHeader('content-type')) return 'message/rfc822';
  const named = contentType === false ? null : namedType(contentType, part.hasBoundary);
  if (named === null) return isFile(part) ? 'application/octet-stream' : 'text/plain';
  return named.type.replace(/^x-multipart\//, 'multipart/');
}

/** The transfer encoding that is meant: `"base64"`, `7-bit`. Lower case; empty where there is none. */
export function effectiveEncoding(declared: string | false): string {
  const encoding = (declared || '').toLowerCase().replaceAll(/^["'\s]+|["';\s]+$/g, '');
  return encoding.replace(/^([78])-bits?$/, '$1bit').replace(/^(?:none|identity)$/, '');
}

/** Whether it is one of RFC 2045 section 6, or uuencode. */
export function isKnownEncoding(encoding: string | false): boolean {
  return KNOWN_ENCODINGS.has(encoding || '') || isUuencoded(encoding);
}

export function isUuencoded(encoding: string | false): boolean {
  return UUENCODED.test(encoding || '');
}

/**
 * Whether a part that is neither text/plain nor text/html is the body where there is no other: readers show an unknown kind of text
 * as text/plain (RFC 2046 section 4.1.4).
 */
export function mayBeBody(part: PartHeader): boolean {
  const type = part.contentType || '';
  return type.startsWith('text/') && !NO_BODY.test(type) && !isFile(part);
}

/**
 * Whether a part is a version of the mail for some programs: AMP's (amp.dev, "AMP email structure"), or that for watches. Such a
 * part stands beside HTML and text, and means nothing elsewhere.
 */
export function isSpecialVersion(part: PartHeader): boolean {
  return /^text\/(?:x-amp|watch)-html$/.test(part.contentType || '') && !isFile(part);
}

/** Where the splitter has found a part. */
interface PartPlace {
  readonly filename?: string | false;
  readonly partNr?: readonly (string | number)[] | false;
  readonly parentNode?: { readonly multipart?: string | false } | false;
}

/** Whether a part with a file name stands beside a body, and not for one. */
export function isNamedFile({ filename, partNr, parentNode }: PartPlace): boolean {
  return Boolean(filename && parentNode && parentNode.multipart === 'mixed' && partNr && Number(partNr.at(-1)) > 1);
}

function isFile({ disposition, filename }: PartHeader): boolean {
  return filename !== false || (disposition !== false && disposition !== 'inline');
}

/** RFC 1847, RFC 8551, RFC 3156: media types whose content breaks with any change. */
const SEALED_TYPE =
  /^(?:multipart\/(?:signed|encrypted)|application\/(?:(?:x-)?pkcs7-(?:mime|signature)|pgp-(?:encrypted|signature)))$/;
const PGP = [Buffer.from('-----BEGIN PGP MESSAGE-----'), Buffer.from('-----BEGIN PGP SIGNED MESSAGE-----')];

/** RFC 6376 and RFC 8617: header fields with a hash of the body, and of other fields. */
export const SEALING_FIELDS = ['DKIM-Signature', 'ARC-Message-Signature'];

/** Whether what is in a part of that type is signed or encrypted. @param type in lower case */
export function isSealedType(type: string): boolean {
  return SEALED_TYPE.test(type);
}

/** PGP in the text itself (RFC 9580 section 6.2). */
export function hasPgpText(content: Buffer): boolean {
  return PGP.some(marker => content.includes(marker));
}
