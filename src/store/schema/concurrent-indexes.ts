import { readFile } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import type pg from 'pg';
import type { Logger } from '../../observability/log.ts';

/** An index that is built while others write to its table. */
export interface ConcurrentIndex {
  readonly name: string;
  readonly table: string;
  /** `create index concurrently …`, which can be in no transaction. */
  readonly sql: string;
  /** SQL: whether this database is to have it. */
  readonly where: string;
}

export interface BuildOptions {
  /** Not in a transaction. */
  readonly client: pg.Client;
  readonly indexes: readonly ConcurrentIndex[];
  readonly logger?: Logger | undefined;
}

/** An arbitrary number that is ours. Not that of migrations: who waits for theirs within a statement is waited for by a build. */
const BUILD_LOCK_ID = 0x736d7471;
/** Milliseconds between two tries to have it, about. */
const PAUSE = 1_000;
/** Milliseconds between two looks at what somebody else builds. */
const LOOK = 500;
/** Deadlocks with others, each of which undoes a build. */
const MAX_DEADLOCKS = 5;

const STATEMENT = /^create (?:unique )?index concurrently (\w+)\s+on (\w+)\s/;

/** PostgreSQL: the name is taken; two were in each other's way. */
const TAKEN = '42P07';
const DEADLOCK = '40P01';

/**
 * Without a word of others' sessions, whose table they do not tell, any of them may be at this one. A build goes on where its client has
 * gone, so that this is no matter of a lock.
 */
const STATE = `
  select to_regclass($1) is not null as present,
         coalesce((select indisvalid from pg_index where indexrelid = to_regclass($1)), false) as valid,
         exists (select from pg_stat_progress_create_index
                  where datname = current_database() and (relid is null or relid = to_regclass($2))
                    and command is distinct from 'REINDEX') as building`;

interface State {
  readonly present: boolean;
  readonly valid: boolean;
  readonly building: boolean;
}

/**
 * What a file says: statements that end with a line, and before them `-- where: ` and SQL that is right whatever others change meanwhile:
 * `pg_get_indexdef` fails where an index goes. There may be no such file.
 */
export async function readConcurrentIndexes(path: URL): Promise<ConcurrentIndex[]> {
  const text = await readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return '';
    throw error;
  });
  return text
    .split(/;\n/)
    .map(part => part.trim())
    .filter(part => part !== '')
    .map(part => indexOf(part));
}

function indexOf(text: string): ConcurrentIndex {
  const [, where = 'true'] = /^-- where: (.*)$/m.exec(text) ?? [];
  const sql = text.replaceAll(/^--.*\n/gm, '');
  const [, name, table] = STATEMENT.exec(sql) ?? [];
  if (name === undefined || table === undefined) throw new Error(`this builds no index: ${sql}`);
  return { name, table, sql, where };
}

/**
 * Builds what is missing, one after the other. What an aborted build has left behind is built anew; what somebody else builds just then
 * is waited for, however long that takes. Nobody else may do the same at the same time, but for sessions whose client has gone.
 *
 * @throws the database's error
 */
export async function buildIndexes({ client, indexes, logger }: BuildOptions): Promise<void> {
  const wanted: ConcurrentIndex[] = [];
  for (const index of indexes) if (await isWanted(client, index)) wanted.push(index);
  if (wanted.length === 0) return;
  // A role's limits are made for mail, and would end each build at the same place.
  await client.query('set statement_timeout = 0');
  await client.query('set lock_timeout = 0');
  try {
    for (const index of wanted) await build(client, index, logger);
  } finally {
    await client.query('reset statement_timeout').catch(() => {});
    await client.query('reset lock_timeout').catch(() => {});
  }
}

async function isWanted(client: pg.Client, { table, where }: ConcurrentIndex): Promise<boolean> {
  const sql = `select to_regclass($1) is not null and (${where}) as wanted`;
  return (await client.query<{ wanted: boolean }>(sql, [table])).rows[0]?.wanted === true;
}

async function build(client: pg.Client, { name, table, sql }: ConcurrentIndex, logger?: Logger): Promise<void> {
  for (let deadlocks = 0; ; ) {
    const { rows } = await client.query<State>(STATE, [name, table]);
    const { present, valid, building } = rows[0] as State;
    if (valid) return;
    if (building) {
      await delay(LOOK);
      continue;
    }
    logger?.info({ index: name, table, again: present }, 'building an index; mail goes on meanwhile');
    try {
      if (present) await client.query(`drop index concurrently if exists ${name}`);
      await client.query(sql);
    } catch (error) {
      const { code } = error as { code?: string };
      deadlocks += code === DEADLOCK ? 1 : 0;
      if (code !== TAKEN && (code !== DEADLOCK || deadlocks > MAX_DEADLOCKS)) throw error;
      await delay(LOOK);
    }
  }
}

/**
 * Returns when nobody else builds indexes, and until the connection ends nobody does. Asked for without waiting: a statement that waits
 * has a snapshot, and so has a transaction that reads repeatably; a build waits until there is none of before.
 *
 * @param guard a connection for nothing else
 */
export async function lockBuilds(guard: pg.Client): Promise<void> {
  // With a parameter, the driver would leave a portal open, and that has a snapshot.
  const sql = `select pg_try_advisory_xact_lock(${BUILD_LOCK_ID}) as locked`;
  for (;;) {
    await guard.query('begin isolation level read committed');
    await guard.query('set local idle_in_transaction_session_timeout = 0');
    const { rows } = await guard.query<{ locked: boolean }>(sql);
    if (rows[0]?.locked === true) return;
    await guard.query('rollback');
    await delay(PAUSE * (0.5 + Math.random()));
  }
}
