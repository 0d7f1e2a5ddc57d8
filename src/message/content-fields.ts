import libmime from 'libmime';

/** What a next hop reads in Content-Type and Content-Disposition, of the message and of each part. */
export interface ContentFields {
  /** Names of files, decoded. */
  readonly fileNames: readonly string[];
  /** The first field that is not of the form of RFC 2045 section 5.1 (RFC 2183 section 2); null where all are. */
  readonly unreadable: 'Content-Type' | 'Content-Disposition' | null;
  /** Where those not of the form are types that can be written as what they mean (`mendedContentType`): how many; else absent. */
  readonly mendable?: number;
  /** How many multiparts have no part: no boundary is named, or the one that is never comes; absent where none. */
  readonly emptyMultiparts?: number;
}

const TOKEN = String.raw`[\w!#$%&'*+.^\x60{|}~-]+`;
const COMMENT = String.raw`\((?:[^()\\]|\\.|\((?:[^()\\]|\\.)*\))*\)`;
const SPACE = String.raw`(?:[ \t]|${COMMENT})*`;
const TYPE = new RegExp(String.raw`${SPACE}${TOKEN}[ \t]*/[ \t]*${TOKEN}${SPACE}`, 'y');
const DISPOSITION = new RegExp(`${SPACE}${TOKEN}${SPACE}`, 'y');
const PARAMETER = new RegExp(
  String.raw`;${SPACE}(?:${TOKEN}${SPACE}=${SPACE}(?:${TOKEN}|"[^"\\]*(?:\\.[^"\\]*)*")${SPACE})?`,
  'y',
);

/**
 * @param type of the message or part, unfolded; undefined where it has none
 * @param disposition likewise
 */
export function readContentFields(type: string | undefined, disposition: string | undefined): ContentFields {
  const fileNames = [fileNameIn(disposition, 'filename'), fileNameIn(type, 'name')].filter(name => name !== null);
  const isMendable = type !== undefined && mendedContentType(type, disposition) !== null;
  if (type !== undefined && !isMendable && !isOfForm(type, TYPE)) return { fileNames, unreadable: 'Content-Type' };
  if (disposition !== undefined && !isOfForm(disposition, DISPOSITION)) {
    return { fileNames, unreadable: 'Content-Disposition' };
  }
  return isMendable ? { fileNames, unreadable: 'Content-Type', mendable: 1 } : { fileNames, unreadable: null };
}

/**
 * A Content-Type that is no type/subtype (`text`, `html`, `text\html`), as what it means (RFC 2045 section 5.2): text, or a file of
 * which nobody knows the type. Its parameters stay.
 *
 * @param disposition of the same part, unfolded; undefined where it has none
 * @returns null where it is one, or where more is wrong with it than can be told
 */
export function mendedContentType(type: string, disposition: string | undefined): string | null {
  TYPE.lastIndex = 0;
  const semicolon = type.indexOf(';');
  const value = semicolon === -1 ? type : type.slice(0, semicolon);
  // Read as text, the parts of a multipart would be a text with boundaries in it.
  if (TYPE.test(type) || value.includes('=') || /multipart|boundary/i.test(type)) return null;
  const isFile = /filename|^\s*(?!inline)[a-z]/i.test(disposition ?? '') || /;\s*name\b/i.test(type);
  const mended = `${isFile ? 'application/octet-stream' : 'text/plain'}${type.slice(value.length)}`;
  return isOfForm(mended, TYPE) ? mended : null;
}

/** Those of several parts together. */
export function joinContentFields(all: readonly ContentFields[]): ContentFields {
  const fileNames = all.flatMap(each => each.fileNames);
  const unreadable = all.filter(each => each.unreadable !== null);
  const worst = unreadable.find(({ mendable }) => mendable === undefined);
  if (worst || unreadable.length === 0) return { fileNames, unreadable: worst?.unreadable ?? null };
  const mendable = unreadable.reduce((sum, each) => sum + (each.mendable ?? 0), 0);
  return { fileNames, unreadable: 'Content-Type', mendable };
}

/** A `;` at the end, which RFC 2045 does not have, is common and harms nobody. */
function isOfForm(value: string, beginning: RegExp): boolean {
  beginning.lastIndex = 0;
  if (!beginning.test(value)) return false;
  let position = beginning.lastIndex;
  while (position < value.length) {
    PARAMETER.lastIndex = position;
    if (!PARAMETER.test(value)) return false;
    position = PARAMETER.lastIndex;
  }
  return true;
}

function fileNameIn(value: string | undefined, parameter: 'filename' | 'name'): string | null {
  if (value === undefined || !/name/i.test(value)) return null;
  const name = libmime.parseHeaderValue(value, { stripComments: true }).params[parameter];
  return name ? libmime.decodeWords(name) : null;
}
