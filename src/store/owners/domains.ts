import { domainToUnicode } from 'node:url';
import { comparableDomain, parseAddress } from '../../message/addresses/address.ts';
import { isUuid } from '../../platform/uuid.ts';
import { StoreError } from '../../postgres/errors.ts';
import type { Queryable } from '../../postgres/pool.ts';
import { refuseDeclared } from './declaration.ts';

export interface Domain {
  readonly id: string;
  /** Lower case, A-labels, where this program wrote it. */
  readonly name: string;
  readonly owner: string | null;
  readonly status: string | null;
  readonly region: string;
  readonly createdAt: Date | null;
  readonly trackOpens: boolean;
  readonly trackClicks: boolean;
  /** A label below the domain (`links`), or a whole host name. */
  readonly trackingSubdomain: string | null;
  readonly configurationSet: string | null;
  /** `enforced`, `opportunistic`, or null where nothing is said. */
  readonly tls: string | null;
}

/** What can be changed about a domain; what is left out stays. null takes a value away. */
export interface DomainChanges {
  readonly region?: string | undefined;
  readonly trackOpens?: boolean | undefined;
  readonly trackClicks?: boolean | undefined;
  readonly trackingSubdomain?: string | null | undefined;
  readonly configurationSet?: string | null | undefined;
  readonly tls?: 'enforced' | 'opportunistic' | null | undefined;
}

const COLUMNS = `
  id, name, user_id as owner, status, region, created_at as "createdAt", track_opens as "trackOpens",
  track_clicks as "trackClicks", nullif(tracking_subdomain, '') as "trackingSubdomain",
  nullif(ses_configuration_set_name, '') as "configurationSet", tls`;

/**
 * SQL: a name of this table as it is compared, in lower case and without white space around; both spellings have to be asked
 * for. Other programs write to this table too, and several rows may have one name.
 */
export const comparableName = (column: string): string => `lower(btrim(${column}, E' \\t\\r\\n'))`;

/** Which unique constraints there are is up to the installation; hence no ON CONFLICT that names one. */
const INSERT = `
  insert into domains (name, user_id, region, created_at)
  select $1, $2, $4, now()
   where not exists (select from domains where (user_id = $2 or $5) and ${comparableName('name')} = any($3))
  on conflict do nothing
  returning ${COLUMNS}`;

/** Whoever adds the same name waits until the transaction ends; the statement behind it then sees what became of that. */
const LOCK_NAME = `
  select pg_advisory_xact_lock(hashtextextended('smtp_relay domain ' || $1, 0))`;

const LIST = `
  select ${COLUMNS} from domains where $1::text is null or user_id = $1 order by name, user_id`;

const FIND = `
  select ${COLUMNS} from domains where ${comparableName('name')} = any($1) and ($2::text is null or user_id = $2)`;

const FIND_BY_ID = `
  select ${COLUMNS} from domains where id = $1 and ($2::text is null or user_id = $2)`;

const DELETE = `
  delete from domains where id = $1`;

/**
 * An empty text takes a value away, null leaves it. @param tls SQL for its new value: of what is taken away, the column's
 * default is left, since OpenSend's column is never null
 */
const update = (tls: string): string => `
  update domains
     set region = coalesce($2, region), track_opens = coalesce($3, track_opens), track_clicks = coalesce($4, track_clicks),
         tracking_subdomain = nullif(coalesce($5, tracking_subdomain), ''),
         ses_configuration_set_name = nullif(coalesce($6, ses_configuration_set_name), ''),
         tls = ${tls}
   where id = $1
  returning ${COLUMNS}`;

const UPDATE = update('coalesce($7, tls)');
const UPDATE_WITHOUT_TLS = update('default');

const SET_STATUS = `
  update domains set status = $2 where id = $1 and status is distinct from $2`;

/** What `tls` of OpenSend's table, which is never null, has where nothing is said of it. It means the same as null. */
export const UNSAID_TLS = 'opportunistic';

const LABEL = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/;

/**
 * A domain name as it is stored: lower case, A-labels.
 * Throws `StoreError` where it is not one, or is an address literal, or has the form of a domain's id.
 */
export function normaliseDomain(name: string): string {
  const domain = comparableDomain(name.replace(/\.$/, ''));
  if (isUuid(domain) || domain.startsWith('[') || domain.includes('@') || parseAddress(`a@${domain}`) === null) {
    throw new StoreError('invalid', `"${name}" is not a domain name`);
  }
  return domain;
}

export interface WantedDomain {
  readonly name: string;
  readonly owner: string;
  readonly region: string;
  /** Nobody else may have it. */
  readonly isExclusive?: boolean;
}

