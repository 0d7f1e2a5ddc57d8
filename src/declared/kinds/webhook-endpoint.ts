import Type, { type Static } from 'typebox';
import { ALL_EVENTS, parseEndpointUrl, WEBHOOK_EVENTS } from '../../webhooks/endpoint.ts';
import type { SecretBox } from '../../webhooks/signing.ts';
import { FieldError } from '../problem.ts';
import { filePath, group, list, oneOf, owner, SECRETS_FOLDER, text } from './fields.ts';
import { differingFields, type Failure, type Kind, type KindTable, ownedBy, type Source, tableOf } from './kind.ts';

const schema = group(
  {
    owner,
    url: text('an https or http URL, such as https://acme.com/hooks/email', {
      pattern: '^https?://[^\\s]+$',
      maxLength: 2048,
      description: 'Where events are posted to.',
    }),
    events: Type.Optional(
      list(
        oneOf([ALL_EVENTS, ...WEBHOOK_EVENTS], 'An event; `*` is all of them.'),
        { minItems: 1, maxItems: 50 },
        'Which events; all where it is left out.',
      ),
    ),
    secretFile: filePath(
      SECRETS_FOLDER,
      'The file that holds the signing secret: `whsec_` and 24 to 64 random bytes in Base64. Another content is another secret; the last one signs too for a day.',
    ),
  },
  "An endpoint that hears of an owner's events.",
);

type Spec = Static<typeof schema>;

interface WebhookRow {
  readonly owner: string;
  readonly url: string;
  readonly events: readonly string[];
  /** In clear. */
  readonly secret: string;
}

interface StoredRow extends Omit<WebhookRow, 'secret'> {
  /** Encrypted. */
  readonly secret: string | null;
}

/** Standard Webhooks: `whsec_` and 24 to 64 bytes in Base64. */
const SIGNING_SECRET = /^whsec_[A-Za-z0-9+/]+={0,2}$/;

function rowOf({ spec, text }: Source<Spec>): WebhookRow {
  const { owner, url, events = [ALL_EVENTS] } = spec;
  const secret = text?.trim() ?? '';
  const bytes = Buffer.from(secret.slice('whsec_'.length), 'base64').length;
  if (text !== null && !(SIGNING_SECRET.test(secret) && bytes >= 24 && bytes <= 64)) {
    const fix = 'put whsec_ and 24 to 64 random bytes in Base64 into it: echo "whsec_$(openssl rand -base64 32)"';
    throw new FieldError(['spec', 'secretFile'], 'names a file that holds no signing secret', fix, 'FileUnreadable');
  }
  const heard = events.includes(ALL_EVENTS) ? [ALL_EVENTS] : [...new Set<string>(events)];
  return { owner, url: parseUrl(url), events: heard, secret };
}

function parseUrl(url: string): string {
  try {
    return parseEndpointUrl(url);
  } catch (error) {
    // It says what is wrong, and repeats the text only where it is no URL at all.
    const why = URL.canParse(url) && error instanceof RangeError ? `is not right: ${error.message}` : 'is not a URL';
    throw new FieldError(['spec', 'url'], why, 'write a URL such as https://acme.com/hooks/email');
  }
}

const DECLARED = `
  declared as (select * from jsonb_to_recordset($1::jsonb) as x (id uuid, owner text, url text, events jsonb, secret text))`;

const SQL = {
  readOwned: `
    select o.document, o.owned_id, w.id is not null as there, w.user_id as owner, w.url, w.event_types as events,
           w.signing_secret_enc as secret
      from ${ownedBy('WebhookEndpoint')} left join webhooks w on w.id = o.owned_id`,

  findStanding: `
    select asked.position::integer, w.id
      from unnest($1::text[], $2::text[]) with ordinality as asked (owner, url, position)
      join webhooks w on w.user_id = asked.owner and w.url = asked.url`,

  insert: `
    with ${DECLARED}
    insert into webhooks (id, url, event_types, status, signing_secret_enc, user_id, created_at)
    select id, url, events, 'active', secret, owner, now() from declared d
     where not exists (select from webhooks w where w.user_id = d.owner and w.url = d.url)
    returning id`,

  /** The secret that was signs too for a day, so that receivers have time to learn the new one. */
  update: `
    with ${DECLARED}, rotated as (
      insert into smtp_relay_webhooks (webhook_id, previous_secret_enc, previous_until)
      select w.id, w.signing_secret_enc, now() + interval '24 hours'
        from webhooks w join declared d using (id)
       where w.signing_secret_enc is not null and w.signing_secret_enc <> d.secret
      on conflict (webhook_id) do update
        set previous_secret_enc = excluded.previous_secret_enc, previous_until = excluded.previous_until
    )
    update webhooks w set url = d.url, event_types = d.events, signing_secret_enc = d.secret, user_id = d.owner
      from declared d where w.id = d.id
    returning w.id`,

  /** Deliveries first: not every installation's foreign key removes them. */
  remove: `
    with deliveries as (delete from webhook_deliveries where webhook_id = any($1::uuid[])),
         state as (delete from smtp_relay_webhooks where webhook_id = any($1::uuid[]))
    delete from webhooks where id = any($1::uuid[])`,
};

const OPENSEND_TELLS: Failure = {
  reason: 'NotBesideOpenSend',
  message:
    "OpenSend's dashboard manages webhooks, and its worker signs with secrets that are encrypted with a key of its own " +
    '(pipeline opensend): add the endpoint in the dashboard, and remove this document.',
};

function createTable(box: SecretBox): KindTable<WebhookRow, StoredRow> {
  const isSame = (secret: string, sealed: string | null, id: string): boolean => {
    try {
      return sealed !== null && box.open(sealed, id) === secret;
    } catch {
      // Sealed with a key that is gone, or not by us: it is written anew.
      return false;
    }
  };
  return {
    ...tableOf<StoredRow>(SQL, rows => [rows.map(({ owner }) => owner), rows.map(({ url }) => url)]),
    identityOf: ({ owner, url }) => `${owner}\n${url}`,
    differences({ secret, ...declared }, { secret: sealed, ...stored }, id) {
      return [...differingFields(declared, stored), ...(isSame(secret, sealed, id) ? [] : ['secret'])];
    },
    toStored: ({ secret, ...declared }, id) => ({ ...declared, secret: box.seal(secret, id) }),
  };
}

/** An endpoint that hears of an owner's events. */
export const webhookEndpoint: Kind<Spec, WebhookRow, StoredRow> = {
  schema,
  fileOf: ({ secretFile: path }) => ({ folder: 'secrets', path, field: ['spec', 'secretFile'] }),
  rowsOf: source => [rowOf(source)],
  table: ({ box, pipeline }) => ({
    ...createTable(box),
    ...(pipeline === 'opensend' && { refusal: OPENSEND_TELLS }),
  }),
};
