import { type Command, InvalidArgumentError, Option } from 'commander';
import { loadConfig } from '../../config/load.ts';
import { StoreError } from '../../postgres/errors.ts';
import { inTransaction } from '../../postgres/pool.ts';
import {
  addDomain,
  changeDomain,
  type Domain,
  type DomainChanges,
  listDomains,
  removeDomain,
} from '../../store/owners/domains.ts';
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
import { addDomainCheck, describeSetUp, setUpAtSes } from './ses.ts';

interface AddOptions extends JsonOptions {
  readonly owner: string;
  readonly region: string;
  readonly ses?: boolean;
  readonly mailFrom?: string;
}

interface SetOptions extends JsonOptions, DomainChanges {
  readonly owner?: string;
}

const COLUMNS: readonly Column<Domain>[] = [
  { title: 'ID', value: row => row.id },
  { title: 'OWNER', value: row => row.owner },
  { title: 'STATUS', value: row => row.status },
  { title: 'REGION', value: row => row.region },
  { title: 'NAME', value: row => row.name },
];

/** SES may send for it all the same: the worker reads region and configuration set from the row. */
const OPENSEND_DOMAINS =
  "OpenSend's dashboard manages the domains of this database: it shows no DKIM records for this one. Add domains there where SES does not know them yet.";

const NAME_OR_ID = 'its name, or its id as listed';
const OWNER_HELP = 'whose domain; needed where several owners have it';

export function addDomainsCommands(program: Command, context: CliContext): void {
  const domains = program.command('domains').description('Domains that an owner sends from');
  addAdd(domains, context);
  addDomainCheck(domains, context);
  addSet(domains, context);
  examples(
    domains
      .command('list')
      .description('List domains')
      .option('--owner <id>', "only this owner's")
      .addOption(jsonOption())
      .action(async (options: JsonOptions & { owner?: string }) => {
        const found = await withDatabase(context, pool => listDomains(pool, options.owner));
        print(context, options, found, table(COLUMNS, found));
      }),
    'domains list --owner acme',
  );
  examples(
    domains
      .command('remove')
      .description('Take a domain from its owner')
      .argument('<domain>', NAME_OR_ID)
      .option('--owner <id>', OWNER_HELP)
      .addOption(yesOption())
      .addOption(jsonOption())
      .action(async (name: string, options: JsonOptions & ConfirmOptions & { owner?: string }) => {
        await confirm(context, options, `Take the domain ${printable(name)} from its owner`);
        const row = await withDatabase(context, pool => removeDomain(pool, name, options.owner));
        print(context, options, row, `${row.name} is no longer a domain of ${row.owner ?? 'nobody'}.\n`);
        note(context, options, 'Running relays notice within 10 seconds.');
      }),
    'domains remove acme.test --owner acme',
  );
}

function addAdd(domains: Command, context: CliContext): void {
  examples(
    domains
      .command('add')
      .description("Make a domain one of an owner's, and with --ses one that SES sends for")
      .argument('<domain>')
      .requiredOption('--owner <id>', 'whose domain')
      .option('--region <region>', 'the SES region to send through', parseRegion, 'us-east-1')
      .option('--ses', 'create the identity at SES, and print the DNS records that it needs')
      .option('--mail-from <label>', 'with --ses: have bounces go to this name below the domain, such as bounce')
      .addOption(jsonOption())
      .action(async (name: string, options: AddOptions) => {
        if (options.mailFrom !== undefined && !options.ses) throw new StoreError('invalid', '--mail-from needs --ses');
        const { shared } = loadConfig(context.env, { checkTlsFiles: false, require: [] }).config.domains;
        await withDatabase(context, async pool => {
          const { owner, region } = options;
          const wanted = { name, owner, region, isExclusive: !shared };
          const row = await inTransaction(pool, db => addDomain(db, wanted));
          const human = `${row.name} is ${row.added ? 'now' : 'already'} a domain of ${row.owner}.\n`;
          if (row.added && (await pipelineOf(context, pool)) === 'opensend') note(context, options, OPENSEND_DOMAINS);
          if (!options.ses) return print(context, options, row, human);
          const setUp = await setUpAtSes(context, pool, row, options.mailFrom ?? null);
          print(context, options, { ...row, ...setUp }, describeSetUp(setUp));
          note(context, options, human.trimEnd());
          note(context, options, `When the records are set: smtp-relay domains check ${row.name}`);
        });
      }),
    'domains add acme.test --owner acme',
    'domains add bücher.example --owner acme --region eu-central-1',
    'domains add acme.test --owner acme --ses --mail-from bounce >> acme.test.zone',
  );
}

