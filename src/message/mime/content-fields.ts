import libmime from 'libmime';
import { namedType } from './part-header.ts';

/** What a next hop reads in Content-Type and Content-Disposition, of the message and of each part. */
export interface ContentFields {
  /** Names of files, decoded. */
  readonly fileNames: readonly string[];
  /** The first field that is not of the form of RFC 2045 section 5.1 (RFC 2183 section 2); null where all are. */
  readonly unreadable: 'Content-Type' | 'Content-Disposition' | null;
  /** How many are not of that form, each of which can be written as what it means (`mendedContentType`); absent where none. */
  readonly mendable?: number;
  /** How many multiparts have no part: no boundary is named, or the one that is never comes; absent where none. */
  readonly emptyMultiparts?: number;
}

/**
 * @param type of the message or part, unfolded; undefined where it has none
 * @param disposition likewise
 */
export function readContentFields(type: string | undefined, disposition: string | undefined): ContentFields {
  const fileNames = [fileNameIn(disposition, 'filename'), fileNameIn(type, 'name')].filter(name => name !== null);
  const isType = type === undefined || isOfForm(type, TYPE);
  const isDisposition = disposition === undefined || isOfForm(disposition, DISPOSITION);
  if (isType && isDisposition) return { fileNames, unreadable: null };
  return {
    fileNames,
    unreadable: isType ? 'Content-Disposition' : 'Content-Type',
    mendable: isType || isDisposition ? 1 : 2,
  };
}

/** Those of several parts together. */
export function joinContentFields(all: readonly ContentFields[]): ContentFields {
  const fileNames = all.flatMap(each => each.fileNames);
  const odd = all.filter(({ unreadable }) => unreadable !== null);
  if (odd[0] === undefined) return { fileNames, unreadable: null };
  const mendable = odd.reduce((sum, each) => sum + (each.mendable ?? 0), 0);
  return { fileNames, unreadable: odd[0].unreadable, mendable };
}

function fileNameIn(value: string | undefined, parameter: 'filename' | 'name'): string | null {
  if (value === undefined || !/name/i.test(value)) return null;
  const name = libmime.parseHeaderValue(value, { stripComments: true }).params[parameter];
  return name ? libmime.decodeWords(name) : null;
}

