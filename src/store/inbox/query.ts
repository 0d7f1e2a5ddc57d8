import { StoreError } from '../../postgres/errors.ts';

/** One thing that a message has to have, or where `isNot` holds must not have. */
export type SearchTerm = (
  | { readonly field: 'from' | 'to' | 'cc' | 'bcc' | 'subject' | 'status' | 'text'; readonly text: string }
  | { readonly field: 'tag'; readonly name: string; readonly value: string | null }
  | { readonly field: 'attachment' }
) & { readonly isNot?: true };

const FIELDS = new Set(['from', 'to', 'cc', 'bcc', 'subject', 'status']);
/**
 * Words, each maybe with `-` or `!` before it, a field, and quotes: `invoice`, `-to:a@b.test`, `subject:"your order"`. What stands in
 * quotes is taken as it is.
 */
const WORD = /([-!](?=[^\s]))?(?:([a-z]+):)?(?:"([^"]*)"?|(\S+))/giy;
/** More than anybody writes. */
const MAX_TERMS = 20;

/**
 * Reads what people write into a search box. All terms have to hold, and those with `-` or `!` before them must not; upper and lower
 * case are alike. `from:`, `to:` (whoever of To, Cc and Bcc), `cc:`, `bcc:`, `subject:`, `status:`, `tag:name` or `tag:name=value`,
 * `has:attachment`; all else is looked for in all of these and in the bodies. A field that has nothing behind it yet says nothing.
 *
 * @throws StoreError `invalid` where there is more than is looked for
 */
export function readSearch(query: string): readonly SearchTerm[] {
  const terms: SearchTerm[] = [];
  const words = new RegExp(WORD);
  for (let at = 0; at < query.length; ) {
    words.lastIndex = at;
    const found = words.exec(query);
    if (found === null) {
      at += 1;
      continue;
    }
    at = words.lastIndex;
    const [whole, not = '', field, quoted, bare] = found;
    const text = quoted ?? bare ?? '';
    const term = readTerm(field?.toLowerCase(), text, whole.slice(not.length));
    if (term !== null) terms.push(not === '' ? term : { ...term, isNot: true });
  }
  if (terms.length > MAX_TERMS) throw new StoreError('invalid', `query has more than ${MAX_TERMS} words`);
  return terms;
}

function isHalfWritten(whole: string): boolean {
  const [, field] = /^([a-z]+):$/.exec(whole.toLowerCase()) ?? [];
  return field !== undefined && (FIELDS.has(field) || field === 'has' || field === 'tag');
}

function readTerm(field: string | undefined, text: string, whole: string): SearchTerm | null {
  if (text === '' || isHalfWritten(whole)) return null;
  if (field === undefined) return { field: 'text', text };
  if (FIELDS.has(field)) return { field: field as 'from', text };
  if (field === 'has' && /^attachments?$/i.test(text)) return { field: 'attachment' };
  if (field !== 'tag') return { field: 'text', text: whole };
  const [name = '', ...value] = text.split('=');
  return { field: 'tag', name, value: value.length === 0 ? null : value.join('=') };
}
