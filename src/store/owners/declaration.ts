import { StoreError } from '../../postgres/errors.ts';
import type { Queryable } from '../../postgres/pool.ts';

/** What declares a row. */
interface Declaration {
  readonly kind: string;
  readonly name: string;
  /** The file, as the process saw it that reconciles; null where it was not noted yet. */
  readonly source: string | null;
}

const FIND = `
  select kind, name, source from smtp_relay_declared
   where kind = $1 and (owned && $2::uuid[] or standing && $2::uuid[]) order by name limit 1`;

/**
 * Keeps a person from changing by hand what a document would put back a moment later.
 *
 * @param what is declared, as in `declares this key`
 * @param instead what else can be done, as the end of a sentence
 * @throws StoreError that names the document, where one declares any of these rows
 */
export async function refuseDeclared(
  db: Queryable,
  kind: string,
  ids: readonly string[],
  { what, instead = '' }: { readonly what: string; readonly instead?: string },
): Promise<void> {
  const [found] = (await db.query<Declaration>(FIND, [kind, ids])).rows;
  if (!found) return;
  const place = found.source === null ? '' : ` in ${found.source}`;
  throw new StoreError(
    'conflict',
    `${found.kind}/${found.name}${place} declares ${what}, and would put it back: change the document${instead}`,
  );
}
