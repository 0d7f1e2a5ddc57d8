import Type, { type Static } from 'typebox';
import { comparableDomain } from '../../message/addresses/address.ts';
import { hashKey, PERMISSIONS, previewOf } from '../../store/keys/api-keys.ts';
import { BLOCKED, readBlockedKeys } from '../../store/keys/blocked-keys.ts';
import {
  CHAOS_CODES,
  CHAOS_STAGES,
  type Chaos,
  type ChaosCode,
  LATEST,
  overfullStage,
  SLOWEST,
} from '../../store/keys/chaos-settings.ts';
import { DOMAIN_NAME, DOMAIN_OF_KEY, NO_DOMAIN, ownedDomainId } from '../../store/keys/domain.ts';
import { comparableName, spellings } from '../../store/owners/domains.ts';
import { FieldError } from '../problem.ts';
import {
  count,
  domainName,
  exactlyOneOf,
  filePath,
  flag,
  group,
  list,
  oneOf,
  owner,
  readDomain,
  SECRETS_FOLDER,
  text,
} from './fields.ts';
import { type Kind, type KindTable, type OwnedRow, ownedBy, type Source, tableOf } from './kind.ts';

const MOST = 1_000_000_000;
const limit = (what: string) =>
  Type.Optional(count(0, MOST, `The most ${what}; 0 is no limit. Left out: as configured.`));

const limits = group(
  {
    messagesPerMinute: limit('messages a minute'),
    recipientsPerMinute: limit('recipients a minute'),
    messagesPerDay: limit('messages a day (UTC)'),
    recipientsPerDay: limit('recipients a day (UTC)'),
    sessions: limit('sessions on one pod at one time'),
  },
  'What this credential may do, in place of the limits that are configured for all.',
);

const percent = (what: string) => count(1, 100, `How many ${what}, in percent.`);

const chaos = group(
  {
    replies: Type.Optional(
      list(
        group(
          {
            stage: oneOf(
              CHAOS_STAGES,
              'What is answered so; `connect` is the greeting, for addresses that the key has logged in from, and `message` the message itself, after the dot.',
            ),
            code: Type.Unsafe<ChaosCode>({
              ...{ type: 'integer', format: 'int64', enum: [...CHAOS_CODES], description: 'The reply.' },
              expected: `one of ${CHAOS_CODES.join(', ')}`,
            }),
            percent: percent('are answered so'),
          },
          'A reply that is given on purpose.',
        ),
        { minItems: 1, maxItems: 20 },
        'Replies that are given on purpose.',
      ),
    ),
    slowSeconds: Type.Optional(count(1, SLOWEST, 'How long each reply from AUTH on takes.')),
    messagesPerMinute: Type.Optional(count(1, MOST, 'The most messages a minute.')),
    cutPercent: Type.Optional(percent('connections are cut in the middle of DATA')),
    late: Type.Optional(
      group(
        { percent: percent('are late'), seconds: count(1, LATEST, 'How late.') },
        'Messages that are accepted, and whose 250 comes late.',
      ),
    ),
  },
  'What goes wrong on purpose, for a key in sandbox only.',
);

const schema = group(
  {
    owner,
    domain: Type.Optional(domainName('The only domain that From may have. Left out: any.')),
    permission: Type.Optional(oneOf(PERMISSIONS, 'What else the key may do; `sending_access` where it is left out.')),
    keyFile: Type.Optional(filePath(SECRETS_FOLDER, 'The file that holds the key. Another content is another key.')),
    keyHash: Type.Optional(
      text('the SHA-256 of the key in hexadecimal digits (printf %s "$KEY" | sha256sum)', {
        pattern: '^[0-9a-f]{64}$',
        description: 'The SHA-256 of the key in lower-case hexadecimal digits, where the key itself is not to be here.',
      }),
    ),
    limits: Type.Optional(limits),
    sandbox: Type.Optional(
      flag(
        'What it sends is accepted and told of as if it had been sent, and goes to nobody. Standalone pipeline only. False where it is left out.',
      ),
    ),
    chaos: Type.Optional(chaos),
  },
  'An API key: the password of SMTP clients.',
  exactlyOneOf('keyFile', 'keyHash'),
);

type Spec = Static<typeof schema>;

interface CredentialRow {
  readonly name: string;
  readonly owner: string;
  readonly domain: string | null;
  readonly permission: string;
  readonly tokenHash: string;
  readonly preview: string | null;
  /** Named as in the configuration; those that are left out are as configured. */
  readonly limits: Readonly<Record<string, number>>;
  readonly sandbox: boolean;
  readonly chaos: Chaos | null;
}

function rowOf({ name, spec, text }: Source<Spec>): CredentialRow {
  const {
    owner,
    domain,
    permission = 'sending_access',
    keyFile,
    keyHash,
    limits = {},
    sandbox = false,
    chaos = null,
  } = spec;
  const key = text?.trim();
  if (key === '')
    throw new FieldError(['spec', 'keyFile'], 'names an empty file', 'put the key into it', 'FileUnreadable');
  if (chaos && !sandbox)
    throw new FieldError(['spec', 'chaos'], 'is for a key in sandbox only', 'set sandbox: true, or remove it');
  const overfull = chaos && overfullStage(chaos);
  if (overfull)
    throw new FieldError(
      ['spec', 'chaos', 'replies'],
      `come to more than 100 % at ${overfull}`,
      'give them smaller shares',
    );
  return {
    name,
    owner,
    domain: domain === undefined ? null : readDomain(['spec', 'domain'], domain),
    permission,
    // The path stands for a file that nobody looked for.
    tokenHash: keyHash ?? (key === undefined ? `file:${keyFile}` : hashKey(key)),
    preview: key === undefined ? null : previewOf(key),
    limits: { ...limits },
    sandbox,
    chaos,
  };
}

