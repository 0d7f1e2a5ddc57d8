import { comparableDomain } from '../../message/addresses/address.ts';
import { BLOCKED, readBlockedKeys } from '../../store/keys/blocked-keys.ts';
import { DOMAIN_NAME, DOMAIN_OF_KEY, NO_DOMAIN, ownedDomainId } from '../../store/keys/domain.ts';
import { comparableName, spellings } from '../../store/owners/domains.ts';
import { type DeclaredTable, idsOf, type OwnedRow, ownedBy, ownedRows, positions } from './table.ts';

/** An API key as a document declares it. */
export interface CredentialRow {
  readonly name: string;
  readonly owner: string;
  readonly domain: string | null;
  readonly permission: string;
  readonly tokenHash: string;
  readonly preview: string | null;
  /** By their names in the configuration; those that are left out are as configured. */
  readonly limits: Readonly<Record<string, number>>;
}

/** `restriction` as it is stored, and `domain` as it is called. */
type StoredRow = CredentialRow & { readonly restriction: string | null };

const READ_OWNED = `
  select o.document, o.owned_id, k.id is not null as there, k.name, k.user_id as owner,
         nullif(k.domain, '') as restriction, ${DOMAIN_NAME} as domain, k.permission, k.token_hash as "tokenHash", k.token_preview as preview, coalesce(c.limits, '{}') as limits
    from ${ownedBy('SmtpCredential')}
    left join api_keys k on k.id = o.owned_id
    ${DOMAIN_OF_KEY}
    left join smtp_relay_credentials c on c.api_key_id = o.owned_id`;

const FIND_STANDING = `
  select asked.position::integer, k.id
    from unnest($1::text[]) with ordinality as asked (hash, position) join api_keys k on k.token_hash = asked.hash`;

/** Beside OpenSend a restriction is the id of the owner's domain, where there is one, as its dashboard writes it. */
const WANTED = `
  wanted as (
    select * from jsonb_to_recordset($1::jsonb) as w (
      id uuid, name text, owner text, domain text, permission text, "tokenHash" text, preview text, limits jsonb,
      spellings jsonb)
  ), restrictions as (
    select id, case when exists (select from smtp_relay_settings where key = 'pipeline' and value = 'opensend')
                    then coalesce(${ownedDomainId('w.owner', `w.spellings ? ${comparableName('d.name')}`)}, w.domain)
                    else w.domain end as restriction
      from wanted w
  )`;

const KEEP_LIMITS = (made: string): string => `
  limited as (
    insert into smtp_relay_credentials (api_key_id, limits)
    select id, w.limits from wanted w join ${made} using (id)
    on conflict (api_key_id) do update set limits = excluded.limits
  )`;

const INSERT = `
  with ${WANTED}, made as (
    insert into api_keys (id, name, token_hash, token_preview, permission, domain, user_id)
    select id, name, "tokenHash", preview, permission, restriction, owner from wanted join restrictions using (id)
     where not exists (select from api_keys where token_hash = "tokenHash")
    on conflict do nothing
    returning id
  ), ${KEEP_LIMITS('made')}
  select id from made`;

const UPDATE = `
  with ${WANTED}, changed as (
    update api_keys k
       set name = w.name, token_hash = w."tokenHash", token_preview = w.preview, permission = w.permission,
           domain = r.restriction, user_id = w.owner
      from wanted w join restrictions r using (id) where k.id = w.id
    returning k.id
  ), ${KEEP_LIMITS('changed')}
  select id from changed`;

const REMOVE = `
  with limits as (delete from smtp_relay_credentials where api_key_id = any($1::uuid[]))
  delete from api_keys where id = any($1::uuid[])`;

export const declaredCredentials: DeclaredTable<CredentialRow> = {
  readOwned: async db => ownedRows<StoredRow>((await db.query(READ_OWNED)).rows).map(byName),
  findStanding: async (db, rows) =>
    positions((await db.query(FIND_STANDING, [rows.map(({ tokenHash }) => tokenHash)])).rows),
  insert: (db, rows) => idsOf(db, INSERT, rows.map(withSpellings)),
  update: (db, rows) => idsOf(db, UPDATE, rows.map(withSpellings)),
  remove: async (db, ids) => void (await db.query(REMOVE, [ids])),
  async findWithheld(db) {
    const blocked = await readBlockedKeys(db);
    return ({ tokenHash }) => (blocked.has(tokenHash) ? BLOCKED : null);
  },
};

/** Restrictions are compared by what they come to: a name, however it is stored, or none that there is. */
function byName({ row, ...owned }: OwnedRow<StoredRow>): OwnedRow<CredentialRow> {
  if (row === null) return { ...owned, row };
  const { restriction, domain, ...rest } = row;
  return { ...owned, row: { ...rest, domain: restriction === null ? null : comparableDomain(domain ?? NO_DOMAIN) } };
}

function withSpellings<R extends CredentialRow>(row: R) {
  return { ...row, spellings: row.domain === null ? [] : spellings(row.domain) };
}
