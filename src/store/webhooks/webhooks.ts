import { isUuid } from '../../platform/uuid.ts';
import { StoreError } from '../../postgres/errors.ts';
import type { Queryable } from '../../postgres/pool.ts';
import { refuseDeclared } from '../owners/declaration.ts';

/** An endpoint that hears of an owner's events; without its secret. */
export interface Webhook {
  readonly id: string;
  readonly url: string;
  /** Such as `email.bounced`; `*` is all. */
  readonly events: readonly string[];
  /** `active`, `disabled`, or what another program calls it. Only active ones get deliveries. */
  readonly status: string;
  readonly owner: string | null;
  readonly createdAt: Date;
  readonly failingSince: Date | null;
  readonly disabledAt: Date | null;
  /** Until when deliveries are signed with the secret before the last rotation too. */
  readonly previousSecretUntil: Date | null;
}

export interface NewWebhook {
  readonly id: string;
  readonly owner: string;
  readonly url: string;
  readonly events: readonly string[];
  /** Encrypted. */
  readonly secret: string;
}

/** Secrets of an endpoint, encrypted. */
export interface WebhookSecrets {
  readonly id: string;
  readonly current: string | null;
  /** Also one whose overlap has ended. */
  readonly previous: string | null;
}

const COLUMNS = `
  w.id, w.url, w.event_types as events, w.status, w.user_id as owner, w.created_at as "createdAt",
  s.failing_since as "failingSince", s.disabled_at as "disabledAt",
  case when s.previous_until > now() then s.previous_until end as "previousSecretUntil"`;

const FIND = `
  select ${COLUMNS} from webhooks w left join smtp_relay_webhooks s on s.webhook_id = w.id where w.id = $1`;

const LIST = `
  select ${COLUMNS} from webhooks w left join smtp_relay_webhooks s on s.webhook_id = w.id
   where $1::text is null or w.user_id = $1
   order by w.user_id, w.created_at, w.id`;

const INSERT = `
  insert into webhooks (id, url, event_types, status, signing_secret_enc, user_id, created_at)
  values ($1, $2, $3, 'active', $4, $5, now())`;

const FIND_SECRETS = `
  select w.id, w.signing_secret_enc as current, s.previous_secret_enc as previous
    from webhooks w left join smtp_relay_webhooks s on s.webhook_id = w.id
   where $1::uuid is null or w.id = $1`;

/** Two rotations at once: the second one finds another secret than it has read, and changes nothing. */
const ROTATE = `
  with rotated as (
    update webhooks set signing_secret_enc = $2 where id = $1 and signing_secret_enc is not distinct from $3
    returning id
  )
  insert into smtp_relay_webhooks (webhook_id, previous_secret_enc, previous_until)
  select id, $4, now() + make_interval(secs => $5) from rotated
  on conflict (webhook_id) do update
    set previous_secret_enc = excluded.previous_secret_enc, previous_until = excluded.previous_until`;

const REPLACE_SECRETS = `
  with replaced as (
    update webhooks set signing_secret_enc = $2 where id = $1 and signing_secret_enc is not distinct from $3 returning id
  )
  update smtp_relay_webhooks s set previous_secret_enc = $4 from replaced where s.webhook_id = replaced.id`;

const ENABLE = `
  with enabled as (update webhooks set status = 'active' where id = $1 returning id)
  update smtp_relay_webhooks s set failing_since = null, failed_at = null, occasions = 0, disabled_at = null
    from enabled where s.webhook_id = enabled.id`;

/** Deliveries first: not every installation's foreign key removes them. */
const DELETE = `
  with deliveries as (delete from webhook_deliveries where webhook_id = $1),
       state as (delete from smtp_relay_webhooks where webhook_id = $1)
  delete from webhooks where id = $1`;

/** All endpoints, or one owner's, in the order of their making. */
export async function listWebhooks(db: Queryable, owner?: string): Promise<Webhook[]> {
  return (await db.query<Webhook>(LIST, [owner ?? null])).rows;
}

/** @throws StoreError where there is none with this id */
export async function findWebhook(db: Queryable, id: string): Promise<Webhook> {
  const found = isUuid(id) ? (await db.query<Webhook>(FIND, [id])).rows[0] : undefined;
  if (!found) throw new StoreError('not-found', `no webhook has the id "${id}"`, 'webhooks');
  return found;
}

