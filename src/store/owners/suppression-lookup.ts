import { Batcher } from '../../flow/batcher.ts';
import type { Queryable } from '../../postgres/pool.ts';
import { findSuppressed, type SuppressionQuestion } from './suppressions.ts';

const MAX_BATCH = 64;
const CONCURRENT_QUERIES = 2;
/** Milliseconds. */
const QUERY_INTERVAL = 4;

/** Those of the addresses that are on the owner's suppression list, in their order. */
export type SuppressionLookup = (userId: string, addresses: readonly string[]) => Promise<readonly string[]>;

/** Looks suppressions up; sessions that ask at the same time share one query. */
export function createSuppressionLookup(db: Queryable): SuppressionLookup {
  const batcher = new Batcher<readonly SuppressionQuestion[], readonly string[]>({
    run: async asked => {
      const suppressed = await findSuppressed(db, asked.flat());
      return asked.map(questions => questions.filter(question => suppressed.has(question)).map(({ email }) => email));
    },
    maxItems: MAX_BATCH,
    concurrency: CONCURRENT_QUERIES,
    interval: QUERY_INTERVAL,
  });
  return (userId, addresses) => batcher.add(addresses.map(email => ({ userId, email })));
}
