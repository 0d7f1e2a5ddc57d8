import libmime from 'libmime';

/** What a next hop reads in Content-Type and Content-Disposition, of the message and of each part. */
export interface ContentFields {
  /** Names of files, decoded. */
  readonly fileNames: readonly string[];
  /** The first field that is not of the form of RFC 2045 section 5.1 (RFC 2183 section 2); null where all are. */
  readonly unreadable: 'Content-Type' | 'Content-Disposition' | null;
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
  if (type !== undefined && !isOfForm(type, TYPE)) return { fileNames, unreadable: 'Content-Type' };
  if (disposition !== undefined && !isOfForm(disposition, DISPOSITION)) {
    return { fileNames, unreadable: 'Content-Disposition' };
  }
  return { fileNames, unreadable: null };
}

/** Those of several parts together. */
export function joinContentFields(all: readonly ContentFields[]): ContentFields {
  return {
    fileNames: all.flatMap(({ fileNames }) => fileNames),
    unreadable: all.find(({ unreadable }) => unreadable !== null)?.unreadable ?? null,
  };
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
