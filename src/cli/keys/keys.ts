import { type Command, Option } from 'commander';
import {
  type ApiKeyDetails,
  type ApiKeyListing,
  createKey,
  type KeyLimits,
  listKeys,
  PERMISSIONS,
  type Permission,
  revokeKey,
  showKey,
} from '../../store/keys/api-keys.ts';
import { blockKey, unblockKey } from '../../store/keys/blocked-keys.ts';
import { storedRestriction } from '../../store/keys/domain.ts';
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
import { pipelineOf, withDatabase } from '../database.ts';
import { addChaosCommand, chaosOf } from './chaos.ts';
import { addSandboxCommands, nameOf, REFERENCE, requireSandbox, SANDBOX } from './sandbox.ts';

interface CreateOptions extends JsonOptions {
  readonly owner: string;
  readonly name: string;
  readonly domain?: string;
  readonly permission: Permission;
  readonly key?: string;
  readonly sandbox?: boolean;
}

const COLUMNS: readonly Column<ApiKeyListing>[] = [
  { title: 'ID', value: key => key.id },
  { title: 'KEY', value: key => key.preview },
  { title: 'OWNER', value: key => key.owner },
  { title: 'DOMAIN', value: describeDomain },
  { title: 'PERMISSION', value: key => `${key.blocked ? 'blocked' : key.permission}${key.sandbox ? ', sandbox' : ''}` },
  { title: 'LAST USED', value: key => key.lastUsedAt ?? 'never' },
  { title: 'NAME', value: key => key.name },
];

export function addKeysCommands(program: Command, context: CliContext): void {
  const keys = program.command('keys').description('API keys, the passwords of SMTP clients');
  addCreate(keys, context);
  examples(
    keys
      .command('list')
      .description('List API keys; the keys themselves are not stored')
      .option('--owner <id>', "only this owner's")
      .addOption(jsonOption())
      .action(async (options: JsonOptions & { owner?: string }) => {
        const found = await withDatabase(context, pool => listKeys(pool, options.owner));
        print(context, options, found, table(COLUMNS, found));
      }),
    'keys list --owner acme',
    "keys list --json | jq -r '.[].id'",
  );
  examples(
    keys
      .command('show')
      .description('Show all that is known of an API key, but not the key itself, which is not stored')
      .argument('<key>', REFERENCE)
      .addOption(jsonOption())
      .action(async (reference: string, options: JsonOptions) => {
        const found = await withDatabase(context, pool => showKey(pool, reference));
        print(context, options, found, describeKey(found));
      }),
    'keys show "Billing server"',
    'keys show 0b8f7a52-3c1e-4d8e-9a5e-2f1f6f3f7c11 --json',
  );
  addSandboxCommands(keys, context);
  addChaosCommand(keys, context);
  addRevoke(keys, context);
  addUnblock(keys, context);
}

function addRevoke(keys: Command, context: CliContext): void {
  examples(
    keys
      .command('revoke')
      .description('Revoke an API key; sessions that are open with it stop within 10 seconds')
      .argument('<key>', REFERENCE)
      .option('--block', 'have it refused whatever documents and dashboards say, and leave its row; see keys unblock')
      .addOption(yesOption())
      .addOption(jsonOption())
      .action(async (reference: string, options: JsonOptions & ConfirmOptions & { block?: boolean }) => {
        await confirm(context, options, `${options.block ? 'Block' : 'Revoke'} the key ${printable(reference)}`);
        const end = options.block ? blockKey : revokeKey;
        const ended = await withDatabase(context, pool => end(pool, reference));
        print(context, options, ended, `${options.block ? 'Blocked' : 'Revoked'} ${nameOf(ended)}.\n`);
        note(context, options, 'Sessions that are open with it stop within 10 seconds.');
      }),
    'keys revoke "Billing server"',
    'keys revoke billing-server --block',
    'keys revoke 0b8f7a52-3c1e-4d8e-9a5e-2f1f6f3f7c11 --json',
  );
}

function addUnblock(keys: Command, context: CliContext): void {
  examples(
    keys
      .command('unblock')
      .description('Let an API key be used again that was blocked; it works within 10 seconds')
      .argument('<key>', REFERENCE)
      .addOption(jsonOption())
      .action(async (reference: string, options: JsonOptions) => {
        const key = await withDatabase(context, pool => unblockKey(pool, reference));
        print(
          context,
          options,
          key,
          key ? `Unblocked ${nameOf(key)}.\n` : 'Unblocked a key that does not exist now.\n',
        );
      }),
    'keys unblock billing-server',
  );
}

function addCreate(keys: Command, context: CliContext): void {
  examples(
    keys
      .command('create')
      .description('Create an API key and print it, this once')
      .requiredOption('--owner <id>', 'the owner (tenant), as in the user_id columns; any text')
      .option('--name <name>', 'a label to know it by', 'SMTP relay')
      .option('--domain <domain>', "restrict the From address to this domain; beside OpenSend one of the owner's there")
      .addOption(
        new Option('--permission <permission>', 'both may send').choices(PERMISSIONS).default('sending_access'),
      )
      .option('--key <key>', 'take this key over from elsewhere instead of making one')
      .option('--sandbox', SANDBOX)
      .addOption(jsonOption())
      .action(async (options: CreateOptions) => {
        const created = await withDatabase(context, async pool => {
          const pipeline = await pipelineOf(context, pool);
          if (options.sandbox) requireSandbox(pipeline);
          const domain =
            options.domain === undefined
              ? undefined
              : await storedRestriction(pool, pipeline, options.owner, options.domain);
          return createKey(pool, { ...options, domain });
        });
        const human = details([
          ['Key', created.key],
          ['Id', created.id],
          ['Owner', created.owner],
          ['Name', created.name],
          ['Domain', describeDomain(created)],
          ['Permission', created.permission],
          ...(created.sandbox ? [['Sandbox', 'yes: what it sends goes to nobody'] as const] : []),
        ]);
        print(context, options, created, human);
        note(context, options, 'Keep the key now: only its hash is stored, and it cannot be shown again.');
        if (created.blocked) note(context, options, 'It is blocked, and refused until: smtp-relay keys unblock');
      }),
    'keys create --owner acme --name "Billing server"',
    'keys create --owner acme --name "Web shop" --domain shop.acme.test',
    'keys create --owner acme --name "Staging app" --sandbox',
    'keys create --owner acme --name ci --json | jq -r .key',
  );
}

function describeKey(key: ApiKeyDetails): string {
  return details([
    ['Id', key.id],
    ['Name', key.name],
    ['Key', key.preview],
    ['Owner', key.owner ?? 'nobody, so that it is not valid'],
    ['Domain', describeDomain(key)],
    ['Permission', key.permission],
    ['Created', key.createdAt],
    ['Last used', key.lastUsedAt ?? 'never'],
    ['State', key.blocked ? 'blocked: refused until keys unblock' : 'active'],
    ...(key.sandbox ? [['Sandbox', 'yes: what it sends goes to nobody'] as const] : []),
    ...(key.chaos ? [['Chaos', chaosOf(key)] as const] : []),
    ['Limits', describeLimits(key.limits)],
    ['Declared by', key.declaredBy === null ? 'no document' : `SmtpCredential/${key.declaredBy}`],
  ]);
}

function describeDomain({ domain, domainId }: ApiKeyListing): string {
  return domain ?? (domainId === null ? 'any' : 'a domain that no longer exists');
}

function describeLimits(limits: KeyLimits | null): string {
  const declared = Object.entries(limits ?? {}).map(([name, limit]) => `${name} ${limit}`);
  return declared.join(', ') || 'as configured';
}
