import type pg from 'pg';
import { lockLease } from '../postgres/lease.ts';
import { KINDS, type KindName, type Tables } from './kinds/kinds.ts';
import type { PassCounts } from './metrics.ts';
import type { Declarations } from './plan/declarations.ts';
import { makePlan, type Plan } from './plan/plan.ts';
import { type DeclarationPlan, isDue } from './plan/plan-kind.ts';
import { type DeclarationRecord, forgetRecords, writeRecords } from './records.ts';

/** Another process writes for the documents now. */
export class LeaseLost extends Error {
  override readonly name = 'LeaseLost';
  constructor() {
    super('another process has the lease of declared resources');
  }
}

export interface ApplyParts {
  readonly pool: pg.Pool;
  readonly tables: Tables;
  /** The name of the process that has the lease. */
  readonly holder: string;
  /** Remove also what is no longer declared because all documents are gone (`createKeeper`). */
  readonly allowEmpty: boolean;
}

export interface PassResult {
  readonly declarations: Declarations;
  /** How all declarations stand after it. */
  readonly records: readonly DeclarationRecord[];
  /** Those of which something new was written down. */
  readonly written: readonly DeclarationRecord[];
  readonly done: readonly { readonly kind: KindName; readonly action: 'create' | 'update' | 'remove' }[];
  readonly changes: PassCounts;
  /** How many no document declares any more, and that stay since all documents are gone. */
  readonly kept: number;
}

/** One declaration's row may wait for another's to go, and that one's for a third. */
const MOST_ROUNDS = 3;

/**
 * Makes the database match what is declared. Where it does, nothing is written.
 *
 * @throws LeaseLost; the database's error where it is not about a row
 */
export async function reconcile(declarations: Declarations, parts: ApplyParts): Promise<PassResult> {
  const written: DeclarationRecord[] = [];
  const done: PassResult['done'][number][] = [];
  let plan = await makePlan(parts.pool, declarations, parts.tables, parts);
  for (let round = 1; plan.some(isDue); round++) {
    for (const record of await applyPlan(plan, parts)) written.push(record);
    const hasActed = plan.some(({ action }) => action !== 'none');
    for (const { kind, action } of plan) if (action !== 'none') done.push({ kind, action });
    if (!hasActed || round === MOST_ROUNDS) break;
    plan = await makePlan(parts.pool, declarations, parts.tables, parts);
  }
  const count = (what: DeclarationPlan['action']): number => done.filter(({ action }) => action === what).length;
  const changes = { created: count('create'), updated: count('update'), removed: count('remove') };
  const records = plan.flatMap(({ record }) => record ?? []);
  const kept = plan.filter(({ isKept }) => isKept).length;
  return { declarations, records, written, done, changes, kept };
}

/** Declarations that share a transaction, and their rows. */
const MOST_DECLARATIONS = 500;
const MOST_ROWS = 20_000;

/**
 * Does what a plan says, removals first, since they may make room. Each batch is one transaction that makes sure of the lease
 * before it writes. One that the database refuses does not hold up the others.
 *
 * @returns how those stand that were written
 * @throws LeaseLost; the database's error where it is not about a row
 */
async function applyPlan(plan: Plan, parts: ApplyParts): Promise<DeclarationRecord[]> {
  const due = plan.filter(isDue);
  const removals = due.filter(({ action }) => action === 'remove');
  const others = KINDS.map(kind => due.filter(each => each.kind === kind && each.action !== 'remove'));
  const records: DeclarationRecord[] = [];
  for (const group of [removals, ...others]) {
    for (const batch of batches(group)) {
      for (const record of await applyBatch(batch, parts)) records.push(record);
    }
  }
  return records;
}

function* batches(plans: readonly DeclarationPlan[]): Generator<DeclarationPlan[]> {
  let batch: DeclarationPlan[] = [];
  let rows = 0;
  for (const plan of plans) {
    const count = plan.insert.length + plan.update.length + plan.remove.length;
    if (batch.length >= MOST_DECLARATIONS || (batch.length > 0 && rows + count > MOST_ROWS)) {
      yield batch;
      [batch, rows] = [[], 0];
    }
    batch.push(plan);
    rows += count;
  }
  if (batch.length > 0) yield batch;
}

async function applyBatch(batch: readonly DeclarationPlan[], parts: ApplyParts): Promise<DeclarationRecord[]> {
  try {
    return await inTransaction(parts, client => write(client, batch, parts.tables));
  } catch (error) {
    if (!isAboutRow(error)) throw error;
    const [only, ...others] = batch;
    if (only && others.length === 0) return [await recordFailure(only, error, parts)];
    const records: DeclarationRecord[] = [];
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
  { record, kind, name, ownedBefore }: DeclarationPlan,
  { code }: { readonly code: string },
  parts: ApplyParts,
): Promise<DeclarationRecord> {
  const { hash = '', generation = null, source = null } = record ?? {};
  const message = `The database refuses it (SQLSTATE ${code}).`;
  const status = { ready: false, reason: 'Refused', message, source };
  const failed = { kind, name, hash, generation, ...status, owned: ownedBefore, standing: [] };
  await inTransaction(parts, client => writeRecords(client, [failed]));
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
  batch: readonly DeclarationPlan[],
  tables: Tables,
): Promise<DeclarationRecord[]> {
  const written = new Set<string>();
  for (const kind of KINDS) {
    const plans = batch.filter(plan => plan.kind === kind);
    if (plans.length === 0) continue;
    const table = tables[kind];
    const remove = plans.flatMap(plan => plan.remove);
    if (remove.length > 0) await table.remove(client, remove);
    const update = plans.flatMap(plan => plan.update);
    const insert = plans.flatMap(plan => plan.insert);
    for (const id of await table.update(client, update)) written.add(id);
    for (const id of await table.insert(client, insert)) written.add(id);
  }
  const records = batch.flatMap(plan => (plan.record ? [asWritten(plan, plan.record, written, tables)] : []));
  await writeRecords(client, records);
  await forgetRecords(
    client,
    batch.filter(({ record }) => record === null),
  );
  return records;
}

/** Somebody may have made the same row since the plan was made; then it is not ours. */
function asWritten(plan: DeclarationPlan, record: DeclarationRecord, written: ReadonlySet<string>, tables: Tables) {
  const missing = new Set(plan.insert.map(({ id }) => id).filter(id => !written.has(id)));
  if (missing.size === 0) return record;
  const owned = record.owned.filter(id => !missing.has(id));
  if (tables[plan.kind].onStanding === 'satisfied') return { ...record, owned };
  const message = 'The same was made by somebody else just now.';
  return { ...record, owned, ready: false, reason: 'Conflict', message };
}
