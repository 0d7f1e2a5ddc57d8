import { areParameters, DISPOSITION, isOfForm, TYPE } from './content-form.ts';
import { namedType } from './part-header.ts';

const NAME = /^[\w!#$%&'*+.^`{|}~-]+$/;
const FILE_NAME = /^(?:file)?name\b/i;
/** What a disposition begins with that has no `;` behind its type. */
const DISPOSITION_TYPE = /^([\w-]+)(?:[ \t,]+(.*))?$/s;

/**
 * A Content-Type that is not of the form of RFC 2045 section 5.1, as what it means. What stands in the place of a type and is none
 * (`text`, `html`) is text (section 5.2), or a file of which nobody knows the type; parameters are quoted where they have to be.
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

/** The same for a Content-Disposition (RFC 2183 section 2): without a type, what has a file's name is an attachment. */
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

/** Each with its `;`. What is no parameter, or has no value, says nothing and is left out. */
function parameters(pieces: readonly string[]): string {
  const written = pieces.map(piece => {
    if (piece.trim() === '') return '';
    if (areParameters(`;${piece}`)) return `;${piece.trimEnd()}`;
    const equals = piece.indexOf('=');
    const name = withoutComments(piece.slice(0, Math.max(0, equals))).trim();
    const text = piece.slice(equals + 1);
    // In the name of a file it is a part of the name: `report (1).pdf`.
    const value = unquoted(FILE_NAME.test(name) ? text : withoutComments(text));
    return NAME.test(name) && value !== '' ? `; ${name}="${value.replaceAll(/["\\]/g, '\\$&')}"` : '';
  });
  return written.join('');
}

/** Quotes that do not belong together, or in which something is wrong. */
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
