import type { Command } from 'commander';
import { addDomain, type Domain, listDomains, removeDomain } from '../store/domains.ts';
import type { CliContext } from './context.ts';
import { withDatabase } from './database.ts';
import { examples, type JsonOptions, jsonOption } from './options.ts';
import { type Column, note, print, table } from './output.ts';

const COLUMNS: readonly Column<Domain>[] = [
  { title: 'ID', value: row => row.id },
  { title: 'OWNER', value: row => row.owner },
  { title: 'STATUS', value: row => row.status },
  { title: 'REGION', value: row => row.region },
  { title: 'NAME', value: row => row.name },
];

export function addDomainsCommands(program: Command, context: CliContext): void {
  const domains = program.command('domains').description('Domains that an owner sends from');
  examples(
    domains
      .command('add')
      .description("Make a domain one of an owner's")
      .argument('<domain>')
      .requiredOption('--owner <id>', 'whose domain')
      .option('--region <region>', 'the SES region to send through', 'us-east-1')
      .addOption(jsonOption())
      .action(async (name: string, options: JsonOptions & { owner: string; region: string }) => {
        const row = await withDatabase(context, pool => addDomain(pool, { ...options, name }));
        print(context, options, row, `${row.name} is ${row.added ? 'now' : 'already'} a domain of ${row.owner}.\n`);
      }),
    'domains add acme.test --owner acme',
    'domains add bücher.example --owner acme --region eu-central-1',
  );
  examples(
    domains
      .command('list')
      .description('List domains')
      .option('--owner <id>', "only this owner's")
      .addOption(jsonOption())
      .action(async (options: JsonOptions & { owner?: string }) => {
        const found = await withDatabase(context, pool => listDomains(pool, options.owner));
        print(context, options, found, table(COLUMNS, found));
      }),
    'domains list --owner acme',
  );
  examples(
    domains
      .command('remove')
      .description('Take a domain from its owner')
      .argument('<domain>')
      .option('--owner <id>', 'whose domain; needed where several owners have it')
      .addOption(jsonOption())
      .action(async (name: string, options: JsonOptions & { owner?: string }) => {
        const row = await withDatabase(context, pool => removeDomain(pool, name, options.owner));
        print(context, options, row, `${row.name} is no longer a domain of ${row.owner ?? 'nobody'}.\n`);
        note(context, options, 'Running relays notice within 10 seconds.');
      }),
    'domains remove acme.test --owner acme',
  );
}