/**
 * Makes a domain one of the owner's. One that is already stays as it is.
 *
 * @param db a transaction, where nobody else may have it
 * @throws StoreError `invalid`; `conflict` where another owner has it, and this one asks to be the only one
 */
export async function addDomain(db: Queryable, wanted: WantedDomain): Promise<Domain & { readonly added: boolean }> {
  const name = normaliseDomain(wanted.name);
  if (!wanted.owner.trim()) throw new StoreError('invalid', 'the owner is empty');
  if (wanted.isExclusive) await db.query(LOCK_NAME, [name]);
  const inserted = await db.query<Domain>(INSERT, [
    name,
    wanted.owner,
    spellings(name),
    wanted.region,
    wanted.isExclusive ?? false,
  ]);
  if (inserted.rows[0]) return { ...inserted.rows[0], added: true };
  const found = await db.query<Domain>(FIND, [spellings(name), wanted.owner]);
  if (!found.rows[0]) {
    const remedy = 'remove it there, or set domains.shared (SMTP_RELAY_DOMAINS_SHARED=true) where both are to have it';
    throw new StoreError('conflict', `${name} belongs to another owner already: ${remedy}`);
  }
  return { ...found.rows[0], added: false };
}

/** All domains, or one owner's, by name. */
export async function listDomains(db: Queryable, owner?: string): Promise<Domain[]> {
  return (await db.query<Domain>(LIST, [owner ?? null])).rows;
}

/**
 * One domain by its name, or by its id; the owner may be left out where there is only one.
 *
 * @throws StoreError `not-found`, `ambiguous`
 */
export async function findDomain(db: Queryable, name: string, owner?: string): Promise<Domain> {
  const { rows } = isUuid(name)
    ? await db.query<Domain>(FIND_BY_ID, [name, owner ?? null])
    : await db.query<Domain>(FIND, [spellings(normaliseDomain(name)), owner ?? null]);
  const [found, ...others] = rows;
  if (!found) throw new StoreError('not-found', `${name} is no domain of ${owner ?? 'any owner'}`, 'domains');
  if (others.length > 0) throw new StoreError('ambiguous', whichOf(name, rows));
  return found;
}

/** In OpenSend's table several rows of one owner may have a name. */
function whichOf(name: string, rows: readonly Domain[]): string {
  const owners = new Set(rows.map(({ owner }) => owner));
  if (owners.size === rows.length) {
    return `${name} belongs to several owners; name one with --owner: ${[...owners].join(', ')}`;
  }
  return `${rows.length} domains are called ${name}; name one by its id: ${rows.map(({ id }) => id).join(', ')}`;
}

/**
 * Removes a domain from its owner; the owner may be left out where there is only one.
 *
 * @throws StoreError as `findDomain`, and for one that is declared
 */
export async function removeDomain(db: Queryable, name: string, owner?: string): Promise<Domain> {
  const found = await findDomain(db, name, owner);
  await refuseDeclared(db, 'SendingDomain', [found.id], { what: 'this domain' });
  await db.query(DELETE, [found.id]);
  return found;
}

/** Changes how messages from a domain are sent. @throws StoreError as `removeDomain`, and `invalid` */
export async function changeDomain(
  db: Queryable,
  name: string,
  owner: string | undefined,
  changes: DomainChanges,
): Promise<Domain> {
  const subdomain = changes.trackingSubdomain
    ? trackingSubdomain(changes.trackingSubdomain)
    : changes.trackingSubdomain;
  const { id } = await findDomain(db, name, owner);
  await refuseDeclared(db, 'SendingDomain', [id], { what: 'this domain' });
  const values = [
    id,
    changes.region ?? null,
    changes.trackOpens ?? null,
    changes.trackClicks ?? null,
    emptyForNull(subdomain),
    emptyForNull(changes.configurationSet),
  ];
  const { rows } = await (changes.tls === null
    ? db.query<Domain>(UPDATE_WITHOUT_TLS, values)
    : db.query<Domain>(UPDATE, [...values, changes.tls ?? null]));
  return rows[0] as Domain;
}

/** Records what SES says of a domain: `pending`, `verified`, `failed`. */
export async function setDomainStatus(db: Queryable, id: string, status: string): Promise<void> {
  await db.query(SET_STATUS, [id, status]);
}

function trackingSubdomain(text: string): string {
  const host = text.trim().toLowerCase();
  if (host.includes('.')) return normaliseDomain(host);
  if (!LABEL.test(host)) throw new StoreError('invalid', `"${text}" is neither a label nor a host name`);
  return host;
}

function emptyForNull(value: string | null | undefined): string | null {
  return value === null ? '' : (value ?? null);
}

/** The ways in which a domain may be written in the table: A-labels, or Unicode. */
export function spellings(domain: string): string[] {
  return domain.includes('xn--') ? [domain, domainToUnicode(domain)] : [domain];
}
