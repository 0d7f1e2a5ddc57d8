import { type Command, Option } from 'commander';
import { loadConfig } from '../../config/load.ts';
import { decodeHeaderText } from '../../message/addresses/address-list.ts';
import { StoreError } from '../../postgres/errors.ts';
import { cancelEmail, resendEmail, resendRow, resolveHeld } from '../../store/emails/actions.ts';
import { resolveEmailId } from '../../store/emails/find.ts';
import { type EmailSummary, lookForEmails } from '../../store/emails/list.ts';
import { readEmailStory } from '../../store/emails/show.ts';
import {
  type CliContext,
  type Column,
  examples,
  type JsonOptions,
  jsonOption,
  note,
  parseCount,
  parseSince,
  print,
  printable,
  table,
} from '../command.ts';
import { pipelineOf, withDatabase } from '../database.ts';
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
  { title: 'STATUS', value: row => (row.sandbox ? `${row.status}, sandbox` : row.status) },
  { title: 'OWNER', value: row => row.owner },
  { title: 'FROM', value: row => decodeHeaderText(row.from) },
  { title: 'TO', value: row => row.to.join(', ') },
  { title: 'SUBJECT', value: row => row.subject },
];

/** A program that reads the answer has to be told as well. @param backTo nothing before this was looked at */
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
  addResend(emails, context);
  addCancel(emails, context);
  addResolve(emails, context);
}

/** Describes the argument of commands that do something about a message. */
const ID = 'as for `emails show`';

const RELAY_PUBLISHES = 'A running relay publishes its job within seconds.';
const NO_QUEUE =
  "No queue is configured here (BACKGROUND_JOBS_QUEUE_URL), so it has no job: it goes out where OpenSend's worker polls the database.";

interface ResendOptions extends JsonOptions {
  readonly failedOnly?: boolean;
  readonly yes?: boolean;
}

interface ResolveOptions extends JsonOptions {
  readonly sent?: boolean;
  readonly retry?: boolean;
}

function addResend(emails: Command, context: CliContext): void {
  examples(
    emails
      .command('resend')
      .description('Send a message that is done once more: the same content, as a new message with an id of its own')
      .argument('<id>', ID)
      .addOption(new Option('--failed-only', 'only to the recipients that it was not sent to').conflicts('yes'))
      .option('--yes', 'also to the recipients that have had it, who then have it twice')
      .addOption(jsonOption())
      .action(async (id: string, options: ResendOptions) => {
        const wanted = { failedOnly: options.failedOnly === true, twice: options.yes === true };
        const publish = loadConfig(context.env, { checkTlsFiles: false }).config.queueUrl !== '';
        const { copy, pipeline } = await withDatabase(context, async pool => {
          const emailId = await resolveEmailId(pool, id);
          const pipeline = await pipelineOf(context, pool);
          if (pipeline === 'standalone') return { copy: await resendEmail(pool, emailId, wanted), pipeline };
          return { copy: await resendRow(pool, emailId, { ...wanted, publish }), pipeline };
        });
        print(context, options, copy, `Queued again as ${copy.id}, to ${shown(copy.recipients)}.\n`);
        if (pipeline === 'opensend') note(context, options, publish ? RELAY_PUBLISHES : NO_QUEUE);
      }),
    'emails resend 0b8f7a52-3c1e-4d8e-9a5e-2f1f6f3f7c11 --failed-only',
    'emails resend 0b8f7a52-3c1e-4d8e-9a5e-2f1f6f3f7c11 --yes',
  );
}

function addCancel(emails: Command, context: CliContext): void {
  examples(
    emails
      .command('cancel')
      .description('Cancel a message that is still queued')
      .argument('<id>', ID)
      .addOption(jsonOption())
      .action(async (id: string, options: JsonOptions) => {
        const done = await withDatabase(context, async pool => cancelEmail(pool, await resolveEmailId(pool, id)));
        print(context, options, done, `${done.id} is canceled.\n`);
        if (done.sentTo.length > 0) note(context, options, `These have had it already: ${shown(done.sentTo)}.`);
      }),
    'emails cancel 0b8f7a52-3c1e-4d8e-9a5e-2f1f6f3f7c11',
  );
}

function addResolve(emails: Command, context: CliContext): void {
  examples(
    emails
      .command('resolve')
      .description('Say what became of a message that is held because nobody knew (SMTP_RELAY_ON_UNKNOWN_OUTCOME=hold)')
      .argument('<id>', ID)
      .addOption(new Option('--sent', 'it was sent, as the log of SES or of the smarthost shows').conflicts('retry'))
      .option('--retry', 'it is to be sent again, and may arrive twice')
      .addOption(jsonOption())
      .action(async (id: string, options: ResolveOptions) => {
        if (!options.sent && !options.retry) throw new StoreError('invalid', 'say which: --sent or --retry');
        const verdict = options.sent ? 'sent' : 'retry';
        const done = await withDatabase(context, async pool =>
          resolveHeld(pool, await resolveEmailId(pool, id), verdict),
        );
        const fate = verdict === 'sent' ? 'counts as sent' : 'is sent again';
        print(context, options, done, `${done.id} ${fate}, to ${shown(done.recipients)}.\n`);
        note(context, options, 'A worker goes on with it within seconds.');
      }),
    'emails resolve 0b8f7a52-3c1e-4d8e-9a5e-2f1f6f3f7c11 --sent',
  );
}

function shown(recipients: readonly string[]): string {
  return printable(recipients.join(', ')) || 'nobody';
}
