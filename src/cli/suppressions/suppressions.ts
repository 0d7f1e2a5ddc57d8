import { type Command, Option } from 'commander';
import {
  addSuppression,
  listSuppressions,
  removeSuppression,
  SUPPRESSION_REASONS,
  type Suppression,
  type SuppressionReason,
} from '../../store/owners/suppressions.ts';
import type { CliContext } from '../context.ts';
import { withDatabase } from '../database.ts';
import { examples, type JsonOptions, jsonOption } from '../options.ts';
import { type Column, print, table } from '../output.ts';
import { addSuppressionTransfers } from './transfer.ts';

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
      .addOption(jsonOption())
      .action(async (email: string, options: JsonOptions & { owner: string }) => {
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
  addSuppressionTransfers(suppressions, context);
}