export async function createWebhook(db: Queryable, wanted: NewWebhook): Promise<Webhook> {
  if (!wanted.owner.trim()) throw new StoreError('invalid', 'the owner is empty');
  await db.query(INSERT, [wanted.id, wanted.url, JSON.stringify(wanted.events), wanted.secret, wanted.owner]);
  return findWebhook(db, wanted.id);
}

/** The secrets of one endpoint, or of all. */
export async function readSecrets(db: Queryable, id?: string): Promise<WebhookSecrets[]> {
  return (await db.query<WebhookSecrets>(FIND_SECRETS, [id ?? null])).rows;
}

/**
 * Gives an endpoint another secret, and keeps the old one beside it for a while.
 *
 * @param overlap milliseconds
 * @throws StoreError where the secret has changed since `secrets` was read, and where a document names it
 */
export async function rotateSecret(
  db: Queryable,
  secrets: Pick<WebhookSecrets, 'id' | 'current'>,
  secret: string,
  overlap: number,
): Promise<void> {
  const { id, current } = secrets;
  await refuseDeclared(db, 'WebhookEndpoint', [id], { what: 'this secret', instead: ', or the file that it names' });
  const { rowCount } = await db.query(ROTATE, [id, secret, current, overlap > 0 ? current : null, overlap / 1000]);
  if (rowCount !== 1) throw new StoreError('conflict', 'the secret was changed by someone else; look, and try again');
}

/** Puts the same secrets back under another key. One that was rotated since it was read stays as it is. */
export async function replaceSecrets(db: Queryable, read: WebhookSecrets, sealed: WebhookSecrets): Promise<void> {
  await db.query(REPLACE_SECRETS, [read.id, sealed.current, read.current, sealed.previous]);
}

/** Makes an endpoint active, with a clear name. What was parked for it is resumed by `resumeParked`. */
export async function enableWebhook(db: Queryable, id: string): Promise<Webhook> {
  const { id: found } = await findWebhook(db, id);
  await db.query(ENABLE, [found]);
  return findWebhook(db, found);
}

/** Removes an endpoint with its deliveries. @throws StoreError also for one that is declared */
export async function deleteWebhook(db: Queryable, id: string): Promise<Webhook> {
  const found = await findWebhook(db, id);
  await refuseDeclared(db, 'WebhookEndpoint', [found.id], { what: 'this endpoint' });
  await db.query(DELETE, [found.id]);
  return found;
}

/**
 * What is left for an endpoint that was disabled, here or by its owner, is kept until it is enabled. Some at a time. The lock on
 * the endpoint makes whoever enables it just now wait, and find these among the parked.
 */
const PARK = `
  update webhook_deliveries set status = 'parked', next_retry_at = null
   where id in (select d.id
                  from webhooks w
                 cross join lateral (select id from webhook_deliveries
                                      where webhook_id = w.id and status in ('pending', 'failed')
                                      limit $1 for update skip locked) d
                 where w.status = 'disabled'
                 limit $1 for share of w)`;

/** With the tries that each has left. $1: the endpoint. */
const RESUME = `
  update webhook_deliveries
     set status = case when coalesce(attempt, 0) = 0 then 'pending' else 'failed' end, next_retry_at = now()
   where id in (select id from webhook_deliveries where webhook_id = $1 and status = 'parked' limit $2 for update skip locked)`;

const RESUMED_AT_ONCE = 5_000;

/** Parks what is left for disabled endpoints. @returns how many, at most `limit`: then there may be more */
export async function parkDisabled(db: Queryable, limit: number): Promise<number> {
  return (await db.query(PARK, [limit])).rowCount ?? 0;
}

/** Makes due at once what was parked for an endpoint that is active again. @returns how many */
export async function resumeParked(db: Queryable, webhookId: string): Promise<number> {
  let resumed = 0;
  for (;;) {
    const { rowCount } = await db.query(RESUME, [webhookId, RESUMED_AT_ONCE]);
    resumed += rowCount ?? 0;
    if ((rowCount ?? 0) < RESUMED_AT_ONCE) return resumed;
  }
}
