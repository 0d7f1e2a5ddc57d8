import { createHash, randomBytes } from 'node:crypto';
import { createLookupCache, type LookupCache } from '../../flow/lookup-cache.ts';
import { isUniqueViolation, StoreError } from '../../postgres/errors.ts';
import type { Queryable } from '../../postgres/pool.ts';
import { refuseDeclared } from '../owners/declaration.ts';
import type { Chaos } from './chaos-settings.ts';
import { DOMAIN_NAME, DOMAIN_OF_KEY, NO_DOMAIN } from './domain.ts';
import type { UsageLimits } from './usage.ts';

/** What a session needs to know of the key it was opened with. */
export interface ApiKey {
  readonly id: string;
  /** The tenant; never empty. */
  readonly userId: string;
  /** The name of the only From domain allowed, as it is stored; null where any is, `NO_DOMAIN` where none is. */
  readonly domain: string | null;
  /** What it may do in place of what is configured for all keys; left out where nothing is declared for it. */
  readonly limits?: KeyLimits;
  /** What it sends goes to nobody, and is told of as if it had been sent. Left out: no. */
  readonly sandbox?: boolean;
  /** What goes wrong on purpose; left out where nothing does, as for all that are not in sandbox. */
  readonly chaos?: Chaos;
}

/** As in `UsageLimits`, and sessions on one pod; 0 is no limit, and what is left out is as configured. */
export type KeyLimits = Partial<UsageLimits> & { readonly sessions?: number };

/** A key as operators see it. The key itself is nowhere: only its hash is stored. */
export interface ApiKeyListing {
  readonly id: string;
  readonly name: string;
  readonly preview: string | null;
  readonly owner: string | null;
  /** The name of the only From domain allowed; null where any is, and where the one that `domainId` names is gone. */
  readonly domain: string | null;
  /** The row of `domains` that the restriction names, as OpenSend's dashboard writes it; null where it is a name, or none. */
  readonly domainId: string | null;
  readonly permission: string;
  readonly createdAt: Date;
  readonly lastUsedAt: Date | null;
  /** It is refused, since a person has blocked it (`blocked-keys.ts`). */
  readonly blocked: boolean;
  /** What it sends goes to nobody, and is told of as if it had been sent. */
  readonly sandbox: boolean;
}

/** All that is known of one key. */
export interface ApiKeyDetails extends ApiKeyListing {
  /** What it may do in place of what is configured; null where nothing is said of it. */
  readonly limits: KeyLimits | null;
  /** The name of the document that declares it; null where none does. */
  readonly declaredBy: string | null;
  /** What goes wrong for it on purpose, and until when; null where nothing does, and where nothing is said of an end. */
  readonly chaos: Chaos | null;
  readonly chaosUntil: Date | null;
}

export const PERMISSIONS = ['full_access', 'sending_access'] as const;
export type Permission = (typeof PERMISSIONS)[number];

export interface NewApiKey {
  readonly name: string;
  readonly owner: string;
  /** The restriction as it is stored: a name, or the id of one of the owner's domains. */
  readonly domain?: string | undefined;
  /** `sending_access` unless given: it is all that an SMTP client needs. */
  readonly permission?: Permission | undefined;
  /** A key known from elsewhere; a new one is made unless given. */
  readonly key?: string | undefined;
  /** Left out: no. Standalone pipeline only, whose worker knows of it. */
  readonly sandbox?: boolean | undefined;
}

interface KeyRow {
  readonly id: string;
  readonly userId: string | null;
  readonly domain: string | null;
  readonly domainId: string | null;
  readonly limits: KeyLimits | null;
  readonly sandbox: boolean | null;
  readonly chaos: Chaos | null;
}

const PREVIEW_LENGTH = 12;

/** SQL: what goes wrong for a key whose row of `smtp_relay_credentials` is `c`, as long as it does. */
const CHAOS = 'case when c.sandbox and coalesce(c.chaos_until > now(), true) then c.chaos end';

