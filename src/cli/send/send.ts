import { readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Command, InvalidArgumentError, Option } from 'commander';
import { loadConfig } from '../../config/load.ts';
import { StoreError } from '../../postgres/errors.ts';
import { type EmailStory, readEmailStory } from '../../store/emails/show.ts';
import { type CliContext, examples, type JsonOptions, jsonOption, note, parseSpan, print } from '../command.ts';
import { localAddress, withDatabase } from '../database.ts';
import { describeStory } from '../emails/story.ts';
import { CheckFailed } from '../errors.ts';
import { type SendOptions, sendMessage } from './session.ts';
import { renderLine, type TranscriptLine } from './transcript.ts';

interface SendCommandOptions extends JsonOptions, Omit<SendOptions, 'host' | 'port' | 'key'> {
  readonly host?: string;
  readonly port?: number;
  /** False: `--no-key`. */
  readonly key?: string | false;
  readonly keyFile?: string;
  readonly wait?: number | true;
}

const KEY_VARIABLE = 'OPENSEND_API_KEY';
const STANDARD = '-';
/** Milliseconds. */
const WAIT = 30_000;
const LOOK = 250;
/** A message with one of these is still on its way. */
const OPEN = new Set(['queued', 'processing', 'scheduled']);
const BAD = new Set(['failed', 'bounced', 'complained', 'suppressed', 'canceled']);
const TEXT = 'This is a test message of "smtp-relay send". Whoever reads it knows that the relay works.\n';

export function addSendCommand(program: Command, context: CliContext): void {
  examples(
    program
      .command('send')
      .description('Send a test message through a running relay, with the session shown, and say what became of it')
      .requiredOption('--from <address>', 'the sender, at a domain that the key may use')
      .requiredOption('--to <addresses...>', 'the recipients')
      .option('--host <host>', 'where the relay is; this machine unless given')
      .option('--port <port>', 'its port; SMTP_RELAY_PORT unless given', parsePort)
      .option(
        '--key <key>',
        `the API key; "-" reads it from standard input. Better in ${KEY_VARIABLE}, which no process list shows`,
      )
      .option('--key-file <file>', 'the file that holds it')
      .option('--no-key', 'do not log in, from a network that need not')
      .option('--user <name>', 'any will do', 'apikey')
      .addOption(
        new Option('--security <how>', 'STARTTLS or nothing; TLS from the first byte; clear text')
          .choices(['starttls', 'tls', 'none'])
          .default('starttls'),
      )
      .option('--ca <file>', "the authority of the relay's certificate, a PEM file")
      .addOption(new Option('--insecure', 'do not look at the certificate').conflicts('ca'))
      .option('--subject <text>', 'the subject', 'A test of the relay')
      .option('--text <text>', 'the text', TEXT)
      .option('--attach <files...>', 'files to attach')
      .option('--wait [time]', 'wait until it is sent, such as 30s; needs the database', parseWait)
      .addOption(jsonOption())
      .action((options: SendCommandOptions) => sendTest(context, options)),
    'send --from hello@acme.test --to you@example.com',
    'send --from hello@demo.test --to you@example.com --key-file .dev/api-key --ca .dev/tls/ca.crt --wait',
    'send --from hello@acme.test --to a@example.com b@example.com --host smtp.acme.test --attach invoice.pdf',
    'keys create --owner acme --name test --json | jq -r .key | smtp-relay send --from hello@acme.test --to you@example.com --key -',
  );
}

async function sendTest(context: CliContext, options: SendCommandOptions): Promise<void> {
  const { json, wait, keyFile, host, port, key: _, ...message } = options;
  const { config, settings } = loadConfig(context.env, { checkTlsFiles: false, require: [] });
  const knowsDatabase = settings.some(
    ({ name, source }) => /^databaseUrl$|^database\.host$/.test(name) && source !== 'default',
  );
  if (wait !== undefined && !knowsDatabase) throw new StoreError('invalid', '--wait needs DATABASE_URL');
  const transcript: TranscriptLine[] = [];
  const tell = (line: TranscriptLine): void => {
    transcript.push(line);
    // Whoever waits sees what is waited for.
    if (!json) context.stdout.write(renderLine(line));
  };
  const key = await readKey(context, options);
  const where = { host: host ?? localAddress(config.host), port: port ?? config.port };
  const result = await sendMessage({ ...message, ...where, key }, tell);
  const story =
    result.id !== null && wait !== undefined ? await follow(context, result.id, wait === true ? WAIT : wait) : null;
  const answer = { ...result, transcript, ...(story && { email: story }) };
  print(
    context,
    { ...(json && { json }) },
    answer,
    `\n${story ? describeStory(story) : `Id: ${result.id ?? 'none: not a relay of this kind'}\n`}`,
  );
  for (const { recipient, response } of result.rejected) note(context, {}, `Refused for ${recipient}: ${response}`);
  if (story) judge(story);
  else if (result.id !== null) note(context, options, `What becomes of it: smtp-relay emails show ${result.id}`);
  if (result.rejected.length > 0) throw new CheckFailed('not every recipient was taken');
}

async function readKey({ env, stdin }: CliContext, { key, keyFile }: SendCommandOptions): Promise<string | null> {
  if (key === false) return null;
  const given =
    key === STANDARD
      ? await readAll(stdin)
      : (key ?? (keyFile && (await readFile(keyFile, 'utf8'))) ?? env[KEY_VARIABLE]);
  const trimmed = given?.trim();
  if (trimmed) return trimmed;
  throw new StoreError(
    'invalid',
    `no API key: set ${KEY_VARIABLE}, or name a file with --key-file, or pipe it in with --key -; a new one is made by smtp-relay keys create`,
  );
}

async function readAll(stream: NodeJS.ReadableStream): Promise<string> {
  let text = '';
  for await (const chunk of stream) text += chunk;
  return text;
}

/** The story of a message when it is not on its way any more, or the time is over. */
function follow(context: CliContext, id: string, milliseconds: number): Promise<EmailStory> {
  return withDatabase(context, async pool => {
    const until = performance.now() + milliseconds;
    for (;;) {
      const story = await readEmailStory(pool, id);
      if (!OPEN.has(story.status ?? '') || performance.now() >= until) return story;
      await sleep(LOOK);
    }
  });
}

function judge({ status }: EmailStory): void {
  if (OPEN.has(status ?? '')) {
    throw new CheckFailed(`it is still ${status}: see whether a worker runs, with smtp-relay doctor --role worker`);
  }
  if (BAD.has(status ?? '')) throw new CheckFailed(`it is ${status}; docs/troubleshooting.md says what to look at`);
}

function parsePort(text: string): number {
  const port = /^\d{1,5}$/.test(text) ? Number(text) : 0;
  if (port < 1 || port > 65_535) throw new InvalidArgumentError('It must be a port from 1 to 65535.');
  return port;
}

function parseWait(text: string): number {
  const time = parseSpan(text);
  if (time === null || time === 0) throw new InvalidArgumentError('It must be a time such as 30s.');
  return time;
}
