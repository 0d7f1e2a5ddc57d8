import { isUuid } from '../../platform/uuid.ts';
import { StoreError } from '../../postgres/errors.ts';
import type { Queryable } from '../../postgres/pool.ts';
import { comparableName, normaliseDomain, spellings } from '../owners/domains.ts';
import type { Pipeline } from '../schema/pipeline.ts';

/*
 * What `api_keys.domain` restricts a key to: the id of one of the owner's rows of `domains`, as OpenSend's dashboard writes it,
 * or a name.
 */

/** Of a key that is restricted to a domain which its owner does not have, or not any more: no From is at it. */
export const NO_DOMAIN = '';

/**
 * Joins to a key `k` the id that it is restricted by, and the row `d` of the same owner's domains. By the primary key, since
 * OpenSend's table has no index on names or owners. A name has not the form of an id, so that the cast never fails.
 */
export const DOMAIN_OF_KEY = `
  cross join lateral (
    select substring(k.domain from '^\\s*([0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12})\\s*$')::uuid as id
  ) restricted
  left join domains d on d.id = restricted.id and d.user_id = k.user_id`;

/** The name that a key, joined as above, is restricted to; null where it may send from any, or its domain is gone. */
export const DOMAIN_NAME = 'case when restricted.id is null then k.domain else d.name end';

/**
 * SQL: the id of an owner's domain; null where he has none of that name. Of several, the one that SES knows, and the oldest of
 * such.
 *
 * @param isNamed SQL that says whether a row `d` has the name
 */
export const ownedDomainId = (owner: string, isNamed: string): string => `
  (select d.id::text from domains d where d.user_id = ${owner} and ${isNamed}
    order by d.status = 'verified' desc, d.created_at, d.id limit 1)`;

const FIND = `
  select ${ownedDomainId('$1', `${comparableName('d.name')} = any($2)`)} as id`;

const IS_OWN_ID = 'select from domains where id = $1 and user_id = $2';

/**
 * How a restriction to a domain is stored: beside OpenSend as its dashboard does, by the domain's id; else by its name, so
 * that keys can be made before domains, and outlive a domain that is removed and added again.
 *
 * @param domain its name, or its id, which is stored as it is
 * @throws StoreError `invalid`; `not-found` where an id, or beside OpenSend a name, is none of the owner's domains
 */
export async function storedRestriction(
  db: Queryable,
  pipeline: Pipeline,
  owner: string,
  domain: string,
): Promise<string> {
  if (isUuid(domain.trim())) return ownId(db, owner, domain.trim().toLowerCase());
  const name = normaliseDomain(domain);
  if (pipeline === 'standalone') return name;
  const id = (await db.query<{ id: string | null }>(FIND, [owner, spellings(name)])).rows[0]?.id;
  if (id) return id;
  throw new StoreError('not-found', `${name} is no domain of ${owner}: add it in OpenSend's dashboard first`);
}

async function ownId(db: Queryable, owner: string, id: string): Promise<string> {
  if ((await db.query(IS_OWN_ID, [id, owner])).rowCount === 1) return id;
  throw new StoreError('not-found', `${id} is the id of no domain of ${owner}`);
}