const FOUND = `
  select k.id, k.user_id as "userId", ${DOMAIN_NAME} as domain, restricted.id as "domainId", c.limits, c.sandbox,
         ${CHAOS} as chaos
    from api_keys k ${DOMAIN_OF_KEY}
    left join smtp_relay_credentials c on c.api_key_id = k.id
   where not exists (select from smtp_relay_blocked_keys b where b.token_hash = k.token_hash)`;

const FIND_BY_HASH = `
  ${FOUND} and k.token_hash = $1`;

const FIND_BY_ID = `
  ${FOUND} and k.id = $1`;

const FIND_ID = 'select id from api_keys where token_hash = $1';

const LISTING = `
  k.id, k.name, k.token_preview as preview, k.user_id as owner, nullif(btrim(${DOMAIN_NAME}, E' \\t\\r\\n'), '') as domain,
  restricted.id as "domainId", k.permission, k.created_at as "createdAt", k.last_used_at as "lastUsedAt",
  exists (select from smtp_relay_blocked_keys b where b.token_hash = k.token_hash) as blocked,
  exists (select from smtp_relay_credentials c where c.api_key_id = k.id and c.sandbox) as sandbox`;

const INSERT = `
  with k as (
    insert into api_keys (name, token_hash, token_preview, permission, domain, user_id)
    values ($1, $2, $3, $4, $5, $6)
    returning *
  ), credential as (
    insert into smtp_relay_credentials (api_key_id, limits, sandbox) select id, '{}', true from k where $7
  )
  select ${LISTING} from k ${DOMAIN_OF_KEY}`;

const LIST = `
  select ${LISTING} from api_keys k ${DOMAIN_OF_KEY}
   where $1::text is null or k.user_id = $1 order by k.created_at, k.id`;

const FIND_BY_REFERENCE = `
  select ${LISTING} from api_keys k ${DOMAIN_OF_KEY}
   where k.id::text = lower($1) or k.token_preview = $1 or k.name = $1 or k.token_hash = $2`;

const DETAILS = `
  select c.limits, o.name as "declaredBy", ${CHAOS} as chaos,
         case when ${CHAOS} is not null then c.chaos_until end as "chaosUntil"
    from (values ($1::uuid)) as k (id)
    left join smtp_relay_credentials c on c.api_key_id = k.id
    left join smtp_relay_declared o on o.kind = 'SmtpCredential' and k.id = any(o.owned)`;

const DELETE = `
  with credential as (delete from smtp_relay_credentials where api_key_id = $1)
  delete from api_keys where id = $1`;

/** How a key is stored and looked up: lower-case hex SHA-256 of it without the white space around it. */
export function hashKey(key: string): string {
  return createHash('sha256').update(key.trim()).digest('hex');
}

/** The beginning of a key, by which people know it again; never more than half of it. */
export function previewOf(key: string): string {
  return `${key.slice(0, Math.min(PREVIEW_LENGTH, key.length >> 1))}…`;
}

/** The key with this hash, or null. One without an owner is invalid, and a blocked one refused, so null as well. */
export async function findByHash(db: Queryable, hash: string): Promise<ApiKey | null> {
  return validKey((await db.query<KeyRow>(FIND_BY_HASH, [hash])).rows[0]);
}

/** The key with this id, or null, as above. */
export async function findById(db: Queryable, id: string): Promise<ApiKey | null> {
  return validKey((await db.query<KeyRow>(FIND_BY_ID, [id])).rows[0]);
}

/** The id of the key with this hash, also of one that is refused; null where there is none. */
export async function findIdByHash(db: Queryable, hash: string): Promise<string | null> {
  return (await db.query<{ id: string }>(FIND_ID, [hash])).rows[0]?.id ?? null;
}

function validKey(row: KeyRow | undefined): ApiKey | null {
  if (!row?.userId?.trim()) return null;
  const { id, userId, domainId, limits, sandbox, chaos } = row;
  const name = row.domain?.trim() || null;
  return {
    id,
    userId,
    domain: domainId === null ? name : (name ?? NO_DOMAIN),
    ...(limits && { limits }),
    ...(sandbox && { sandbox }),
    ...(chaos && { chaos }),
  };
}

