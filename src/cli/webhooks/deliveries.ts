import { type Command, InvalidArgumentError, Option } from 'commander';
import { isUuid } from '../../platform/uuid.ts';
import { StoreError } from '../../postgres/errors.ts';
import {
  type DeliverySummary,
  listDeliveries,
  type ReplayFilter,
  replayDeliveries,
} from '../../store/webhooks/deliveries.ts';
import { findWebhook } from '../../store/webhooks/webhooks.ts';
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
  table,
} from '../command.ts';
import { withDatabase } from '../database.ts';

interface ListOptions extends JsonOptions {
  readonly webhook?: string;
  readonly owner?: string;
  readonly email?: string;
  readonly status?: string;
  readonly since?: Date;
  readonly limit: number;
}

type ReplayOptions = JsonOptions & Omit<ReplayFilter, 'ids'>;

const STATUSES = ['pending', 'success', 'failed', 'dead_letter', 'parked'];

const COLUMNS: readonly Column<DeliverySummary>[] = [
  { title: 'ID', value: row => row.id },
  { title: 'CREATED', value: row => row.createdAt },
  { title: 'STATUS', value: row => row.status },
  { title: 'TRIES', value: row => row.attempts },
  { title: 'NEXT TRY', value: row => row.nextTryAt },
  { title: 'EVENT', value: row => row.event },
  { title: 'EMAIL', value: row => row.emailId },
  { title: 'CODE', value: row => row.statusCode },
  { title: 'URL', value: row => row.url },
  { title: 'ANSWER', value: row => row.answer },
];

/** `webhooks deliveries` and `webhooks replay`. */
export function addDeliveriesCommands(webhooks: Command, context: CliContext): void {
  addList(webhooks, context);
  addReplay(webhooks, context);
}

function addList(webhooks: Command, context: CliContext): void {
  examples(
    webhooks
      .command('deliveries')
      .description('List deliveries, newest first')
      .option('--webhook <id>', "only this endpoint's", parseId)
      .option('--owner <id>', "only this owner's")
      .option('--email <id>', 'only those about this message', parseId)
      .addOption(new Option('--status <status>', 'only those with this status').choices(STATUSES))
      .option('--since <time>', 'only those made since: ISO 8601, or an age such as 15m, 24h, 7d', parseSince)
      .option('--limit <count>', 'at most so many', parseCount, 50)
      .addOption(jsonOption())
      .action(async (options: ListOptions) => {
        const found = await withDatabase(context, pool => listDeliveries(pool, options));
        print(context, options, found, table(COLUMNS, found));
      }),
    'webhooks deliveries --owner acme --status dead_letter --since 7d',
    'webhooks deliveries --email 0b8f7a52-3c1e-4d8e-9a5e-2f1f6f3f7c11 --json',
  );
}

function addReplay(webhooks: Command, context: CliContext): void {
  examples(
    webhooks
      .command('replay')
      .description('Try deliveries again that failed, at once and with all their tries before them')
      .argument('[delivery...]', 'their ids, as listed', collectIds)
      .option('--webhook <id>', "this endpoint's", parseId)
      .option('--owner <id>', "this owner's")
      .option('--since <time>', 'those made since: ISO 8601, or an age such as 15m, 24h, 7d', parseSince)
      .addOption(jsonOption())
      .action(async (ids: readonly string[], options: ReplayOptions) => {
        const { webhook, owner, since } = options;
        const filter = { ids: ids.length > 0 ? ids : undefined, webhook, owner, since };
        if (Object.values(filter).every(value => value === undefined)) {
          throw new StoreError('invalid', 'say which: ids of deliveries, --webhook, --owner or --since');
        }
        const replayed = await withDatabase(context, async pool => {
          if (webhook) requireActive(await findWebhook(pool, webhook));
          return replayDeliveries(pool, filter);
        });
        print(context, options, { replayed }, `${replayed} deliveries are due again.\n`);
        if (replayed === 0)
          note(context, options, 'Only those that failed, of endpoints that are active, are replayed.');
      }),
    'webhooks replay 0b8f7a52-3c1e-4d8e-9a5e-2f1f6f3f7c11',
    'webhooks replay --webhook 5d2a1f0e-8b1d-4a57-9f63-0c1e7d2b6a94 --since 24h',
  );
}

function requireActive({ id, status }: { readonly id: string; readonly status: string }): void {
  if (status === 'active') return;
  throw new StoreError('conflict', `the webhook is ${status}; first: smtp-relay webhooks enable ${id}`);
}

function parseId(text: string): string {
  if (!isUuid(text)) throw new InvalidArgumentError('It must be an id as listed.');
  return text;
}

function collectIds(text: string, before: readonly string[] | undefined): string[] {
  return [...(before ?? []), parseId(text)];
}
