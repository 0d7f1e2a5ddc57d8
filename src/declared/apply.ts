import type pg from 'pg';
import type { Adapters } from './adapters.ts';
import { KINDS } from './kinds/kinds.ts';
import { isDue, type ObjectPlan } from './plan/object.ts';
import type { Plan } from './plan/plan.ts';
import { lockLease } from './tables/lease.ts';
import { type DeclaredRecord, forgetDeclared, writeDeclared } from './tables/records.ts';

/** Another process writes for the documents now. */
export class LeaseLost extends Error {
  override readonly name = 'LeaseLost';
  constructor() {
    super('another process has the lease of declared resources');
  }
}

export interface ApplyParts {
  readonly pool: pg.Pool;
  readonly adapters: Adapters;
  /** Who has the lease. */
  readonly holder: string;
  /** Remove also what is no longer declared because all documents are gone (`kept.ts`). */
  readonly allowEmpty: boolean;
}

/** Objects that share a transaction, and their rows. */
const MOST_OBJECTS = 500;
const MOST_ROWS = 20_000;

/**
 * Does what a plan says, removals first, since they may make room. Each batch is one transaction that makes sure of the lease
 * before it writes. An object that the database refuses does not hold up the others.
 *
 * @returns how the objects stand that were written
 * @throws LeaseLost; the database's error where it is not about a row
 */
export async function applyPlan({ objects }: Plan, parts: ApplyParts): Promise<DeclaredRecord[]> {
  const due = objects.filter(isDue);
  const removals = due.filter(({ action }) => action === 'remove');
  const others = KINDS.map(kind => due.filter(plan => plan.kind === kind && plan.action !== 'remove'));
  const records: DeclaredRecord[] = [];
  for (const group of [removals, ...others]) {
    for (const batch of batches(group)) {
      for (const record of await applyBatch(batch, parts)) records.push(record);
    }
  }
  return records;
}

function* batches(plans: readonly ObjectPlan[]): Generator<ObjectPlan[]> {
  let batch: ObjectPlan[] = [];
  let rows = 0;
  for (const plan of plans) {
    const count = plan.insert.length + plan.update.length + plan.remove.length;
    if (batch.length >= MOST_OBJECTS || (batch.length > 0 && rows + count > MOST_ROWS)) {
      yield batch;
      [batch, rows] = [[], 0];
    }
    batch.push(plan);
    rows += count;
  }
  if (batch.length > 0) yield batch;
}

async function applyBatch(batch: readonly ObjectPlan[], parts: ApplyParts): Promise<DeclaredRecord[]> {
  try {
    return await inTransaction(parts, client => write(client, batch, parts.adapters));
  } catch (error) {
    if (!isAboutRow(error)) throw error;
    const [only, ...others] = batch;
    if (only && others.length === 0) return [await recordFailure(only, error, parts)];
    const records: DeclaredRecord[] = [];
    for (const plan of batch) records.push(...(await applyBatch([plan], parts)));
    return records;
  }
}

/** SQLSTATE classes 22 and 23: a value that cannot be stored, or a constraint that it breaks. */
function isAboutRow(error: unknown): error is Error & { readonly code: string } {
  return error instanceof Error && 'code' in error && /^2[23]/.test(String(error.code));
}

/** It keeps what it has. The next pass tries again. */
async function recordFailure(
  { record, kind, name, ownedBefore }: ObjectPlan,
  { code }: { readonly code: string },
  parts: ApplyParts,
): Promise<DeclaredRecord> {
  const { hash = '', generation = null, source = null } = record ?? {};
  const message = `The database refuses it (SQLSTATE ${code}).`;
  const status = { ready: false, reason: 'Refused', message, source };
  const failed = { kind, name, hash, generation, ...status, owned: ownedBefore, standing: [] };
  await inTransaction(parts, client => writeDeclared(client, [failed]));
  return failed;
}

async function inTransaction<T>({ pool, holder }: ApplyParts, work: (client: pg.ClientBase) => Promise<T>): Promise<T> {
  const client = await pool.connect();
  let failure: Error | undefined;
  try {
    await client.query('begin');
    if (!(await lockLease(client, holder))) throw new LeaseLost();
    const result = await work(client);
    await client.query('commit');
    return result;
  } catch (error) {
    await client.query('rollback').catch((fault: Error) => {
      failure = fault;
    });
    throw error;
  } finally {
    client.release(failure);
  }
}

async function write(
  client: pg.ClientBase,
  batch: readonly ObjectPlan[],
  adapters: Adapters,
): Promise<DeclaredRecord[]> {
  const written = new Set<string>();
  for (const kind of KINDS) {
    const plans = batch.filter(plan => plan.kind === kind);
    if (plans.length === 0) continue;
    const { table } = adapters[kind];
    const remove = plans.flatMap(plan => plan.remove);
    if (remove.length > 0) await table.remove(client, remove);
    const update = plans.flatMap(plan => plan.update);
    const insert = plans.flatMap(plan => plan.insert);
    for (const id of await table.update(client, update)) written.add(id);
    for (const id of await table.insert(client, insert)) written.add(id);
  }
  const records = batch.flatMap(plan => (plan.record ? [asWritten(plan, plan.record, written, adapters)] : []));
  await writeDeclared(client, records);
  await forgetDeclared(
    client,
    batch.filter(({ record }) => record === null),
  );
  return records;
}

/** Somebody may have made the same row since the plan was made; it is his then. */
function asWritten(plan: ObjectPlan, record: DeclaredRecord, written: ReadonlySet<string>, adapters: Adapters) {
  const missing = new Set(plan.insert.map(({ id }) => id).filter(id => !written.has(id)));
  if (missing.size === 0) return record;
  const owned = record.owned.filter(id => !missing.has(id));
  if (adapters[plan.kind].standing === 'satisfied') return { ...record, owned };
  const message = 'The same was made by somebody else just now.';
  return { ...record, owned, ready: false, reason: 'Conflict', message };
}