/** Makes a key. The answer is the only place where it is ever seen in clear. */
export async function createKey(db: Queryable, wanted: NewApiKey): Promise<ApiKeyListing & { readonly key: string }> {
  const key = wanted.key?.trim() ?? `os_live_${randomBytes(16).toString('hex')}`;
  if (!key) throw new StoreError('invalid', 'the key is empty');
  if (!wanted.owner.trim()) throw new StoreError('invalid', 'the owner is empty; a key without an owner is invalid');
  const preview = previewOf(key);
  const permission = wanted.permission ?? 'sending_access';
  const { sandbox = false } = wanted;
  const values = [wanted.name, hashKey(key), preview, permission, wanted.domain ?? null, wanted.owner, sandbox];
  try {
    const { rows } = await db.query<ApiKeyListing>(INSERT, values);
    return { ...(rows[0] as ApiKeyListing), sandbox, key };
  } catch (error) {
    if (isUniqueViolation(error)) throw new StoreError('conflict', 'this key exists already');
    throw error;
  }
}

/** All keys, or one owner's, oldest first. */
export async function listKeys(db: Queryable, owner?: string): Promise<ApiKeyListing[]> {
  return (await db.query<ApiKeyListing>(LIST, [owner ?? null])).rows;
}

/**
 * The one key that `reference` names: its id, its preview, its name, or the key itself.
 * Throws `StoreError` where there is none or more than one.
 */
export async function findByReference(db: Queryable, reference: string): Promise<ApiKeyListing> {
  const { rows } = await db.query<ApiKeyListing>(FIND_BY_REFERENCE, [reference.trim(), hashKey(reference)]);
  const [found, ...others] = rows;
  if (!found) throw noSuchKey();
  if (others.length > 0) {
    const ids = rows.map(row => row.id).join(', ');
    throw new StoreError('ambiguous', `${rows.length} keys are called so; name one by its id: ${ids}`);
  }
  return found;
}

/** Nothing is named by what names a key. */
export function noSuchKey(): StoreError {
  return new StoreError('not-found', 'no key has this id, name or preview, or is this one', 'keys');
}

/** All that is known of the key that `reference` names, as `findByReference` reads it. */
export async function showKey(db: Queryable, reference: string): Promise<ApiKeyDetails> {
  const found = await findByReference(db, reference);
  const { rows } = await db.query<Omit<ApiKeyDetails, keyof ApiKeyListing>>(DETAILS, [found.id]);
  return { ...found, limits: null, declaredBy: null, chaos: null, chaosUntil: null, ...rows[0] };
}

/** Deletes the key that `reference` names, as `findByReference` reads it. @throws StoreError also for one that is declared */
export async function revokeKey(db: Queryable, reference: string): Promise<ApiKeyListing> {
  const found = await findByReference(db, reference);
  const instead = ', or have it refused at once: smtp-relay keys revoke --block';
  await refuseDeclared(db, 'SmtpCredential', [found.id], { what: 'this key', instead });
  await db.query(DELETE, [found.id]);
  return found;
}

/** A revoked key stops within ten seconds; the tenth is for the message that is on its way when the answer expires. */
const KNOWN_KEY_TTL = 9_000;
/** A new key works within a second of being created; guesses of one key cost a query a second, and one that asks whose it was. */
const UNKNOWN_KEY_TTL = 1_000;
const MAX_KEYS = 10_000;

export interface KeyCacheOptions<V> {
  /** Finds what is known of a key, such as by its hash; null where that is nothing. */
  readonly find: (key: string) => Promise<V | null>;
  readonly now?: () => number;
}

/** What is known of API keys, by hash (`hashKey`) or id, so that not every message or guess costs a query. */
export function createKeyCache<V>(options: KeyCacheOptions<V>): LookupCache<V | null> {
  return createLookupCache<V | null>({
    find: options.find,
    ttl: found => (found === null ? UNKNOWN_KEY_TTL : KNOWN_KEY_TTL),
    max: MAX_KEYS,
    ...(options.now ? { now: options.now } : {}),
  });
}
