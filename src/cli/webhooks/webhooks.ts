import { randomUUID } from 'node:crypto';
import { type Command, InvalidArgumentError } from 'commander';
import { loadConfig } from '../../config/load.ts';
import { databaseTime } from '../../postgres/clock.ts';
import {
  createWebhook,
  deleteWebhook,
  enableWebhook,
  findWebhook,
  listWebhooks,
  readSecrets,
  resumeParked,
  type Webhook,
} from '../../store/webhooks/webhooks.ts';
import { createAddressGuard } from '../../webhooks/address-guard.ts';
import { ping } from '../../webhooks/attempt.ts';
import { ALL_EVENTS, parseEndpointUrl, parseEventTypes, WEBHOOK_EVENTS } from '../../webhooks/endpoint.ts';
import { createEndpointClient } from '../../webhooks/endpoint-client.ts';
import { systemResolve } from '../../webhooks/resolver.ts';
import { newSecret, SecretError } from '../../webhooks/signing.ts';
import {
  type CliContext,
  type Column,
  details,
  examples,
  type JsonOptions,
  jsonOption,
  note,
  print,
  printable,
  table,
} from '../command.ts';
import { type ConfirmOptions, confirm, yesOption } from '../confirm.ts';
import { onlyStandalone, withDatabase } from '../database.ts';
import { addDeliveriesCommands } from './deliveries.ts';
import { addSecretsCommands, KEEP_SECRET, secretBox } from './secrets.ts';

const COLUMNS: readonly Column<Webhook>[] = [
  { title: 'ID', value: row => row.id },
  { title: 'OWNER', value: row => row.owner },
  { title: 'STATUS', value: row => row.status },
  { title: 'FAILING SINCE', value: row => row.failingSince },
  { title: 'URL', value: row => row.url },
  { title: 'EVENTS', value: row => describeEvents(row.events) },
];

/** Lists are refused too: OpenSend's endpoints look the same, and would invite to change them. */
const OPENSEND_WEBHOOKS =
  "this database is OpenSend's, whose dashboard manages webhooks: its worker delivers them, and signs with secrets that it " +
  'encrypts with a key of its own (WEBHOOK_SECRET_ENCRYPTION_KEY). Use the dashboard; the commands webhooks … are for the ' +
  'pipeline standalone';

/** Endpoints of owners that hear of their events. */
export function addWebhooksCommands(program: Command, context: CliContext): void {
  const webhooks = program.command('webhooks').description("Endpoints that hear of an owner's events");
  onlyStandalone(webhooks, context, OPENSEND_WEBHOOKS);
  addCreate(webhooks, context);
  addList(webhooks, context);
  addTest(webhooks, context);
  addSecretsCommands(webhooks, context);
  addDeliveriesCommands(webhooks, context);
  addEnable(webhooks, context);
  addDelete(webhooks, context);
}

function addCreate(webhooks: Command, context: CliContext): void {
  examples(
    webhooks
      .command('create')
      .description('Add an endpoint, and print its signing secret, this once')
      .argument('<url>', 'where events are posted to', argument(parseEndpointUrl))
      .requiredOption('--owner <id>', 'whose events')
      .option(
        '--events <list>',
        `which, separated by commas: ${WEBHOOK_EVENTS.join(', ')}, or all`,
        argument(parseEventTypes),
        [ALL_EVENTS],
      )
      .addOption(jsonOption())
      .action(async (url: string, options: JsonOptions & { owner: string; events: string[] }) => {
        const id = randomUUID();
        const secret = newSecret();
        const sealed = secretBox(context).seal(secret, id);
        const { owner, events } = options;
        const row = await withDatabase(context, pool =>
          createWebhook(pool, { id, owner, url, events, secret: sealed }),
        );
        const human = details([
          ['Secret', secret],
          ['Id', row.id],
          ['Owner', row.owner],
          ['URL', row.url],
          ['Events', describeEvents(row.events)],
        ]);
        print(context, options, { ...row, secret }, human);
        note(context, options, KEEP_SECRET);
      }),
    'webhooks create https://acme.test/hooks/email --owner acme',
    'webhooks create https://acme.test/hooks --owner acme --events email.bounced,email.complained',
    'webhooks create https://acme.test/hooks --owner acme --json | jq -r .secret',
  );
}

