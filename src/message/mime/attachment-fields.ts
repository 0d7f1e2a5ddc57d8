import { type BodyText, stringsOf } from '../text/body-text.ts';
import { withoutControls } from '../text/charset.ts';

/** RFC 2045 section 5.1: a token, a slash, a token. */
const MEDIA_TYPE = /^[\w!#$%&'*+.^`{|}~-]+\/[\w!#$%&'*+.^`{|}~-]+$/;
/** Longer ones are no registered types (RFC 6838 section 4.2 has 127 for each half), and would not leave room in a line. */
const MAX_MEDIA_TYPE = 127;
const UNKNOWN_TYPE = 'application/octet-stream';

/** The media type in lower case, without parameters; what is not of its form is `application/octet-stream`. */
export function mediaType(declared: string): string {
  const type = (declared.split(';', 1)[0] as string).trim().toLowerCase();
  return MEDIA_TYPE.test(type) && type.length <= MAX_MEDIA_TYPE ? type : UNKNOWN_TYPE;
}

/** The limit of file systems. Such a name fits in a line of 998, in any encoding. */
const MAX_FILENAME_BYTES = 255;
/** A longer end behind a dot is no extension. */
const MAX_EXTENSION = 16;

/**
 * A file's name without the folders before it, and without characters that no name has; a very long one is shortened
 * before its extension.
 *
 * @returns empty where nothing is left
 */
export function fileName(declared: string): string {
  const name = withoutControls(declared.toWellFormed());
  const elements = name.split(/[\\/]/).map(element => element.trim());
  return shorten(elements.findLast(element => !/^\.*$/.test(element)) ?? '');
}

function shorten(name: string): string {
  if (Buffer.byteLength(name) <= MAX_FILENAME_BYTES) return name;
  const dot = name.lastIndexOf('.');
  const extension = dot > 0 && name.length - dot <= MAX_EXTENSION ? name.slice(dot) : '';
  const chars = [...name.slice(0, MAX_FILENAME_BYTES)];
  while (Buffer.byteLength(chars.join('') + extension) > MAX_FILENAME_BYTES) chars.pop();
  return chars.join('').toWellFormed() + extension;
}

const MAX_CONTENT_ID = 512;
/** Printable ASCII but angle brackets. */
const CONTENT_ID = /^[ -;=?-~]+$/;

/** A Content-ID without its angle brackets; null where a header field could not carry it. */
export function contentId(declared: string): string | null {
  const id = declared.trim().replace(/^</, '').replace(/>$/, '').trim();
  return CONTENT_ID.test(id) && id.length <= MAX_CONTENT_ID ? id : null;
}

const CID_LINK = /\bcid:(<[^<>"']*>|[^\s"'<>]*)/gi;

/** The Content-IDs that HTML names by `cid:` (RFC 2392), in every way in which such a link can be read. */
export function namedContentIds(html: BodyText): ReadonlySet<string> {
  const ids = new Set<string>();
  for (const piece of stringsOf(html)) {
    for (const [, link = ''] of piece.matchAll(CID_LINK)) addLink(ids, link);
  }
  return ids;
}

function addLink(ids: Set<string>, link: string): void {
  // Each of its characters may be written as `%41`.
  if (link.length > 3 * MAX_CONTENT_ID) return;
  const text = link.replaceAll(/&(?:amp|#38);/gi, '&').replace(/&(?:quot|apos|#34|#39);.*/i, '');
  // CSS and `srcset` end it at these characters; elsewhere they are part of it.
  for (const form of [text, text.split(/[),;]/, 1)[0] as string]) addMeanings(ids, form);
}

function addMeanings(ids: Set<string>, text: string): void {
  for (const meaning of [text, decodePercent(text)]) {
    const id = contentId(meaning);
    if (id !== null) ids.add(id);
  }
}

function decodePercent(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