function addSet(domains: Command, context: CliContext): void {
  examples(
    domains
      .command('set')
      .description('Change how messages from a domain are sent; what is not named stays')
      .argument('<domain>', NAME_OR_ID)
      .option('--owner <id>', OWNER_HELP)
      .option('--track-opens', 'track opens, unless a message asks not to')
      .option('--no-track-opens', 'do not')
      .option('--track-clicks', 'track clicks, unless a message asks not to')
      .option('--no-track-clicks', 'do not')
      .option(
        '--tracking-subdomain <name>',
        'where links lead: a label below the domain, or a host name; none',
        noneToNull,
      )
      .option('--region <region>', 'the SES region to send through', parseRegion)
      .option('--configuration-set <name>', 'the SES configuration set to send with; none', parseConfigurationSet)
      .addOption(
        new Option('--tls <policy>', 'whether SES may deliver without TLS')
          .choices(['enforced', 'opportunistic', 'none'])
          .argParser(parseTls),
      )
      .addOption(jsonOption())
      .action(async (name: string, options: SetOptions) => {
        const { json: _, owner, ...named } = options;
        // Commander makes an empty text of a null that an option's parser returns.
        const changes = { ...named, ...(named.tls !== undefined && { tls: named.tls || null }) };
        if (Object.keys(changes).length === 0) throw new StoreError('invalid', 'say what to change; see --help');
        const row = await withDatabase(context, pool => changeDomain(pool, name, owner, changes));
        print(context, options, row, describeSettings(row));
        note(context, options, 'Running workers notice within 10 seconds.');
      }),
    'domains set acme.test --track-opens --track-clicks --tracking-subdomain links',
    'domains set acme.test --configuration-set production --tls enforced',
    'domains set acme.test --no-track-opens --tracking-subdomain none',
  );
}

function describeSettings(row: Domain): string {
  return details([
    ['Name', row.name],
    ['Owner', row.owner],
    ['Status', row.status],
    ['Region', row.region],
    ['Track opens', row.trackOpens ? 'yes' : 'no'],
    ['Track clicks', row.trackClicks ? 'yes' : 'no'],
    ['Tracking subdomain', row.trackingSubdomain],
    ['Configuration set', row.configurationSet],
    ['TLS', row.tls],
  ]);
}

function noneToNull(text: string): string | null {
  return text === 'none' ? null : text;
}

function parseConfigurationSet(text: string): string | null {
  if (!/^[A-Za-z0-9_-]{1,64}$/.test(text)) {
    throw new InvalidArgumentError('It must be letters, digits, _ and -, 64 at most, or none.');
  }
  return noneToNull(text);
}

function parseTls(text: string): 'enforced' | 'opportunistic' | null {
  if (text === 'none') return null;
  if (text !== 'enforced' && text !== 'opportunistic') {
    throw new InvalidArgumentError('It must be enforced, opportunistic or none.');
  }
  return text;
}

function parseRegion(text: string): string {
  if (!/^[a-z]{2,4}(-[a-z]+){1,3}-\d{1,2}$/.test(text)) {
    throw new InvalidArgumentError('It must be the name of an AWS region, such as us-east-1.');
  }
  return text;
}