/** Beside OpenSend a restriction is the id of the owner's domain, where there is one, as its dashboard writes it. */
const DECLARED = `
  declared as (
    select * from jsonb_to_recordset($1::jsonb) as x (
      id uuid, name text, owner text, domain text, permission text, "tokenHash" text, preview text, limits jsonb,
      sandbox boolean, chaos jsonb, spellings jsonb)
  ), restrictions as (
    select id, case when exists (select from smtp_relay_settings where key = 'pipeline' and value = 'opensend')
                    then coalesce(${ownedDomainId('x.owner', `x.spellings ? ${comparableName('d.name')}`)}, x.domain)
                    else x.domain end as restriction
      from declared x
  )`;

const KEEP_CREDENTIAL = (made: string): string => `
  credential as (
    insert into smtp_relay_credentials (api_key_id, limits, sandbox, chaos)
    select id, x.limits, x.sandbox, nullif(x.chaos, 'null') from declared x join ${made} using (id)
    on conflict (api_key_id) do update 
       set limits = excluded.limits, sandbox = excluded.sandbox, chaos = excluded.chaos, chaos_until = null
  )`;

const SQL = {
  /** `restriction` as it is stored, and `domain` as it is called. */
  readOwned: `
    select o.document, o.owned_id, k.id is not null as there, k.name, k.user_id as owner,
           nullif(k.domain, '') as restriction, ${DOMAIN_NAME} as domain, k.permission, k.token_hash as "tokenHash",
           k.token_preview as preview, coalesce(c.limits, '{}') as limits,
           coalesce(c.sandbox, false) as sandbox, c.chaos
      from ${ownedBy('SmtpCredential')}
      left join api_keys k on k.id = o.owned_id
      ${DOMAIN_OF_KEY}
      left join smtp_relay_credentials c on c.api_key_id = o.owned_id`,

  findStanding: `
    select asked.position::integer, k.id
      from unnest($1::text[]) with ordinality as asked (hash, position) join api_keys k on k.token_hash = asked.hash`,

  insert: `
    with ${DECLARED}, made as (
      insert into api_keys (id, name, token_hash, token_preview, permission, domain, user_id)
      select id, name, "tokenHash", preview, permission, restriction, owner from declared join restrictions using (id)
       where not exists (select from api_keys where token_hash = "tokenHash")
      on conflict do nothing
      returning id
    ), ${KEEP_CREDENTIAL('made')}
    select id from made`,

  update: `
    with ${DECLARED}, changed as (
      update api_keys k
         set name = x.name, token_hash = x."tokenHash", token_preview = x.preview, permission = x.permission,
             domain = r.restriction, user_id = x.owner
        from declared x join restrictions r using (id) where k.id = x.id
      returning k.id
    ), ${KEEP_CREDENTIAL('changed')}
    select id from changed`,

  remove: `
    with credential as (delete from smtp_relay_credentials where api_key_id = any($1::uuid[]))
    delete from api_keys where id = any($1::uuid[])`,
};

type StoredRow = CredentialRow & { readonly restriction: string | null };

const statements = tableOf<CredentialRow>(
  SQL,
  rows => [rows.map(({ tokenHash }) => tokenHash)],
  row => ({ ...row, spellings: row.domain === null ? [] : spellings(row.domain) }),
);

const credentialTable: KindTable<CredentialRow> = {
  ...statements,
  readOwned: async db => ((await statements.readOwned(db)) as OwnedRow<StoredRow>[]).map(byName),
  async findWithheld(db) {
    const blocked = await readBlockedKeys(db);
    return ({ tokenHash }) => (blocked.has(tokenHash) ? BLOCKED : null);
  },
  identityOf: ({ tokenHash }) => tokenHash,
};

/** OpenSend's worker would send what such a key is to send to nobody. */
const NO_SANDBOX = {
  reason: 'NoSandbox',
  message:
    'Beside OpenSend a key cannot be in sandbox, since its own worker delivers. Take `sandbox` out, or use a standalone installation.',
} as const;

/** Restrictions are compared by what they come to: a name, however it is stored, or none that there is. */
function byName({ row, ...owned }: OwnedRow<StoredRow>): OwnedRow<CredentialRow> {
  if (row === null) return { ...owned, row };
  const { restriction, domain, ...rest } = row;
  return { ...owned, row: { ...rest, domain: restriction === null ? null : comparableDomain(domain ?? NO_DOMAIN) } };
}

/** An API key, which is the password of an SMTP client. */
export const smtpCredential: Kind<Spec, CredentialRow> = {
  schema,
  fileOf: ({ keyFile: path }) => (path === undefined ? null : { folder: 'secrets', path, field: ['spec', 'keyFile'] }),
  rowsOf: source => [rowOf(source)],
  table: ({ pipeline }) =>
    pipeline === 'standalone'
      ? credentialTable
      : { ...credentialTable, refusalOf: ({ sandbox }) => (sandbox ? NO_SANDBOX : null) },
};
