import { type Command, Option } from 'commander';
import { loadConfig } from '../../config/load.ts';
import { StoreError } from '../../postgres/errors.ts';
import { cancelEmail, resendEmail, resolveHeld } from '../../store/emails/actions.ts';
import { resolveEmailId } from '../../store/emails/find.ts';
import { resendRow } from '../../store/emails/resend-row.ts';
import type { CliContext } from '../context.ts';
import { withDatabase } from '../database.ts';
import { examples, type JsonOptions, jsonOption } from '../options.ts';
import { note, print, printable } from '../output.ts';
import { pipelineOf } from '../pipeline.ts';

interface ResendOptions extends JsonOptions {
  readonly failedOnly?: boolean;
  readonly yes?: boolean;
}

interface ResolveOptions extends JsonOptions {
  readonly sent?: boolean;
  readonly retry?: boolean;
}

const ID = 'as for `emails show`';

const RELAY_PUBLISHES = 'A running relay publishes its job within seconds.';
const NO_QUEUE =
  "No queue is configured here (BACKGROUND_JOBS_QUEUE_URL), so it has no job: it goes out where OpenSend's worker polls the database.";

/** What a person can do about one message. */
export function addEmailActions(emails: Command, context: CliContext): void {
  addResend(emails, context);
  addCancel(emails, context);
  addResolve(emails, context);
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
