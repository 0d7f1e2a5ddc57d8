import { randomBytes } from 'node:crypto';
import { stat } from 'node:fs/promises';
import { hostname } from 'node:os';
import { dirname } from 'node:path';
import type { Command } from 'commander';
import type pg from 'pg';
import { loadConfig } from '../../config/load.ts';
import { createTables } from '../../declared/kinds/kinds.ts';
import { createDeclarationReader, type Declarations } from '../../declared/plan/declarations.ts';
import { makePlan } from '../../declared/plan/plan.ts';
import { type DeclarationPlan, isDue } from '../../declared/plan/plan-kind.ts';
import { printProblem } from '../../declared/problem.ts';
import { type ApplyParts, reconcile } from '../../declared/reconcile.ts';
import { StoreError } from '../../postgres/errors.ts';
import { giveLeaseBack, leaseHolder, takeLease } from '../../postgres/lease.ts';
import { createSecretBox } from '../../webhooks/signing.ts';
import {
  type CliContext,
  type Column,
  examples,
  type JsonOptions,
  jsonOption,
  note,
  print,
  printable,
  table,
} from '../command.ts';
import { type ConfirmOptions, confirm, yesOption } from '../confirm.ts';
import { pipelineOf, withDatabase } from '../database.ts';
import { CheckFailed } from '../errors.ts';

/** A declaration, as a command tells of it. */
interface Change {
  readonly action: DeclarationPlan['action'];
  readonly kind: string;
  readonly name: string;
  readonly changes: readonly string[];
  readonly ready: boolean;
  readonly reason: string;
  readonly message: string;
}

const COLUMNS: readonly Column<Change>[] = [
  { title: 'ACTION', value: row => row.action },
  { title: 'KIND', value: row => row.kind },
  { title: 'NAME', value: row => row.name },
  { title: 'CHANGES', value: row => row.changes.join(', ') },
  { title: 'READY', value: row => (row.ready ? 'True' : `False (${row.reason})`) },
  { title: 'MESSAGE', value: row => row.message },
];

const ALLOW_EMPTY = 'remove what was declared also where all documents are gone, or all of a folder';
const PATHS = 'files or folders; resources.directory where none is named';
/** Milliseconds. Longer than the work takes; it is given back after it. */
const LEASE_TIME = 120_000;

export function addDiff(resources: Command, context: CliContext): void {
  examples(
    resources
      .command('diff')
      .description('Show what differs between documents and database; exit code 1 where something does')
      .argument('[paths...]', PATHS)
      .option('--secrets <folder>', 'the folder below which keys and secrets are')
      .option('--allow-empty', ALLOW_EMPTY)
      .addOption(jsonOption())
      .action(async (paths: string[], options: JsonOptions & SourceOptions) => {
        const { declarations, partsFor } = await prepare(context, paths, options);
        const changes = await withDatabase(context, async pool => changesOf(declarations, await partsFor(pool)));
        tell(context, options, { declarations, changes, none: 'The database is as the documents say.\n' });
        if (changes.length + declarations.problems.length > 0) {
          throw new CheckFailed('the database is not as the documents say');
        }
      }),
    'resources diff',
    'resources diff deploy/relay/ --secrets /run/secrets',
  );
}

export function addApply(resources: Command, context: CliContext): void {
  examples(
    resources
      .command('apply')
      .description(
        'Make the database match the documents: what is declared is created and updated, and what was declared and is no longer is removed; exit code 1 where a document is not right or not ready',
      )
      .argument('[paths...]', `${PATHS}; name all of them, since what was declared in others is removed`)
      .option('--dry-run', 'only show what would be done')
      .option('--secrets <folder>', 'the folder below which keys and secrets are')
      .option('--allow-empty', ALLOW_EMPTY)
      .addOption(yesOption())
      .addOption(jsonOption())
      .action(async (paths: string[], options: JsonOptions & SourceOptions & ConfirmOptions & { dryRun?: boolean }) => {
        const { declarations, partsFor } = await prepare(context, paths, options);
        const changes = await withDatabase(context, async pool => {
          const parts = await partsFor(pool);
          const planned = await changesOf(declarations, parts);
          if (options.dryRun || planned.length === 0) return planned;
          const removed = planned
            .filter(({ action }) => action === 'remove')
            .map(({ kind, name }) => `${kind}/${name}`);
          if (removed.length > 0) await confirm(context, options, `Remove ${printable(removed.join(', '))}`);
          return apply(declarations, parts);
        });
        tell(context, options, { declarations, changes, none: 'Nothing to do.\n' });
        if (options.dryRun) note(context, options, 'Nothing was written: this is what apply would do.');
        const isWell = declarations.problems.length === 0 && declarations.all.every(({ failure }) => failure === null);
        if (!isWell || changes.some(({ ready }) => !ready)) throw new CheckFailed('not every document is in force');
      }),
    'resources apply --dry-run',
    'resources apply deploy/relay/ --secrets /run/secrets',
  );
}

