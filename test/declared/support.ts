import { randomBytes } from 'node:crypto';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { createTables } from '../../src/declared/kinds/kinds.ts';
import { createDeclarationReader } from '../../src/declared/plan/declarations.ts';
import { reconcile } from '../../src/declared/reconcile.ts';
import { type KnownDeclaration, readRecords } from '../../src/declared/records.ts';
import { takeLease } from '../../src/postgres/lease.ts';
import { createSecretBox } from '../../src/webhooks/signing.ts';
import { createDatabase } from '../support/database.ts';
import { openPool } from '../support/pool.ts';

interface TestContext {
  after(fn: () => Promise<void>): void;
}

export const SECRET_KEY = randomBytes(32).toString('base64');
export const box = createSecretBox([SECRET_KEY]);
export const API_VERSION = 'relay.opensend.dev/v1alpha1';

/** A document as YAML takes it, since JSON is YAML. */
export function document(kind: string, name: string, spec: object, metadata: object = {}): string {
  return `---\n${JSON.stringify({ apiVersion: API_VERSION, kind, metadata: { name, ...metadata }, spec })}\n`;
}

/** A folder with files, gone after the test. */
export async function createFolder(t: TestContext, files: Readonly<Record<string, string>> = {}) {
  const path = await mkdtemp(join(tmpdir(), 'smtp-relay-resources-'));
  t.after(() => rm(path, { recursive: true, force: true }));
  const folder = {
    path,
    async write(name: string, content: string) {
      await mkdir(dirname(join(path, name)), { recursive: true });
      await writeFile(join(path, name), content);
    },
    remove: (name: string) => rm(join(path, name)),
  };
  for (const [name, content] of Object.entries(files)) await folder.write(name, content);
  return folder;
}

/** A database, a folder of documents and one of secrets, and what makes the one match the other. */
export async function createSystem(t: TestContext, files: Readonly<Record<string, string>> = {}) {
  const cleanUp = new AsyncDisposableStack();
  // Before that of the database, which would cut the connections off.
  t.after(() => cleanUp.disposeAsync());
  const databaseUrl = await createDatabase(t);
  const pool = openPool(databaseUrl, 3);
  cleanUp.defer(() => pool.end());
  const documents = await createFolder(t, files);
  const secrets = await createFolder(t);
  const read = createDeclarationReader();
  const tables = createTables({ box });
  await takeLease(pool, 'test', 600_000);
  return {
    databaseUrl,
    pool,
    /** Done at the end of the test, the last one first. */
    defer: (work: () => Promise<void>) => cleanUp.defer(work),
    documents,
    secrets,
    tables,
    read: () => read([documents.path], { documents: documents.path, secrets: secrets.path }),
    async reconcile({ allowEmpty = false } = {}) {
      return reconcile(await this.read(), { pool, tables, holder: 'test', allowEmpty });
    },
    async status(kind: string, name: string): Promise<KnownDeclaration | undefined> {
      return (await readRecords(pool)).find(object => object.kind === kind && object.name === name);
    },
    async rows(sql: string, values: unknown[] = []) {
      return (await pool.query(sql, values)).rows;
    },
  };
}
