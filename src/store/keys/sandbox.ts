import type { Queryable } from '../../postgres/pool.ts';
import { refuseDeclared } from '../owners/declaration.ts';
import { type ApiKeyListing, findByReference } from './api-keys.ts';

const SET_SANDBOX = `
  insert into smtp_relay_credentials (api_key_id, limits, sandbox) values ($1, '{}', $2)
  on conflict (api_key_id) do update
     set sandbox = excluded.sandbox, chaos = case when excluded.sandbox then smtp_relay_credentials.chaos end`;

/**
 * Puts the key that `reference` names into sandbox, or takes it out. Noticed within ten seconds, on open sessions too. Standalone
 * pipeline only, whose worker knows of it.
 *
 * @throws StoreError as `findByReference`, and for a key that is declared
 */
export async function setSandbox(db: Queryable, reference: string, sandbox: boolean): Promise<ApiKeyListing> {
  const found = await findByReference(db, reference);
  await refuseDeclared(db, 'SmtpCredential', [found.id], { what: 'this key' });
  await db.query(SET_SANDBOX, [found.id, sandbox]);
  return { ...found, sandbox };
}
