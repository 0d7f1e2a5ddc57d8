import type { Logger } from '../observability/log.ts';
import type { Queryable } from './pool.ts';

const READ = `select current_setting('server_encoding') as encoding`;

/**
 * Says so where the database keeps text in another encoding than UTF-8: a message with a character that it lacks cannot be
 * stored, however often its client tries. Which encoding it is was said when the database was made, and stays.
 */
export async function warnOfEncoding(db: Queryable, logger: Logger): Promise<void> {
  const { rows } = await db.query<{ encoding: string }>(READ);
  const encoding = rows[0]?.encoding;
  if (encoding === undefined || encoding === 'UTF8') return;
  logger.error(
    { encoding },
    'the database does not keep text in UTF8: messages with characters that it lacks get 451 for ever; move to one with encoding UTF8',
  );
}
