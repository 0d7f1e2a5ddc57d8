import { Option } from 'commander';
import { isUuid } from '../platform/uuid.ts';
import { StoreError } from '../postgres/errors.ts';
import type { Queryable } from '../postgres/pool.ts';
import { findByReference } from '../store/keys/api-keys.ts';
import { listSessions } from '../store/sessions/sessions.ts';

/** Whose sessions are meant; `keyIdOf` reads it. */
export function keyOption(): Option {
  return new Option('--key <key>', 'of this API key: its id, name, preview, or the key itself');
}

/**
 * The id of the key whose sessions are meant. Of a revoked key only they are left, under the id that it had.
 *
 * @throws StoreError as `findByReference`
 */
export async function keyIdOf(db: Queryable, reference: string): Promise<string> {
  try {
    return (await findByReference(db, reference)).id;
  } catch (error) {
    if (!(error instanceof StoreError) || error.code !== 'not-found') throw error;
    const id = reference.trim().toLowerCase();
    if (isUuid(id) && (await listSessions(db, { subject: id, limit: 1 })).length > 0) return id;
    throw new StoreError(
      error.code,
      `${error.message}; sessions of a revoked one are found by its id, or by --client`,
      error.see,
    );
  }
}
