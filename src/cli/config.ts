import { readFile, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import type { Command } from 'commander';
import { type EffectiveSetting, renderEffective } from '../config/effective.ts';
import { loadConfig } from '../config/load.ts';
import { isReferenceStale, renderReference, updateReference } from '../config/reference.ts';
import { settings } from '../config/schema.ts';
import type { CliContext } from './context.ts';
import { examples, type JsonOptions, jsonOption } from './options.ts';
import { type Column, note, print, table } from './output.ts';

interface ReferenceOptions extends JsonOptions {
  readonly write?: boolean;
  readonly check?: boolean;
}

const DOCUMENT = fileURLToPath(new URL('../../docs/configuration.md', import.meta.url));

const COLUMNS: readonly Column<EffectiveSetting>[] = [
  { title: 'SETTING', value: row => row.name },
  { title: 'VARIABLE', value: row => row.env },
  { title: 'VALUE', value: row => row.value },
  { title: 'SOURCE', value: row => row.source },
];

export function addConfigCommands(program: Command, context: CliContext): void {
  const config = program.command('config').description('The configuration: what it is, whether it is right');
  examples(
    config
      .command('print')
      .description('Show the effective settings and where each came from; secrets are shown as ***')
      .addOption(jsonOption())
      .action((options: JsonOptions) => {
        const loaded = loadConfig(context.env, { require: [] });
        for (const warning of loaded.warnings) note(context, options, `Warning: ${warning}`);
        const rows = renderEffective(loaded);
        print(context, options, rows, table(COLUMNS, rows));
      }),
    'config print',
    'config print --json | jq \'.[] | select(.source != "default")\'',
  );
  examples(
    config
      .command('check')
      .description('Check the configuration as the relay would at its start')
      .addOption(jsonOption())
      .action((options: JsonOptions) => {
        const { warnings } = loadConfig(context.env);
        for (const warning of warnings) note(context, options, `Warning: ${warning}`);
        print(context, options, { ok: true, warnings }, 'The configuration is right.\n');
      }),
    'config check && kubectl apply -f relay.yaml',
  );
  addReference(config, context);
}

function addReference(config: Command, context: CliContext): void {
  examples(
    config
      .command('reference')
      .description('Print the reference of all settings as Markdown')
      .option('--write', 'write it into docs/configuration.md')
      .option('--check', 'fail where docs/configuration.md is stale')
      .addOption(jsonOption())
      .action(async (options: ReferenceOptions) => {
        if (options.write) await writeFile(DOCUMENT, updateReference(await readFile(DOCUMENT, 'utf8')));
        if (options.check && isReferenceStale(await readFile(DOCUMENT, 'utf8'))) {
          throw new Error('docs/configuration.md is stale; bring it up to date: smtp-relay config reference --write');
        }
        const human =
          options.write || options.check ? 'docs/configuration.md is up to date.\n' : `${renderReference()}\n`;
        print(context, options, settings.map(describeSetting), human);
      }),
    'config reference > settings.md',
    'config reference --check',
  );
}

function describeSetting({ name, env, doc, format, reloadable, ...setting }: (typeof settings)[number]) {
  return { name, env, doc, format: format.expected, default: format.print(setting.default), reloadable };
}
