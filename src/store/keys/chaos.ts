import { StoreError } from '../../postgres/errors.ts';
import type { Queryable } from '../../postgres/pool.ts';
import { refuseDeclared } from '../owners/declaration.ts';
import { type ApiKeyListing, findByReference } from './api-keys.ts';
import { type Chaos, overfullStage } from './chaos-settings.ts';

const SET = `
  update smtp_relay_credentials set chaos = $2::jsonb, chaos_until = now() + make_interval(secs => $3)
   where api_key_id = $1 and sandbox
  returning chaos_until as until`;

/** A key in sandbox with what goes wrong for it. */
export interface SandboxedKey {
  readonly id: string;
  readonly name: string;
  readonly owner: string | null;
  /** The document that declares it, which alone says what goes wrong; null where none does. */
  readonly declaredBy: string | null;
  /** null where nothing does; so of its end, where nothing is said of one. */
  readonly chaos: Chaos | null;
  readonly chaosUntil: Date | null;
}

const LIST = `
  select k.id, k.name, k.user_id as owner, o.name as "declaredBy",
         case when coalesce(c.chaos_until > now(), true) then c.chaos end as chaos,
         case when c.chaos is not null and c.chaos_until > now() then c.chaos_until end as "chaosUntil"
    from smtp_relay_credentials c join api_keys k on k.id = c.api_key_id
    left join smtp_relay_declared o on o.kind = 'SmtpCredential' and k.id = any(o.owned)
   where c.sandbox
   order by k.name, k.id limit 200`;

/** The keys in sandbox, by name; 200 at most. */
export async function listSandboxed(db: Queryable): Promise<SandboxedKey[]> {
  return (await db.query<SandboxedKey>(LIST)).rows;
}

/**
 * Has things go wrong for the key that `reference` names, or ends that. Noticed within ten seconds, on open sessions too.
 *
 * @param chaos in place of what it has; null: nothing more
 * @param period milliseconds after which it ends by itself; null: never
 * @throws StoreError as `findByReference`; `invalid` for more than 100 % at a stage; for a key that is declared, and for one that is not
 *   in sandbox
 */
export async function setChaos(
  db: Queryable,
  reference: string,
  chaos: Chaos | null,
  period: number | null,
): Promise<ApiKeyListing & { readonly chaos: Chaos | null; readonly chaosUntil: Date | null }> {
  const overfull = chaos && overfullStage(chaos);
  if (overfull)
    throw new StoreError('invalid', `the replies at ${overfull} come to more than 100 %: give them smaller shares`);
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
