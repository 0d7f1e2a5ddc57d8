import { createReadStream } from 'node:fs';
import { addAbortSignal, Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { type Command, Option } from 'commander';
import type pg from 'pg';
import {
  addSuppression,
  eachSuppression,
  listSuppressions,
  removeSuppression,
  SUPPRESSION_REASONS,
  type Suppression,
  type SuppressionReason,
} from '../../store/owners/suppressions.ts';
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
import { withDatabase } from '../database.ts';
import { Interrupted } from '../errors.ts';
import { createProgress } from '../progress.ts';
import { readSuppressionsCsv, suppressionsCsvWriter } from './csv.ts';
import { Import } from './import.ts';
import { replaceFile } from './replace-file.ts';

interface AddOptions extends JsonOptions {
  readonly owner: string;
  readonly reason: SuppressionReason;
}

const COLUMNS: readonly Column<Suppression>[] = [
  { title: 'OWNER', value: row => row.owner },
  { title: 'REASON', value: row => row.reason },
  { title: 'SINCE', value: row => row.suppressedAt },
  { title: 'EMAIL', value: row => row.email },
];

export function addSuppressionsCommands(program: Command, context: CliContext): void {
  const suppressions = program.command('suppressions').description('Addresses that an owner must not send to');
  examples(
    suppressions
      .command('add')
      .description("Put an address on an owner's suppression list")
      .argument('<email>')
      .requiredOption('--owner <id>', 'whose list')
      .addOption(new Option('--reason <reason>').choices(SUPPRESSION_REASONS).default('manual'))
      .addOption(jsonOption())
      .action(async (email: string, options: AddOptions) => {
        const row = await withDatabase(context, pool => addSuppression(pool, { ...options, email }));
        const human = row.added
          ? `${row.email} is now on the suppression list of ${row.owner}.\n`
          : `${row.email} is on the suppression list of ${row.owner} already (${row.reason}).\n`;
        print(context, options, row, human);
      }),
    'suppressions add someone@example.com --owner acme',
  );
  examples(
    suppressions
      .command('remove')
      .description("Take an address off an owner's suppression list")
      .argument('<email>')
      .requiredOption('--owner <id>', 'whose list')
      .addOption(yesOption())
      .addOption(jsonOption())
      .action(async (email: string, options: JsonOptions & ConfirmOptions & { owner: string }) => {
        await confirm(context, options, `Let ${printable(options.owner)} send to ${printable(email)} again`);
        const row = await withDatabase(context, pool => removeSuppression(pool, options.owner, email));
        print(context, options, row, `${row.email} is no longer on the suppression list of ${row.owner}.\n`);
      }),
    'suppressions remove someone@example.com --owner acme',
  );
  examples(
    suppressions
      .command('list')
      .description('List suppressed addresses')
      .option('--owner <id>', "only this owner's")
      .addOption(jsonOption())
      .action(async (options: JsonOptions & { owner?: string }) => {
        const found = await withDatabase(context, pool => listSuppressions(pool, options.owner));
        print(context, options, found, table(COLUMNS, found));
      }),
    'suppressions list --owner acme',
    "suppressions list --json | jq -r '.[].email'",
  );
  addTransfers(suppressions, context);
}

interface ImportOptions extends JsonOptions {
  readonly owner?: string;
  readonly reason?: SuppressionReason;
  readonly strict?: boolean;
}

/** `-` in the place of a file: standard input or output. */
const STANDARD = '-';
/** A file of something else altogether has nothing but bad lines. */
const MAX_LISTED = 100;

/** `suppressions import` and `suppressions export`. */
function addTransfers(suppressions: Command, context: CliContext): void {
  examples(
    suppressions
      .command('import')
      .description(
        'Put the addresses of a CSV file on suppression lists; those that are there already stay as they are',
      )
      .argument(
        '<file>',
        'with the columns email and, if need be, reason, owner, suppressed_at, or an export of another system, or an address a line; "-" for standard input',
      )
      .option('--owner <id>', 'whose list, for lines that name no owner')
      .addOption(
        new Option('--reason <reason>', 'the reason of all lines, whatever the file says').choices(SUPPRESSION_REASONS),
      )
      .option('--strict', 'import nothing if a line is bad')
      .addOption(jsonOption())
      .action((file: string, options: ImportOptions) => importFile(context, file, options)),
    'suppressions import suppressions.csv --owner acme',
    'suppressions import mailgun-bounces.csv --owner acme --reason bounced',
  );
  examples(
    suppressions
      .command('export')
      .description('Write suppression lists as CSV')
      .argument('[file]', 'where to; "-" for standard output', STANDARD)
      .option('--owner <id>', "only this owner's")
      .action((file: string, options: { owner?: string }) => exportFile(context, file, options.owner)),
    'suppressions export > suppressions.csv',
    'suppressions export acme.csv --owner acme',
  );
}

const INTERRUPTED = 'interrupted: what is on the lists stays there, and importing the file again adds the rest';

async function importFile(context: CliContext, file: string, options: ImportOptions): Promise<void> {
  const signal = context.takeSignals();
  const input = file === STANDARD ? context.stdin : createReadStream(file);
  addAbortSignal(signal, input as Readable);
  const progress = createProgress(context);
  const work = new Import({ ...options, onBatch: () => progress(`line ${work.doneLine}: ${work.added} added`) });
  try {
    await withDatabase(context, pool => work.run(pool, readSuppressionsCsv(input, options))).finally(progress.end);
  } catch (error) {
    // Addresses that are on the lists by now stay there, and whoever tries again should know.
    if (work.hasBegun && !options.strict) tell(context, options, work, { upToLine: work.doneLine });
    if (signal.aborted) throw new Interrupted(options.strict ? 'interrupted: nothing was imported' : INTERRUPTED);
    throw error;
  }
  if (options.strict && work.bad.length > 0) {
    listLines(context, work);
    throw new Error(`nothing was imported: ${count(work.bad.length, 'bad line')}`);
  }
  tell(context, options, work);
}

function tell(context: CliContext, options: ImportOptions, work: Import, ended?: { readonly upToLine: number }): void {
  listLines(context, work);
  const { added, existing, bad, noted } = work;
  const answer = { added, existing, bad, ...(noted.length > 0 && { noted }), ...ended };
  const notes = noted.length === 0 ? '' : `, ${noted.length} noted`;
  const end = ended ? `, up to line ${ended.upToLine}; it ended early` : '';
  print(context, options, answer, `${added} added, ${existing} there already, ${bad.length} bad${notes}${end}.\n`);
}

function listLines(context: CliContext, { bad, noted }: Import): void {
  list(
    context,
    bad.map(({ line, problem }) => ({ line, text: problem })),
    'bad line',
  );
  list(
    context,
    noted.map(({ line, note: text }) => ({ line, text })),
    'noted line',
  );
}

interface Listed {
  readonly line: number;
  readonly text: string;
}

function list(context: CliContext, lines: readonly Listed[], what: string): void {
  for (const { line, text } of lines.slice(0, MAX_LISTED)) note(context, {}, `line ${line}: ${printable(text)}`);
  const more = lines.length - MAX_LISTED;
  if (more > 0) note(context, {}, `and ${count(more, what)} more`);
}

async function exportFile(context: CliContext, file: string, owner: string | undefined): Promise<void> {
  const progress = createProgress(context);
  const signal = context.takeSignals();
  const write = async (pool: pg.Pool) => {
    const rows = Readable.from(counted(eachSuppression(pool, owner), rows => progress(`${rows} addresses`)));
    if (file === STANDARD) await pipeline(rows, suppressionsCsvWriter(), context.stdout, { end: false, signal });
    else await replaceFile(file, output => pipeline(rows, suppressionsCsvWriter(), output, { signal }));
  };
  try {
    await withDatabase(context, write).finally(progress.end);
  } catch (error) {
    throw signal.aborted ? new Interrupted('interrupted: the export is not whole') : error;
  }
}

async function* counted<T>(rows: AsyncIterable<T>, tell: (count: number) => void): AsyncGenerator<T> {
  let count = 0;
  for await (const row of rows) {
    yield row;
    count += 1;
    tell(count);
  }
}

function count(number: number, what: string): string {
  return `${number} ${what}${number === 1 ? '' : 's'}`;
}
