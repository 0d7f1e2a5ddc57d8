import { createReadStream, createWriteStream } from 'node:fs';
import { stdin } from 'node:process';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { type Command, Option } from 'commander';
import {
  eachSuppression,
  importSuppressions,
  SUPPRESSION_REASONS,
  type SuppressionImport,
  type SuppressionReason,
} from '../store/suppressions.ts';
import type { CliContext } from './context.ts';
import { withDatabase } from './database.ts';
import { examples, type JsonOptions, jsonOption } from './options.ts';
import { note, print, printable } from './output.ts';
import { readSuppressionsCsv, suppressionsCsvWriter } from './suppressions-csv.ts';

interface ImportOptions extends JsonOptions {
  readonly owner?: string;
  readonly reason?: SuppressionReason;
  readonly strict?: boolean;
}

interface BadLine {
  readonly line: number;
  readonly problem: string;
}

/** `-` in the place of a file: standard input or output. */
const STANDARD = '-';
const BATCH = 1_000;
/** A file of something else altogether has nothing but bad lines. */
const MAX_LISTED = 100;

export function addSuppressionTransfers(suppressions: Command, context: CliContext): void {
  examples(
    suppressions
      .command('import')
      .description(
        'Put the addresses of a CSV file on suppression lists; those that are there already stay as they are',
      )
      .argument(
        '<file>',
        'with the columns email and, if need be, reason, owner, suppressed_at; "-" for standard input',
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

async function importFile(context: CliContext, file: string, options: ImportOptions): Promise<void> {
  const input = file === STANDARD ? stdin : createReadStream(file);
  const lines = readSuppressionsCsv(input, options);
  const bad: BadLine[] = [];
  const total = await withDatabase(context, async pool => {
    let pending: SuppressionImport[] = [];
    const counts = { read: 0, added: 0 };
    const flush = async (): Promise<void> => {
      for (; pending.length > 0; pending = pending.slice(BATCH)) {
        counts.added += await importSuppressions(pool, pending.slice(0, BATCH));
      }
    };
    for await (const line of lines) {
      if ('problem' in line) bad.push(line);
      else pending.push(line.row);
      if ('row' in line) counts.read += 1;
      if (pending.length >= BATCH && !options.strict) await flush();
    }
    if (!options.strict || bad.length === 0) await flush();
    return counts;
  });
  list(context, bad);
  if (options.strict && bad.length > 0) throw new Error(`nothing was imported: ${count(bad.length, 'bad line')}`);
  const answer = { added: total.added, existing: total.read - total.added, bad };
  print(context, options, answer, `${answer.added} added, ${answer.existing} there already, ${bad.length} bad.\n`);
}

function list(context: CliContext, bad: readonly BadLine[]): void {
  for (const { line, problem } of bad.slice(0, MAX_LISTED)) note(context, {}, `line ${line}: ${printable(problem)}`);
  if (bad.length > MAX_LISTED) note(context, {}, `and ${count(bad.length - MAX_LISTED, 'bad line')} more`);
}

async function exportFile(context: CliContext, file: string, owner: string | undefined): Promise<void> {
  await withDatabase(context, async pool => {
    const rows = Readable.from(eachSuppression(pool, owner));
    if (file === STANDARD) await pipeline(rows, suppressionsCsvWriter(), context.stdout, { end: false });
    // Whom nobody may write to is nobody's business.
    else await pipeline(rows, suppressionsCsvWriter(), createWriteStream(file, { mode: 0o600 }));
  });
}

function count(number: number, what: string): string {
  return `${number} ${what}${number === 1 ? '' : 's'}`;
}
