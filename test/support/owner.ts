import { createHash, randomBytes } from 'node:crypto';

interface Queryable {
  query(sql: string, values: unknown[]): Promise<{ rows: { id: string }[] }>;
}

export interface OwnerOptions {
  readonly userId?: string;
  /** The owner's domain; `acme.test` unless given. */
  readonly domain?: string;
  /** The only domain that the key may send from; null for any. The owner's domain unless given. */
  readonly keyDomain?: string | null;
  readonly apiKey?: string;
}

export interface Owner {
  readonly userId: string;
  readonly domain: string;
  /** In clear, as the client gives it. */
  readonly apiKey: string;
  readonly keyId: string;
}

const INSERT_KEY = `
  insert into api_keys (name, token_hash, token_preview, domain, user_id)
  values ('test', $1, $2, $3, $4) returning id`;

const INSERT_DOMAIN = `insert into domains (name, status, user_id) values ($1, 'verified', $2) returning id`;

/** Writes an owner with one API key and one domain straight into the tables of the contract. */
export async function seedOwner(db: Queryable, options: OwnerOptions = {}): Promise<Owner> {
  const userId = options.userId ?? `user_${randomBytes(6).toString('hex')}`;
  const domain = options.domain ?? 'acme.test';
  const keyDomain = options.keyDomain === undefined ? domain : options.keyDomain;
  const apiKey = options.apiKey ?? `os_live_${randomBytes(16).toString('hex')}`;
  const hash = createHash('sha256').update(apiKey).digest('hex');
  const key = await db.query(INSERT_KEY, [hash, apiKey.slice(0, 12), keyDomain, userId]);
  await db.query(INSERT_DOMAIN, [domain, userId]);
  const keyId = key.rows[0]?.id;
  if (!keyId) throw new Error('no key id');
  return { userId, domain, apiKey, keyId };
}
