import { readFile, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import type { Command } from 'commander';
import { loadConfig } from '../../config/load.ts';
import {
  type EffectiveSetting,
  isReferenceStale,
  renderEffective,
  renderReference,
  updateReference,
} from '../../config/reference.ts';
import { settings } from '../../config/schema.ts';
import {
  type CliContext,
  type Column,
  examples,
  type JsonOptions,
  jsonOption,
  note,
  print,
  table,
} from '../command.ts';

interface ReferenceOptions extends JsonOptions {
  readonly write?: boolean;
  readonly check?: boolean;
}

const DOCUMENT = fileURLToPath(new URL('../../../docs/configuration.md', import.meta.url));
const METRICS_DOCUMENT = fileURLToPath(new URL('../../../docs/metrics.md', import.meta.url));

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
  addMetrics(config, context);
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

function addMetrics(config: Command, context: CliContext): void {
  examples(
    config
      .command('metrics')
      .description('Print the reference of all metrics as Markdown')
      .option('--write', 'write it into docs/metrics.md')
      .option('--check', 'fail where docs/metrics.md is stale')
      .addOption(jsonOption())
      .action(async (options: ReferenceOptions) => {
        // Loaded here, so that the other commands start without all that counts something.
        const { listMetrics, renderMetrics, updateMetrics } = await import('./metrics.ts');
        const document = options.write || options.check ? await readFile(METRICS_DOCUMENT, 'utf8') : '';
        if (options.write) await writeFile(METRICS_DOCUMENT, updateMetrics(document));
        else if (options.check && updateMetrics(document) !== document) {
          throw new Error('docs/metrics.md is stale; bring it up to date: smtp-relay config metrics --write');
        }
        const human = document === '' ? `${renderMetrics()}\n` : 'docs/metrics.md is up to date.\n';
        const rows = listMetrics().flatMap(({ title, roles, metrics }) =>
          metrics.map(metric => ({ ...metric, part: title, roles })),
        );
        print(context, options, rows, human);
      }),
    'config metrics > metrics.md',
    'config metrics --check',
  );
}

function describeSetting({ name, env, doc, format, reloadable, ...setting }: (typeof settings)[number]) {
  return { name, env, doc, format: format.expected, default: format.print(setting.default), reloadable };
}
