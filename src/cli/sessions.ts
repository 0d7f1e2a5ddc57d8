import type { Command } from 'commander';
import type pg from 'pg';
import { clientNetwork } from '../platform/networks.ts';
import { StoreError } from '../postgres/errors.ts';
import { adviceOn } from '../smtp/session/advice.ts';
import { findSession, type KeptSession, listSessions, type SessionLine } from '../store/sessions/sessions.ts';
import {
  type CliContext,
  type Column,
  details,
  examples,
  type JsonOptions,
  jsonOption,
  parseCount,
  parseSince,
  print,
  printable,
  table,
} from './command.ts';
import { withDatabase } from './database.ts';
import { keyIdOf, keyOption } from './key-option.ts';

interface WhichOptions extends JsonOptions {
  readonly key?: string;
  readonly client?: string;
}

interface ListOptions extends WhichOptions {
  readonly since?: Date;
  readonly limit: number;
}

const COLUMNS: readonly Column<KeptSession>[] = [
  { title: 'ID', value: session => session.id },
  { title: 'LAST', value: session => session.lastAt },
  { title: 'CLIENT', value: session => session.clientAddress },
  { title: 'STEP', value: session => session.step },
  { title: 'REFUSED', value: session => session.refusals },
  { title: 'REPLY', value: session => session.reply },
];

/** Of whom: both commands have it. */
const whose = (command: Command): Command =>
  command
    .addOption(keyOption().conflicts('client'))
    .option('--client <address>', 'of this client address; one that has not logged in is found by it alone');

export function addSessionsCommands(program: Command, context: CliContext): void {
  const sessions = program
    .command('sessions')
    .description('Sessions of clients in which something was refused or deferred, of the last day');
  examples(
    whose(sessions.command('list'))
      .description('List them, newest first')
      .option('--since <time>', 'only those since: ISO 8601, or an age such as 15m, 24h', parseSince)
      .option('--limit <count>', 'at most so many', parseCount, 50)
      .addOption(jsonOption())
      .action(async (options: ListOptions) => {
        const found = await withDatabase(context, pool => find(pool, options));
        print(context, options, found, table(COLUMNS, found));
      }),
    'sessions list --key "Billing server"',
    'sessions list --client 192.0.2.7 --since 15m',
  );
  examples(
    whose(sessions.command('show'))
      .description('Show what was said in one, why it was refused, and what to change in the client')
      .argument('[id]', 'as listed and as in the log; the newest of the key or client unless given')
      .addOption(jsonOption())
      .action(async (id: string | undefined, options: WhichOptions) => {
        const session = await withDatabase(context, pool => findOne(pool, id, options));
        print(context, options, { ...session, ...adviceOn(session.rule) }, describe(session));
      }),
    'sessions show --key "Billing server"',
    'sessions show 5d1c0a9be2f64e7d',
  );
}

async function find(pool: pg.Pool, { key, client, since, limit }: ListOptions): Promise<KeptSession[]> {
  if (key !== undefined) return listSessions(pool, { subject: await keyIdOf(pool, key), since, limit });
  if (client === undefined) return listSessions(pool, { since, limit });
  const ofAddress = await listSessions(pool, { clientAddress: client.trim(), since, limit });
  return ofAddress.length > 0 ? ofAddress : listSessions(pool, { subject: clientNetwork(client.trim()), since, limit });
}

async function findOne(pool: pg.Pool, id: string | undefined, options: WhichOptions): Promise<KeptSession> {
  if (id === undefined && options.key === undefined && options.client === undefined) {
    throw new StoreError('invalid', 'say which: an id, --key or --client');
  }
  const found = id === undefined ? (await find(pool, { ...options, limit: 1 }))[0] : await findSession(pool, id.trim());
  if (found) return found;
  throw new StoreError(
    'not-found',
    'no such session is kept: only those in which something was refused are, for a day, and written a second later',
  );
}

function describe(session: KeptSession): string {
  const { why, change } = adviceOn(session.rule);
  const facts = details([
    ['Id', session.id],
    ['Client', session.clientAddress],
    ['Key', session.subject === clientNetwork(session.clientAddress) ? 'none: it has not logged in' : session.subject],
    ['Pod', session.pod],
    ['Began', session.beganAt],
    ['Refused', `${session.refusals}, last at ${session.step} (${session.rule})`],
    ['Reply', session.reply],
  ]);
  return `${facts}\nWhy:     ${why}\nChange:  ${change}\n\n${session.lines.map(lineOf).join('')}`;
}

/** A line of a transcript: when, who, what. */
export function lineOf([at, by, text]: SessionLine): string {
  return `${`${(at / 1000).toFixed(3)} s`.padStart(12)}  ${by}  ${printable(text).replaceAll('\n', ' ')}\n`;
}