function addList(webhooks: Command, context: CliContext): void {
  examples(
    webhooks
      .command('list')
      .description('List endpoints; their secrets are not shown')
      .option('--owner <id>', "only this owner's")
      .addOption(jsonOption())
      .action(async (options: JsonOptions & { owner?: string }) => {
        const found = await withDatabase(context, pool => listWebhooks(pool, options.owner));
        print(context, options, found, table(COLUMNS, found));
      }),
    'webhooks list --owner acme',
  );
}

function addTest(webhooks: Command, context: CliContext): void {
  examples(
    webhooks
      .command('test')
      .description(
        'Send an endpoint a signed delivery of type email.test from here, and show the answer; exit code 1 where it is not taken',
      )
      .argument('<id>', 'as listed')
      .addOption(jsonOption())
      .action(async (id: string, options: JsonOptions) => {
        const { webhooks: config } = loadConfig(context.env, { checkTlsFiles: false }).config;
        const box = secretBox(context);
        const [row, stored, at] = await withDatabase(context, async pool => {
          const found = await findWebhook(pool, id);
          return [found, (await readSecrets(pool, found.id))[0], await databaseTime(pool)];
        });
        if (!stored?.current)
          throw new SecretError('the webhook has no signing secret; give it one: smtp-relay webhooks rotate');
        const guard = createAddressGuard(config.allowedNetworks);
        const client = createEndpointClient({ timeout: config.timeout, connections: 1, guard, resolve: systemResolve });
        const sealed = [stored.current, row.previousSecretUntil && stored.previous].filter(secret => secret !== null);
        const target = { webhookId: row.id, url: row.url, secrets: sealed.map(secret => box.open(secret, row.id)), at };
        const result = await ping(target, client).finally(() => client.close());
        const took = `${result.milliseconds} ms`;
        const lines = details([
          ['Status', result.statusCode ?? 'no answer'],
          ['Took', took],
          ['Delivery', result.id],
        ]);
        print(context, options, result, `${lines}${result.answer === '' ? '' : `\n${printable(result.answer)}\n`}`);
        if (!result.ok) throw new Error(`${row.url} did not take the delivery`);
      }),
    'webhooks test 0b8f7a52-3c1e-4d8e-9a5e-2f1f6f3f7c11',
  );
}

function addEnable(webhooks: Command, context: CliContext): void {
  examples(
    webhooks
      .command('enable')
      .description('Make a disabled endpoint active again')
      .argument('<id>', 'as listed')
      .addOption(jsonOption())
      .action(async (id: string, options: JsonOptions) => {
        const { row, resumed } = await withDatabase(context, async pool => {
          const row = await enableWebhook(pool, id);
          return { row, resumed: await resumeParked(pool, row.id) };
        });
        const due = resumed > 0 ? ` ${resumed} deliveries that were parked are due.` : '';
        print(context, options, { ...row, resumed }, `${row.url} of ${row.owner ?? 'nobody'} is active.${due}\n`);
        const rest = 'What was given up is not sent by itself, and events of the meantime were not kept for it';
        note(context, options, `${rest}; see: smtp-relay webhooks replay --help`);
      }),
    'webhooks enable 0b8f7a52-3c1e-4d8e-9a5e-2f1f6f3f7c11',
  );
}

function addDelete(webhooks: Command, context: CliContext): void {
  examples(
    webhooks
      .command('delete')
      .description('Remove an endpoint with its deliveries')
      .argument('<id>', 'as listed')
      .addOption(yesOption())
      .addOption(jsonOption())
      .action(async (id: string, options: JsonOptions & ConfirmOptions) => {
        await confirm(context, options, `Delete the webhook ${printable(id)} with its deliveries`);
        const row = await withDatabase(context, pool => deleteWebhook(pool, id));
        print(context, options, row, `Deleted ${row.url} of ${row.owner ?? 'nobody'}.\n`);
      }),
    'webhooks delete 0b8f7a52-3c1e-4d8e-9a5e-2f1f6f3f7c11',
  );
}

function describeEvents(events: readonly string[]): string {
  return events.includes(ALL_EVENTS) ? 'all' : events.join(', ');
}

/** Lets commander tell what is wrong with an argument. */
function argument<T>(parse: (text: string) => T): (text: string) => T {
  return text => {
    try {
      return parse(text);
    } catch (error) {
      throw error instanceof RangeError ? new InvalidArgumentError(`${error.message}.`) : error;
    }
  };
}
