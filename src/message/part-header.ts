/** What the header of a part says of its content. */
export interface PartHeader {
  /** Lower case; false where there is none. */
  readonly contentType: string | false;
  /** Lower case; false where there is none. */
  readonly disposition: string | false;
  readonly filename: string | false;
}

interface PlacedPartHeader extends PartHeader {
  readonly headers: { hasHeader(name: string): boolean };
  readonly parentNode?: { readonly multipart: string | false };
}

const TOKEN = '[^\\s()<>@,;:\\\\"/[\\]?=]+';
/** RFC 2045 section 5.1. */
const MEDIA_TYPE = new RegExp(`^${TOKEN}/${TOKEN}$`);
/** Texts that are for programs. */
const NO_BODY = /^text\/(?:calendar|(?:x-)?vcard|directory|rfc822-headers|x-amp-html)$/;
const KNOWN_ENCODINGS = new Set(['', '7bit', '8bit', 'binary', 'quoted-printable', 'base64']);
const UUENCODED = /^(?:x-)?uu(?:e|encode)?$/;

/**
 * The media type that a part has. One that is not of the form type/subtype counts as none, and so as text (RFC 2045 section 5.2),
 * or as a file where it is named as one; a part of a digest without a type is a message (RFC 2046 section 5.1.5).
 */
export function effectiveType(part: PlacedPartHeader): string {
  const { contentType, parentNode } = part;
  if (parentNode?.multipart === 'digest' && !part.headers.hasHeader('content-type')) return 'message/rfc822';
  if (contentType === false || !MEDIA_TYPE.test(contentType))
    return isFile(part) ? 'application/octet-stream' : 'text/plain';
  return contentType.replace(/^x-multipart\//, 'multipart/');
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
 * Whether a part that is neither text/plain nor text/html is what people read where there is no other: an unknown kind of text
 * is to be shown as text/plain (RFC 2046 section 4.1.4).
 */
export function mayBeBody(part: PartHeader): boolean {
  const type = part.contentType || '';
  return type.startsWith('text/') && !NO_BODY.test(type) && !isFile(part);
}

/** The AMP version of a mail stands beside HTML and text, and is nothing without its place there (amp.dev, "AMP email structure"). */
export function isAmpVersion(part: PartHeader): boolean {
  return part.contentType === 'text/x-amp-html' && !isFile(part);
}

function isFile({ disposition, filename }: PartHeader): boolean {
  return filename !== false || (disposition !== false && disposition !== 'inline');
}
