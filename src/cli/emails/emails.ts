import type { Command } from 'commander';
import { decodeHeaderText } from '../../message/addresses/address-list.ts';
import { type EmailSummary, lookForEmails } from '../../store/emails/emails.ts';
import { readEmailStory } from '../../store/emails/story.ts';
import type { CliContext } from '../context.ts';
import { withDatabase } from '../database.ts';
import { examples, type JsonOptions, jsonOption, parseCount, parseSince } from '../options.ts';
import { type Column, print, table } from '../output.ts';
import { addEmailActions } from './actions.ts';
import { describeStory } from './story.ts';

interface ListOptions extends JsonOptions {
  readonly status?: string;
  readonly owner?: string;
  readonly since?: Date;
  readonly before?: Date;
  readonly messageId?: string;
  readonly limit: number;
}

const COLUMNS: readonly Column<EmailSummary>[] = [
  { title: 'ID', value: row => row.id },
  { title: 'CREATED', value: row => row.createdAt },
  { title: 'STATUS', value: row => row.status },
  { title: 'OWNER', value: row => row.owner },
  { title: 'FROM', value: row => decodeHeaderText(row.from) },
  { title: 'TO', value: row => row.to.join(', ') },
  { title: 'SUBJECT', value: row => row.subject },
];

/** Who reads the answer by a program is to know as well. @param backTo nothing before this was looked at */
function unseen(backTo: Date): string {
  // Times of messages are finer.
  const before = new Date(backTo.getTime() + 1).toISOString();
  return `Only what was accepted since ${before} was looked at; for what is older: --before ${before}\n`;
}

export function addEmailsCommands(program: Command, context: CliContext): void {
  const emails = program.command('emails').description('Messages that were accepted');
  examples(
    emails
      .command('list')
      .description('List messages, newest first')
      .option('--status <status>', 'only those with this status, such as queued, sent, failed')
      .option('--owner <id>', "only this owner's")
      .option('--since <time>', 'only those accepted since: ISO 8601, or an age such as 15m, 24h, 7d', parseSince)
      .option('--before <time>', 'only those accepted before', parseSince)
      .option('--message-id <id>', 'only those with this Message-ID, with or without angle brackets')
      .option('--limit <count>', 'at most so many', parseCount, 50)
      .addOption(jsonOption())
      .action(async (options: ListOptions) => {
        const { rows, backTo } = await withDatabase(context, pool => lookForEmails(pool, options));
        print(context, options, rows, table(COLUMNS, rows));
        if (backTo) context.stderr.write(unseen(backTo));
      }),
    'emails list --status queued --since 15m',
    "emails list --message-id '<20260131.1234@app.acme.test>'",
    "emails list --owner acme --limit 1000 --json | jq -r '.[].id'",
  );
  examples(
    emails
      .command('show')
      .description('Show the whole story of one message: where it stands, and what happened to it when')
      .argument('<id>', 'the id that the 250 reply named, the Message-ID, or the id that SES gave it')
      .addOption(jsonOption())
      .action(async (id: string, options: JsonOptions) => {
        const story = await withDatabase(context, pool => readEmailStory(pool, id));
        print(context, options, story, describeStory(story));
      }),
    'emails show 0b8f7a52-3c1e-4d8e-9a5e-2f1f6f3f7c11',
    "emails show '<20260131.1234@app.acme.test>'",
    'emails show 0b8f7a52-3c1e-4d8e-9a5e-2f1f6f3f7c11 --json',
  );
  addEmailActions(emails, context);
}
