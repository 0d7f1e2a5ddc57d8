import type { Command } from 'commander';
import { isUuid } from '../platform/uuid.ts';
import { StoreError } from '../postgres/errors.ts';
import {
  type EndedLinks,
  endLinks,
  type LinkSubject,
  listEndedLinks,
  restoreLinks,
} from '../store/events/ended-links.ts';
import { type CliContext, type Column, examples, type JsonOptions, jsonOption, print, table } from './command.ts';
import { onlyStandalone, withDatabase } from './database.ts';

interface SubjectOptions extends JsonOptions {
  readonly owner?: string;
  readonly message?: string;
}

/** Said where the database is an OpenSend's. */
const OPENSEND_LINKS = 'beside OpenSend its own worker tracks, and this program has made no links';

const COLUMNS: readonly Column<EndedLinks>[] = [
  { title: 'OF', value: row => row.kind },
  { title: 'ID', value: row => row.id },
  { title: 'ENDED', value: row => row.endedAt },
];

/** `links end`, `links restore` and `links list`. */
export function addLinksCommands(program: Command, context: CliContext): void {
  const links = program.command('links').description('Tracking links of mail that was sent');
  onlyStandalone(links, context, OPENSEND_LINKS);
  addChange(links, context, {
    name: 'end',
    description: 'Have links of an owner or a message lead nowhere any more (410)',
    change: endLinks,
    done: 'lead nowhere any more',
    nothing: 'had ended before',
  });
  addChange(links, context, {
    name: 'restore',
    description: 'Have links that were ended lead on again',
    change: restoreLinks,
    done: 'lead on again',
    nothing: 'had not ended',
  });
  examples(
    links
      .command('list')
      .description('List whose links have ended')
      .addOption(jsonOption())
      .action(async (options: JsonOptions) => {
        const found = await withDatabase(context, listEndedLinks);
        print(context, options, found, table(COLUMNS, found));
      }),
    'links list',
  );
}

interface Change {
  readonly name: 'end' | 'restore';
  readonly description: string;
  readonly change: typeof endLinks;
  readonly done: string;
  readonly nothing: string;
}

function addChange(links: Command, context: CliContext, { name, description, change, done, nothing }: Change): void {
  examples(
    links
      .command(name)
      .description(description)
      .option('--owner <id>', "all of this owner's")
      .option('--message <id>', 'those of this message')
      .addOption(jsonOption())
      .action(async (options: SubjectOptions) => {
        const subject = subjectOf(options);
        const changed = await withDatabase(context, pool => change(pool, subject));
        print(context, options, { ...subject, changed }, `The links ${changed ? done : nothing}.\n`);
      }),
    `links ${name} --owner acme`,
    `links ${name} --message 0b8f7a52-3c1e-4d8e-9a5e-2f1f6f3f7c11`,
  );
}

function subjectOf({ owner, message }: SubjectOptions): LinkSubject {
  if (owner && message === undefined) return { kind: 'owner', owner };
  if (message !== undefined && isUuid(message) && owner === undefined) return { kind: 'message', emailId: message };
  throw new StoreError('invalid', 'say whose links: --owner <id>, or --message <id> with the id of a message');
}
