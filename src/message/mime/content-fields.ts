import libmime from 'libmime';
import { DISPOSITION, isOfForm, TYPE } from './content-form.ts';

/** What a next hop reads in Content-Type and Content-Disposition, of the message and of each part. */
export interface ContentFields {
  /** Names of files, decoded. */
  readonly fileNames: readonly string[];
  /** The first field that is not of the form of RFC 2045 section 5.1 (RFC 2183 section 2); null where all are. */
  readonly unreadable: 'Content-Type' | 'Content-Disposition' | null;
  /** How many are not of that form, each of which can be written as what it means (`mended-fields.ts`); absent where none. */
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
