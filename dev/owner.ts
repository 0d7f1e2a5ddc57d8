import { readFile, writeFile } from 'node:fs/promises';
import type { Queryable } from '../src/postgres/pool.ts';
import { createKey, findByHash, hashKey } from '../src/store/keys/api-keys.ts';
import { addDomain } from '../src/store/owners/domains.ts';

export interface DemoOwner {
  readonly owner: string;
  readonly apiKey: string;
  readonly domain: string;
}

const OWNER = 'demo';
const DOMAIN = 'demo.test';

/**
 * The demo owner: one API key, one domain. The key is kept in a file, since the database knows only its hash, and given to a
 * database that does not know it.
 */
export async function keepDemoOwner(db: Queryable, keyFile: string): Promise<DemoOwner> {
  await addDomain(db, { name: DOMAIN, owner: OWNER, region: 'us-east-1' });
  const kept = (await readFile(keyFile, 'utf8').catch(() => '')).trim();
  if (kept && (await findByHash(db, hashKey(kept)))) return { owner: OWNER, apiKey: kept, domain: DOMAIN };
  const { key } = await createKey(db, { name: 'demo', owner: OWNER, domain: DOMAIN, key: kept || undefined });
  await writeFile(keyFile, `${key}\n`, { mode: 0o600 });
  return { owner: OWNER, apiKey: key, domain: DOMAIN };
}
