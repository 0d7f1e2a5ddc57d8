import { domainToUnicode } from 'node:url';
import { comparableDomain, parseAddress } from '../message/address.ts';
import { StoreError } from './errors.ts';
import { createLookupCache } from './lookup-cache.ts';
import type { Queryable } from './pool.ts';

export interface Domain {
  readonly id: string;
  /** Lower case, A-labels, where this program wrote it. */
  readonly name: string;
  readonly owner: string | null;
  readonly status: string | null;
  readonly region: string;
  readonly createdAt: Date | null;
}

const OWNED_TTL = 10_000;
/** A domain that was just added works within a second. */
const NOT_OWNED_TTL = 1_000;
const MAX_OWNED = 10_000;

const COLUMNS = `
  id, name, user_id as owner, status, region, created_at as "createdAt"`;

/** Names are compared in lower case and in both spellings, since other programs write to this table too. */
const IS_OWNED = `
  select exists (select from domains where user_id = $1 and lower(name) = any($2)) as owned`;

/** Which unique constraints there are is up to the installation; hence no ON CONFLICT that names one. */
const INSERT = `
  insert into domains (name, user_id, region)
  select $1, $2, $4
   where not exists (select from domains where user_id = $2 and lower(name) = any($3))
  on conflict do nothing
  returning ${COLUMNS}`;

const LIST = `
  select ${COLUMNS} from domains where $1::text is null or user_id = $1 order by name, user_id`;

const FIND = `
  select ${COLUMNS} from domains where lower(name) = any($1) and ($2::text is null or user_id = $2)`;

const DELETE = `
  delete from domains where id = $1`;

/**
 * A domain name as it is stored: lower case, A-labels.
 * Throws `StoreError` where it is not one, or is an address literal.
 */
export function normaliseDomain(name: string): string {
  const domain = comparableDomain(name.replace(/\.$/, ''));
  if (domain.startsWith('[') || domain.includes('@') || parseAddress(`a@${domain}`) === null) {
    throw new StoreError('invalid', `"${name}" is not a domain name`);
  }
  return domain;
}

/** Whether the domain (in any spelling) is one of the owner's. */
export async function isOwned(db: Queryable, userId: string, domain: string): Promise<boolean> {
  const { rows } = await db.query<{ owned: boolean }>(IS_OWNED, [userId, spellings(comparableDomain(domain))]);
  return rows[0]?.owned === true;
}

/** `isOwned`, a yes kept for at most ten seconds, a no for one. */
export function createOwnershipCache(db: Queryable, now?: () => number) {
  const cache = createLookupCache<boolean>({
    find: key => {
      const [domain = '', ...userId] = key.split('\n');
      return isOwned(db, userId.join('\n'), domain);
    },
    ttl: owned => (owned ? OWNED_TTL : NOT_OWNED_TTL),
    max: MAX_OWNED,
    ...(now ? { now } : {}),
  });
  return {
    isOwned: (userId: string, domain: string): Promise<boolean> =>
      cache.lookup(`${comparableDomain(domain)}\n${userId}`),
  };
}

/** Makes a domain one of the owner's. One that is already stays as it is. */
export async function addDomain(
  db: Queryable,
  wanted: { readonly name: string; readonly owner: string; readonly region: string },
): Promise<Domain & { readonly added: boolean }> {
  const name = normaliseDomain(wanted.name);
  if (!wanted.owner.trim()) throw new StoreError('invalid', 'the owner is empty');
  const inserted = await db.query<Domain>(INSERT, [name, wanted.owner, spellings(name), wanted.region]);
  if (inserted.rows[0]) return { ...inserted.rows[0], added: true };
  const found = await db.query<Domain>(FIND, [spellings(name), wanted.owner]);
  if (!found.rows[0]) throw new StoreError('conflict', `${name} belongs to another owner already`);
  return { ...found.rows[0], added: false };
}

/** All domains, or one owner's, by name. */
export async function listDomains(db: Queryable, owner?: string): Promise<Domain[]> {
  return (await db.query<Domain>(LIST, [owner ?? null])).rows;
}

/** Removes a domain from its owner; the owner may be left out where there is only one. */
export async function removeDomain(db: Queryable, name: string, owner?: string): Promise<Domain> {
  const { rows } = await db.query<Domain>(FIND, [spellings(normaliseDomain(name)), owner ?? null]);
  const [found, ...others] = rows;
  if (!found) throw new StoreError('not-found', `${name} is no domain of ${owner ?? 'any owner'}`);
  if (others.length > 0) {
    const owners = rows.map(row => row.owner).join(', ');
    throw new StoreError('ambiguous', `${name} belongs to several owners; name one with --owner: ${owners}`);
  }
  await db.query(DELETE, [found.id]);
  return found;
}

function spellings(domain: string): string[] {
  return domain.includes('xn--') ? [domain, domainToUnicode(domain)] : [domain];
}