const NAME = /^[\w!#$%&'*+.^`{|}~-]+$/;
const FILE_NAME = /^(?:file)?name\b/i;
/** What a disposition begins with that has no `;` behind its type. */
const DISPOSITION_TYPE = /^([\w-]+)(?:[ \t,]+(.*))?$/s;

/**
 * Writes a Content-Type that is not of the form of RFC 2045 section 5.1 as what it means. A type that is none (`text`, `html`)
 * becomes text (section 5.2), or a file of unknown type. Parameters are quoted where they have to be.
 *
 * @param disposition of the same part, unfolded; undefined where it has none
 * @returns null where it is of that form
 */
export function mendedContentType(type: string, disposition: string | undefined): string | null {
  if (isOfForm(type, TYPE)) return null;
  const [lead = '', ...rest] = split(type);
  const isFile = /filename|^\s*(?!inline)[a-z]/i.test(disposition ?? '') || /;\s*name\b/i.test(type);
  const meant = isFile ? 'application/octet-stream' : 'text/plain';
  if (isOfForm(lead, TYPE)) return `${lead.trimEnd()}${parameters(rest)}`;
  const named = namedType(lead, /;\s*boundary\b/i.test(type));
  const mended = `${named?.type ?? meant}${parameters([` ${named?.rest ?? ''}`, ...rest])}`;
  return isOfForm(mended, TYPE) ? mended : meant;
}

/** The same for a Content-Disposition (RFC 2183 section 2). Without a type, a part with a file name is an attachment. */
export function mendedDisposition(disposition: string): string | null {
  if (isOfForm(disposition, DISPOSITION)) return null;
  const [lead = '', ...rest] = split(disposition);
  if (isOfForm(lead, DISPOSITION)) return `${lead.trimEnd()}${parameters(rest)}`;
  const [, type, behind = ''] = DISPOSITION_TYPE.exec(lead.replaceAll('"', '').trim()) ?? [];
  const isNamed = /\bfilename\b/i.test(disposition);
  const pieces = type === undefined || behind.startsWith('=') ? [` ${lead}`, ...rest] : [` ${behind}`, ...rest];
  const isType = type !== undefined && !behind.startsWith('=');
  return `${isType ? type : isNamed ? 'attachment' : 'inline'}${parameters(pieces)}`;
}

/** At each `;` that stands in no quoted string. One that is not closed goes to the end. */
function split(value: string): string[] {
  const pieces: string[] = [];
  let start = 0;
  let isQuoted = false;
  for (let position = 0; position < value.length; position += 1) {
    const char = value[position];
    if (char === '\\' && isQuoted) position += 1;
    else if (char === '"') isQuoted = !isQuoted;
    else if (char === ';' && !isQuoted) {
      pieces.push(value.slice(start, position));
      start = position + 1;
    }
  }
  return [...pieces, value.slice(start)];
}

/** Each with its `;`. A piece that is no parameter, or has no value, is left out. */
function parameters(pieces: readonly string[]): string {
  const written = pieces.map(piece => {
    if (piece.trim() === '') return '';
    if (areParameters(`;${piece}`)) return `;${piece.trimEnd()}`;
    const equals = piece.indexOf('=');
    const name = withoutComments(piece.slice(0, Math.max(0, equals))).trim();
    const text = piece.slice(equals + 1);
    // In a file name, parentheses belong to the name: `report (1).pdf`.
    const value = unquoted(FILE_NAME.test(name) ? text : withoutComments(text));
    return NAME.test(name) && value !== '' ? `; ${name}="${value.replaceAll(/["\\]/g, '\\$&')}"` : '';
  });
  return written.join('');
}

/** Without quotes, which may not belong together or hold something wrong. */
function unquoted(text: string): string {
  return text
    .trim()
    .replace(/^"/, '')
    .replace(/"$/, '')
    .replaceAll(/\\(["\\])/g, '$1')
    .trim();
}

function withoutComments(text: string): string {
  return text.replaceAll(/\([^()]*\)?/g, ' ');
}

const TOKEN = String.raw`[\w!#$%&'*+.^\x60{|}~-]+`;
const COMMENT = String.raw`\((?:[^()\\]|\\.|\((?:[^()\\]|\\.)*\))*\)`;
const SPACE = String.raw`(?:[ \t]|${COMMENT})*`;

/** How a Content-Type field's body begins (RFC 2045 section 5.1). */
const TYPE = new RegExp(String.raw`${SPACE}${TOKEN}[ \t]*/[ \t]*${TOKEN}${SPACE}`, 'y');
/** How that of a Content-Disposition field begins (RFC 2183 section 2). */
const DISPOSITION = new RegExp(`${SPACE}${TOKEN}${SPACE}`, 'y');

const PARAMETER = new RegExp(
  String.raw`;${SPACE}(?:${TOKEN}${SPACE}=${SPACE}(?:${TOKEN}|"[^"\\]*(?:\\.[^"\\]*)*")${SPACE})?`,
  'y',
);

/** Whether a field's body begins so, and goes on with parameters. A `;` at the end is not in RFC 2045, but common and harmless. */
function isOfForm(value: string, beginning: RegExp): boolean {
  beginning.lastIndex = 0;
  return beginning.test(value) && areParameters(value, beginning.lastIndex);
}

/** Whether there are only parameters from that position on. */
function areParameters(value: string, from = 0): boolean {
  let position = from;
  while (position < value.length) {
    PARAMETER.lastIndex = position;
    if (!PARAMETER.test(value)) return false;
    position = PARAMETER.lastIndex;
  }
  return true;
}
