import Type, { type Static } from 'typebox';
import { suppressionForms } from '../../message/addresses/address.ts';
import { suppressionAddress } from '../../store/owners/suppressions.ts';
import { FieldError } from '../problem.ts';
import { DOCUMENTS_FOLDER, exactlyOneOf, filePath, group, list, owner, text } from './fields.ts';
import { type Kind, type KindTable, ownedBy, type Source, tableOf } from './kind.ts';

const address = text('an email address, such as gone@example.com', {
  pattern: '^[^\\s]+@[^\\s@]+$',
  maxLength: 254,
  description: 'An email address, in any spelling.',
});

const schema = group(
  {
    owner,
    addresses: Type.Optional(list(address, { maxItems: 100_000 }, 'The addresses.')),
    addressesFile: Type.Optional(
      filePath(
        DOCUMENTS_FOLDER,
        'A text file with one address a line; empty lines and those that begin with # count for nothing.',
      ),
    ),
  },
  'Addresses that an owner never sends to.',
  exactlyOneOf('addresses', 'addressesFile'),
);

type Spec = Static<typeof schema>;

/** An address on the list. */
interface SuppressionRow {
  readonly owner: string;
  /** As `suppressionAddress` gives it. */
  readonly email: string;
}

function rowsOf({ spec, text }: Source<Spec>): SuppressionRow[] {
  const { owner, addresses } = spec;
  const rows = new Map<string, SuppressionRow>();
  const add = (address: string, path: readonly (string | number)[], why: string): void => {
    const email = suppressionAddress(address);
    if (email === null) throw new FieldError(path, why, 'write an address such as gone@example.com');
    rows.set(email, { owner, email });
  };
  for (const [index, address] of (addresses ?? []).entries()) {
    add(address, ['spec', 'addresses', index], 'is not an email address');
  }
  for (const [index, line] of (text ?? '').split('\n').entries()) {
    const address = line.trim();
    if (address === '' || address.startsWith('#')) continue;
    add(address, ['spec', 'addressesFile'], `names a file whose line ${index + 1} is not an email address`);
  }
  // A file that is not there yet looks the same, and all addresses would be written to again.
  if (text !== null && rows.size === 0) {
    const fix = 'put the addresses into it, or remove this document';
    throw new FieldError(['spec', 'addressesFile'], 'names a file without an address', fix, 'FileUnreadable');
  }
  return [...rows.values()];
}

const DECLARED = `
  declared as materialized (
    select * from jsonb_to_recordset($1::jsonb) as x (id uuid, owner text, email text, forms text[])
  )`;

const SQL = {
  readOwned: `
    select o.document, o.owned_id, s.id is not null as there, s.user_id as owner, s.email
      from ${ownedBy('SuppressionList')} left join email_suppressions s on s.id = o.owned_id`,

  findStanding: `
    select asked.position, s.id
      from unnest($1::text[], $2::text[], $3::integer[]) as asked (owner, email, position)
      join email_suppressions s on s.user_id = asked.owner and s.email = asked.email`,

  insert: `
    with ${DECLARED}, there as (
      select id from declared, unnest(forms) as form
       where exists (select from email_suppressions s where s.user_id = owner and s.email = form)
    )
    insert into email_suppressions (id, user_id, email, reason)
    select id, owner, email, 'manual' from declared
     where id not in (select id from there)
    on conflict do nothing
    returning id`,

  update: `
    with ${DECLARED}
    update email_suppressions s set user_id = d.owner, email = d.email, updated_at = now()
      from declared d where s.id = d.id
    returning s.id`,

  /** One that has bounced or complained meanwhile stays on the list for that. */
  remove: `
    delete from email_suppressions where id = any($1::uuid[]) and reason = 'manual'`,
};

export const suppressionTable: KindTable<SuppressionRow> = {
  ...tableOf<SuppressionRow>(
    SQL,
    rows => {
      const asked = rows.flatMap(({ owner, email }, index) =>
        suppressionForms(email).map(form => ({ owner, form, position: index + 1 })),
      );
      return [asked.map(({ owner }) => owner), asked.map(({ form }) => form), asked.map(({ position }) => position)];
    },
    row => ({ ...row, forms: suppressionForms(row.email) }),
  ),
  identityOf: ({ owner, email }) => `${owner}\n${email}`,
  onStanding: 'satisfied',
};

/** Addresses that an owner never sends to. */
export const suppressionList: Kind<Spec, SuppressionRow> = {
  schema,
  fileOf: ({ addressesFile: path }) =>
    path === undefined ? null : { folder: 'documents', path, field: ['spec', 'addressesFile'] },
  rowsOf,
  table: () => suppressionTable,
};
