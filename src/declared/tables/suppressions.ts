import { suppressionForms } from '../../message/addresses/address.ts';
import { type DeclaredTable, idsOf, ownedBy, ownedRows, positions } from './table.ts';

/** An address on an owner's list, as a document declares it. */
export interface SuppressionRow {
  readonly owner: string;
  /** As `suppressionAddress` gives it. */
  readonly email: string;
}

const READ_OWNED = `
  select o.document, o.owned_id, s.id is not null as there, s.user_id as owner, s.email
    from ${ownedBy('SuppressionList')} left join email_suppressions s on s.id = o.owned_id`;

const FIND_STANDING = `
  select asked.position, s.id
    from unnest($1::text[], $2::text[], $3::integer[]) as asked (owner, email, position)
    join email_suppressions s on s.user_id = asked.owner and s.email = asked.email`;

const WANTED = `
  wanted as materialized (
    select * from jsonb_to_recordset($1::jsonb) as w (id uuid, owner text, email text, forms text[])
  )`;

const INSERT = `
  with ${WANTED}, there as (
    select id from wanted, unnest(forms) as form
     where exists (select from email_suppressions s where s.user_id = owner and s.email = form)
  )
  insert into email_suppressions (id, user_id, email, reason)
  select id, owner, email, 'manual' from wanted
   where id not in (select id from there)
  on conflict do nothing
  returning id`;

const UPDATE = `
  with ${WANTED}
  update email_suppressions s set user_id = w.owner, email = w.email, updated_at = now()
    from wanted w where s.id = w.id
  returning s.id`;

/** One that has bounced or complained meanwhile stays on the list for that. */
const REMOVE = `
  delete from email_suppressions where id = any($1::uuid[]) and reason = 'manual'`;

export const declaredSuppressions: DeclaredTable<SuppressionRow> = {
  readOwned: async db => ownedRows((await db.query(READ_OWNED)).rows),
  async findStanding(db, rows) {
    const asked = rows.flatMap(({ owner, email }, index) =>
      suppressionForms(email).map(form => ({ owner, form, index })),
    );
    const values = [
      asked.map(({ owner }) => owner),
      asked.map(({ form }) => form),
      asked.map(({ index }) => index + 1),
    ];
    return positions((await db.query(FIND_STANDING, values)).rows);
  },
  insert: (db, rows) => idsOf(db, INSERT, rows.map(withForms)),
  update: (db, rows) => idsOf(db, UPDATE, rows),
  remove: async (db, ids) => void (await db.query(REMOVE, [ids])),
};

function withForms<R extends SuppressionRow>(row: R) {
  return { ...row, forms: suppressionForms(row.email) };
}
