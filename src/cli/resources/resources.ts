import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Command, Option } from 'commander';
import { loadConfig } from '../../config/load.ts';
import { createTables, KINDS, type KindName } from '../../declared/kinds/kinds.ts';
import { renderSchemas } from '../../declared/kinds/schema.ts';
import { createDeclarationReader } from '../../declared/plan/declarations.ts';
import { findShared } from '../../declared/plan/plan.ts';
import { printProblem } from '../../declared/problem.ts';
import { readRecords } from '../../declared/records.ts';
import { type DeclarationReport, declarationReport } from '../../declared/report.ts';
import { findUnreconciled, UNRECONCILED_REMEDY } from '../../declared/unreconciled.ts';
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
import { withDatabase } from '../database.ts';
import { CheckFailed } from '../errors.ts';
import { addApply, addDiff, type PathOptions, sourcesOf } from './apply.ts';

const COLUMNS: readonly Column<DeclarationReport>[] = [
  { title: 'KIND', value: row => row.kind },
  { title: 'NAME', value: row => row.name },
  { title: 'READY', value: row => row.ready },
  { title: 'REASON', value: row => row.reason },
  { title: 'SINCE', value: row => row.lastTransitionTime },
  { title: 'MESSAGE', value: row => row.message },
];

/** Milliseconds. While one process takes the lease over from another, nobody has it. */
const LEASE_GRACE = 60_000;

const SCHEMAS = fileURLToPath(new URL('../../../docs/schemas/', import.meta.url));

/** Objects that documents declare. */
export function addResourcesCommands(program: Command, context: CliContext): void {
  const resources = program
    .command('resources')
    .description('Credentials, domains, suppressions, webhooks and routes that documents declare');
  addList(resources, context);
  addDiff(resources, context);
  addApply(resources, context);
  addValidate(resources, context);
  addSchemas(resources, context);
}

function addList(resources: Command, context: CliContext): void {
  examples(
    resources
      .command('list')
      .alias('status')
      .description('List declared objects, and whether they are as declared')
      .addOption(new Option('--kind <kind>', 'only this kind').choices(KINDS))
      .addOption(jsonOption())
      .action(async (options: JsonOptions & { kind?: KindName }) => {
        const [found, unreconciled] = await withDatabase(context, async pool => {
          return [await readRecords(pool), await findUnreconciled(pool, LEASE_GRACE)] as const;
        });
        const since = unreconciled && (unreconciled.since?.toISOString() ?? 'the beginning');
        const rows = found
          .filter(({ kind }) => options.kind === undefined || kind === options.kind)
          .map(object => ({ ...declarationReport(object), unreconciledSince: since }));
        print(context, options, rows, table(COLUMNS, rows));
        if (since === null) return;
        const { byHand } = loadConfig(context.env, { checkTlsFiles: false, require: [] }).config.resources;
        const remedy = byHand ? '' : ` To mend it: ${UNRECONCILED_REMEDY}.`;
        note(context, options, `Nobody has compared them with their documents since ${since}.${remedy}`);
      }),
    'resources list',
    'resources status --kind SmtpCredential',
    'resources list --json | jq \'.[] | select(.ready == "False")\'',
  );
}

function addValidate(resources: Command, context: CliContext): void {
  examples(
    resources
      .command('validate')
      .description('Check documents without a database, as for a pipeline; exit code 1 where one is not right')
      .argument('[paths...]', 'files or folders; resources.directory where none is named')
      .option('--secrets <folder>', 'check the files with keys and secrets too, which are below this folder')
      .option('--shared-domains', 'two owners may declare one domain, as with domains.shared')
      .addOption(jsonOption())
      .action(async (paths: string[], options: JsonOptions & PathOptions & { sharedDomains?: boolean }) => {
        const { paths: sources, folders } = await sourcesOf(context, paths, options);
        const declarations = await createDeclarationReader()(sources, { ...folders, secrets: options.secrets ?? null });
        const tables = createTables({ box: createSecretBox([]), sharedDomains: options.sharedDomains ?? false });
        const problems = [...declarations.problems, ...findShared(declarations, tables)];
        const lines = problems.map(problem => `${printable(printProblem(problem))}\n`);
        const count = declarations.all.length;
        const well = `${count} ${count === 1 ? 'document is' : 'documents are'} right.\n`;
        print(context, options, { ok: problems.length === 0, objects: count, problems }, lines.join('') || well);
        if (problems.length > 0) throw new CheckFailed(`the documents have ${amount(problems.length)}`);
      }),
    'resources validate deploy/relay/',
    'resources validate credentials.yaml domains.yaml',
    'resources validate --json deploy/ | jq -r \'.problems[] | "\\(.file):\\(.line) \\(.why)"\'',
  );
}

function amount(problems: number): string {
  return problems === 1 ? 'a problem' : `${problems} problems`;
}

interface SchemasOptions extends JsonOptions {
  readonly write?: boolean;
  readonly check?: boolean;
}

function addSchemas(resources: Command, context: CliContext): void {
  examples(
    resources
      .command('schemas')
      .description('Print the JSON Schemas of all kinds')
      .option('--write', 'write them into docs/schemas')
      .option('--check', 'fail where those in docs/schemas are stale')
      .addOption(jsonOption())
      .action(async (options: SchemasOptions) => {
        const files = renderSchemas();
        if (options.write) {
          await mkdir(SCHEMAS, { recursive: true });
          await Promise.all(files.map(({ name, content }) => writeFile(join(SCHEMAS, name), content)));
        }
        if (options.check) await Promise.all(files.map(requireFresh));
        const schemas = Object.fromEntries(files.map(({ name, content }) => [name, JSON.parse(content)]));
        const human =
          options.write || options.check ? 'docs/schemas is up to date.\n' : `${JSON.stringify(schemas, null, 2)}\n`;
        print(context, options, schemas, human);
      }),
    'resources schemas --check',
    'resources schemas | jq \'.["smtpcredential_v1alpha1.json"]\'',
  );
}

async function requireFresh({ name, content }: { name: string; content: string }): Promise<void> {
  const found = await readFile(join(SCHEMAS, name), 'utf8').catch(() => '');
  if (found === content) return;
  throw new Error(`docs/schemas/${name} is stale; bring it up to date: smtp-relay resources schemas --write`);
}
