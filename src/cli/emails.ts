import type { Command } from 'commander';
import { type EmailDetails, type EmailSummary, findEmail, listEmails } from '../store/emails.ts';
import { StoreError } from '../store/errors.ts';
import type { CliContext } from './context.ts';
import { withDatabase } from './database.ts';
import { examples, type JsonOptions, jsonOption, parseCount, parseSince } from './options.ts';
import { type Column, details, print, printable, table } from './output.ts';

interface ListOptions extends JsonOptions {
  readonly status?: string;
  readonly owner?: string;
  readonly since?: Date;
  readonly limit: number;
}

const COLUMNS: readonly Column<EmailSummary>[] = [
  { title: 'ID', value: row => row.id },
  { title: 'CREATED', value: row => row.createdAt },
  { title: 'STATUS', value: row => row.status },
  { title: 'OWNER', value: row => row.owner },
  { title: 'FROM', value: row => row.from },
  { title: 'TO', value: row => row.to.join(', ') },
  { title: 'SUBJECT', value: row => row.subject },
];

export function addEmailsCommands(program: Command, context: CliContext): void {
  const emails = program.command('emails').description('Messages that were accepted');
  examples(
    emails
      .command('list')
      .description('List messages, newest first')
      .option('--status <status>', 'only those with this status, such as queued, sent, failed')
      .option('--owner <id>', "only this owner's")
      .option('--since <time>', 'only those accepted since: ISO 8601, or an age such as 15m, 24h, 7d', parseSince)
      .option('--limit <count>', 'at most so many', parseCount, 50)
      .addOption(jsonOption())
      .action(async (options: ListOptions) => {
        const found = await withDatabase(context, pool => listEmails(pool, options));
        print(context, options, found, table(COLUMNS, found));
      }),
    'emails list --status queued --since 15m',
    "emails list --owner acme --limit 1000 --json | jq -r '.[].id'",
  );
  examples(
    emails
      .command('show')
      .description('Show one message and where it stands')
      .argument('<id>', 'the id that the 250 reply named')
      .addOption(jsonOption())
      .action(async (id: string, options: JsonOptions) => {
        const email = await withDatabase(context, pool => findEmail(pool, id));
        if (!email) throw new StoreError('not-found', `no message has the id "${id}"`);
        print(context, options, email, describe(email));
      }),
    'emails show 0b8f7a52-3c1e-4d8e-9a5e-2f1f6f3f7c11',
    'emails show 0b8f7a52-3c1e-4d8e-9a5e-2f1f6f3f7c11 --json',
  );
}

function describe(email: EmailDetails): string {
  const job = email.outbox.map(entry => `try ${entry.try}, due ${entry.dueAt}, ${entry.publishAttempts} attempts`);
  const lines = details([
    ['Id', email.id],
    ['Status', email.status],
    ['Owner', email.owner],
    ['Created', email.createdAt],
    ['Sent', email.sentAt],
    ['From', email.from],
    ['To', email.to],
    ['Cc', email.cc],
    ['Bcc', email.bcc],
    ['Reply-To', email.replyTo],
    ['Subject', email.subject],
    ['Tags', email.tags?.map(tag => `${tag.name}=${tag.value}`)],
    [
      'Attachments',
      email.attachments?.map(part => `${part.filename} (${part.contentType}, ${part.encodedSize} bytes)`),
    ],
    ['Last error', email.lastError],
    ['Unpublished jobs', job],
    ['As received', email.raw && `${email.raw.sizeBytes} bytes, SHA-256 ${email.raw.sha256}`],
  ]);
  return email.text === null ? lines : `${lines}\n${printable(email.text)}\n`;
}
