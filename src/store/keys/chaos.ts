import { StoreError } from '../../postgres/errors.ts';
import type { Queryable } from '../../postgres/pool.ts';
import { refuseDeclared } from '../owners/declaration.ts';
import { type ApiKeyListing, findByReference } from './api-keys.ts';
import type { Chaos } from './chaos-settings.ts';

const SET = `
  update smtp_relay_credentials set chaos = $2::jsonb, chaos_until = now() + make_interval(secs => $3)
   where api_key_id = $1 and sandbox
  returning chaos_until as until`;

/**
 * Has things go wrong for the key that `reference` names, or ends that. Noticed within ten seconds, on open sessions too.
 *
 * @param chaos in place of what it has; null: nothing more
 * @param period milliseconds after which it ends by itself; null: never
 * @throws StoreError as `findByReference`, for a key that is declared, and for one that is not in sandbox
 */
export async function setChaos(
  db: Queryable,
  reference: string,
  chaos: Chaos | null,
  period: number | null,
): Promise<ApiKeyListing & { readonly chaos: Chaos | null; readonly chaosUntil: Date | null }> {
  const found = await findByReference(db, reference);
  await refuseDeclared(db, 'SmtpCredential', [found.id], { what: 'this key' });
  const value = chaos && JSON.stringify(chaos);
  const { rows } = await db.query<{ until: Date | null }>(SET, [
    found.id,
    value,
    period === null ? null : period / 1000,
  ]);
  const [set] = rows;
  if (set) return { ...found, chaos, chaosUntil: set.until };
  throw new StoreError(
    'conflict',
    'the key is not in sandbox, and nothing goes wrong on purpose for one that is not: smtp-relay keys set --sandbox',
  );
}
