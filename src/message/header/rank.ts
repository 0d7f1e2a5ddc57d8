/** What a message cannot do without comes first: how to leave the list, what it answers, what it is. */
const FIRST = [
  ['list-unsubscribe', 'list-unsubscribe-post'],
  ['list-'],
  ['in-reply-to'],
  ['references'],
  ['auto-submitted'],
  ['precedence'],
  ['importance', 'x-priority'],
  ['sender'],
  ['feedback-id'],
] as const;

/** What servers and mail programs of an earlier way have added; after everything that the client chose. */
const LAST = [
  'x-ms-',
  'x-microsoft-',
  'x-forefront-',
  'arc-',
  'authentication-results',
  'x-originating-',
  'thread-',
  'resent-',
];

const RANKS: ReadonlyMap<string, number> = new Map(
  FIRST.flatMap((names, rank) => names.map(name => [name, rank] as const)),
);
const LIST_RANK = RANKS.get('list-') as number;
const OWN_RANK = FIRST.length;

/** Compares two names of header fields, in lower case, for sorting: what matters more to recipients first. */
export function byRank(a: string, b: string): number {
  return rankOf(a) - rankOf(b);
}

function rankOf(name: string): number {
  const rank = RANKS.get(name);
  if (rank !== undefined) return rank;
  if (name.startsWith('list-')) return LIST_RANK;
  return LAST.some(prefix => name.startsWith(prefix)) ? OWN_RANK + 1 : OWN_RANK;
}
