/** One thing that a message has to have. */
export type SearchTerm =
  | { readonly field: 'from' | 'to' | 'subject' | 'status' | 'text'; readonly text: string }
  | { readonly field: 'tag'; readonly name: string; readonly value: string | null }
  | { readonly field: 'attachment' };

const FIELDS = new Set(['from', 'to', 'subject', 'status']);
/** Words, each maybe with a field before it, and maybe in quotes: `invoice`, `to:a@b.test`, `subject:"your order"`. */
const WORD = /(?:([a-z]+):)?(?:"([^"]*)"?|(\S+))/giy;
/** More than anybody writes. */
const MAX_TERMS = 20;

/**
 * Reads what people write into a search box. All terms have to hold; upper and lower case are alike. `from:`, `to:` (whoever of To, Cc
 * and Bcc), `subject:`, `status:`, `tag:name` or `tag:name=value`, `has:attachment`; all else is looked for in all of these and in the
 * bodies.
 */
export function readSearch(query: string): readonly SearchTerm[] {
  const terms: SearchTerm[] = [];
  const words = new RegExp(WORD);
  for (let at = 0; at < query.length && terms.length < MAX_TERMS; ) {
    words.lastIndex = at;
    const found = words.exec(query);
    if (found === null) {
      at += 1;
      continue;
    }
    at = words.lastIndex;
    const [whole, field, quoted, bare] = found;
    const text = quoted ?? bare ?? '';
    const term = readTerm(field?.toLowerCase(), text, whole);
    if (term !== null) terms.push(term);
  }
  return terms;
}

function readTerm(field: string | undefined, text: string, whole: string): SearchTerm | null {
  if (field === undefined) return text === '' ? null : { field: 'text', text };
  // Half written.
  if (text === '') return null;
  if (FIELDS.has(field)) return { field: field as 'from', text };
  if (field === 'has' && /^attachments?$/i.test(text)) return { field: 'attachment' };
  if (field !== 'tag') return { field: 'text', text: whole };
  const [name = '', ...value] = text.split('=');
  return { field: 'tag', name, value: value.length === 0 ? null : value.join('=') };
}
