import { type DeclaredTable, idsOf, ownedBy, ownedRows, positions } from './table.ts';

/** An endpoint as a document declares it. */
export interface WebhookRow {
  readonly owner: string;
  readonly url: string;
  readonly events: readonly string[];
  /** Encrypted. */
  readonly secret: string | null;
}

const READ_OWNED = `
  select o.document, o.owned_id, w.id is not null as there, w.user_id as owner, w.url, w.event_types as events,
         w.signing_secret_enc as secret
    from ${ownedBy('WebhookEndpoint')} left join webhooks w on w.id = o.owned_id`;

const FIND_STANDING = `
  select asked.position::integer, w.id
    from unnest($1::text[], $2::text[]) with ordinality as asked (owner, url, position)
    join webhooks w on w.user_id = asked.owner and w.url = asked.url`;

const WANTED = `
  wanted as (select * from jsonb_to_recordset($1::jsonb) as x (id uuid, owner text, url text, events jsonb, secret text))`;

const INSERT = `
  with ${WANTED}
  insert into webhooks (id, url, event_types, status, signing_secret_enc, user_id, created_at)
  select id, url, events, 'active', secret, owner, now() from wanted
   where not exists (select from webhooks w where w.user_id = wanted.owner and w.url = wanted.url)
  returning id`;

/** The secret that was signs too for a day, so that receivers have time to learn the new one. */
const UPDATE = `
  with ${WANTED}, rotated as (
    insert into smtp_relay_webhooks (webhook_id, previous_secret_enc, previous_until)
    select w.id, w.signing_secret_enc, now() + interval '24 hours'
      from webhooks w join wanted x using (id)
     where w.signing_secret_enc is not null and w.signing_secret_enc <> x.secret
    on conflict (webhook_id) do update
      set previous_secret_enc = excluded.previous_secret_enc, previous_until = excluded.previous_until
  )
  update webhooks w set url = x.url, event_types = x.events, signing_secret_enc = x.secret, user_id = x.owner
    from wanted x where w.id = x.id
  returning w.id`;

/** Deliveries first: not every installation's foreign key removes them. */
const REMOVE = `
  with deliveries as (delete from webhook_deliveries where webhook_id = any($1::uuid[])),
       state as (delete from smtp_relay_webhooks where webhook_id = any($1::uuid[]))
  delete from webhooks where id = any($1::uuid[])`;

export const declaredWebhooks: DeclaredTable<WebhookRow> = {
  readOwned: async db => ownedRows((await db.query(READ_OWNED)).rows),
  findStanding: async (db, rows) => {
    const values = [rows.map(({ owner }) => owner), rows.map(({ url }) => url)];
    return positions((await db.query(FIND_STANDING, values)).rows);
  },
  insert: (db, rows) => idsOf(db, INSERT, rows),
  update: (db, rows) => idsOf(db, UPDATE, rows),
  remove: async (db, ids) => void (await db.query(REMOVE, [ids])),
};
