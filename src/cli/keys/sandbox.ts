import type { Command } from 'commander';
import { StoreError } from '../../postgres/errors.ts';
import type { ApiKeyListing } from '../../store/keys/api-keys.ts';
import { setSandbox } from '../../store/keys/sandbox.ts';
import type { Pipeline } from '../../store/schema/pipeline.ts';
import { type CliContext, examples, type JsonOptions, jsonOption, note, print } from '../command.ts';
import { pipelineOf, withDatabase } from '../database.ts';

export const REFERENCE = 'its id, its name, its preview as listed, or the key itself';

export function nameOf({ preview, id, name, owner }: ApiKeyListing): string {
  return `${preview ?? id} (${name}) of ${owner ?? 'no owner'}`;
}

/** What is for keys in sandbox alone, and what puts them there. */
export function addSandboxCommands(keys: Command, context: CliContext): void {
  examples(
    keys
      .command('set')
      .description('Put an API key into sandbox, or take it out; open sessions notice within 10 seconds')
      .argument('<key>', REFERENCE)
      .option('--sandbox', SANDBOX)
      .option('--no-sandbox', 'what it sends from then on is really sent')
      .addOption(jsonOption())
      .action(async (reference: string, options: JsonOptions & { sandbox?: boolean }) => {
        const { sandbox } = options;
        if (sandbox === undefined) throw new StoreError('invalid', 'say what to set: --sandbox or --no-sandbox');
        const key = await withDatabase(context, async pool => {
          if (sandbox) requireSandbox(await pipelineOf(context, pool));
          return setSandbox(pool, reference, sandbox);
        });
        const state = sandbox
          ? 'in sandbox: what it sends goes to nobody'
          : 'not in sandbox: what it sends is really sent';
        print(context, options, key, `${nameOf(key)} is ${state}.\n`);
        note(context, options, 'Sessions that are open with it notice within 10 seconds.');
      }),
    'keys set "Staging app" --sandbox',
    'keys set "Staging app" --no-sandbox',
  );
}

export const SANDBOX = 'what it sends is accepted and told of as if it had been sent, and goes to nobody (standalone)';

/** @throws StoreError beside OpenSend, whose worker would send what is to go to nobody */
export function requireSandbox(pipeline: Pipeline): void {
  if (pipeline === 'standalone') return;
  const why =
    'beside OpenSend a key cannot be in sandbox: its own worker delivers, and would send what is to go to nobody';
  throw new StoreError('invalid', `${why}. Use a standalone installation for it`);
}