interface SourceOptions extends PathOptions {
  readonly allowEmpty?: boolean;
}

type Parts = Omit<ApplyParts, 'holder'>;

async function prepare(context: CliContext, paths: readonly string[], options: SourceOptions) {
  const { webhooks, resources, domains } = loadConfig(context.env, { checkTlsFiles: false }).config;
  const sources = await sourcesOf(context, paths, options);
  const declarations = await createDeclarationReader()(sources.paths, sources.folders);
  const box = createSecretBox(webhooks.secretKeys);
  const allowEmpty = options.allowEmpty ?? resources.allowEmpty;
  const partsFor = async (pool: pg.Pool): Promise<Parts> => {
    const tables = createTables({ box, pipeline: await pipelineOf(context, pool), sharedDomains: domains.shared });
    return { pool, tables, allowEmpty };
  };
  return { declarations, partsFor };
}

async function changesOf(declarations: Declarations, { pool, tables, allowEmpty }: Parts): Promise<Change[]> {
  const plan = await makePlan(pool, declarations, tables, { allowEmpty });
  return plan.filter(each => isDue(each) || each.record?.ready === false).map(changeOf);
}

function changeOf({ action, kind, name, changes, record }: DeclarationPlan): Change {
  const { ready = true, reason = 'Removed', message = '' } = record ?? {};
  return { action, kind, name, changes, ready, reason, message };
}

async function apply(declarations: Declarations, parts: Parts): Promise<Change[]> {
  const { pool } = parts;
  const holder = `cli-${hostname()}-${randomBytes(4).toString('hex')}`;
  if (!(await takeLease(pool, holder, LEASE_TIME))) {
    const other = (await leaseHolder(pool)) ?? 'another process';
    throw new StoreError('conflict', `${other} has the lease, and applies the documents that are mounted there`);
  }
  try {
    const planned = await changesOf(declarations, parts);
    const { written } = await reconcile(declarations, { ...parts, holder });
    const records = new Map(written.map(record => [`${record.kind}/${record.name}`, record]));
    return planned.map(change => ({ ...change, ...statusOf(records.get(`${change.kind}/${change.name}`)) }));
  } finally {
    await giveLeaseBack(pool, holder);
  }
}

function statusOf(record: Pick<Change, 'ready' | 'reason' | 'message'> | undefined) {
  if (record === undefined) return {};
  const { ready, reason, message } = record;
  return { ready, reason, message };
}

interface Told {
  readonly declarations: Declarations;
  readonly changes: readonly Change[];
  readonly none: string;
}

function tell(context: CliContext, options: JsonOptions, { declarations, changes, none }: Told): void {
  const { problems, isWhole } = declarations;
  print(context, options, { changes, problems, isWhole }, changes.length === 0 ? none : table(COLUMNS, changes));
  for (const problem of problems) note(context, options, printable(printProblem(problem)));
  if (!isWhole) note(context, options, 'Not every document could be read, so nothing is removed.');
}

export interface PathOptions {
  /** The folder of secrets. */
  readonly secrets?: string;
}

interface Sources {
  /** The files and folders with documents. */
  readonly paths: readonly string[];
  readonly folders: { readonly documents: string; readonly secrets: string };
}

/** Where documents and the files that they name are: as asked for, or as configured. @throws StoreError where nobody says */
export async function sourcesOf(context: CliContext, paths: readonly string[], options: PathOptions): Promise<Sources> {
  const [first] = paths;
  // Pipelines that check documents have no configuration.
  const isComplete = first !== undefined && options.secrets !== undefined;
  const configured = isComplete
    ? null
    : loadConfig(context.env, { checkTlsFiles: false, require: [] }).config.resources;
  const from = first ?? configured?.directory ?? '';
  if (from === '') {
    throw new StoreError(
      'invalid',
      'name files or folders, or set resources.directory (SMTP_RELAY_RESOURCES_DIRECTORY)',
    );
  }
  const documents = (await isFolder(from)) ? from : dirname(from);
  const secrets = options.secrets ?? (configured?.secretsDirectory || documents);
  return { paths: first === undefined ? [from] : paths, folders: { documents, secrets } };
}

async function isFolder(path: string): Promise<boolean> {
  return stat(path).then(
    found => found.isDirectory(),
    () => true,
  );
}
