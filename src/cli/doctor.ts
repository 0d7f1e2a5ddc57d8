import { styleText } from 'node:util';
import { type Command, InvalidArgumentError, Option } from 'commander';
import { type LoadedConfig, loadConfig } from '../config/load.ts';
import { ConfigError } from '../config/problem.ts';
import { CHECKS } from '../doctor/checks.ts';
import { type CheckReport, examine } from '../doctor/examine.ts';
import { type Finding, type FindingState, failed, type Role } from '../doctor/finding.ts';
import { type CliContext, examples, type JsonOptions, jsonOption, parseSpan, print, printable } from './command.ts';
import { localAddress, withDatabase } from './database.ts';
import { nameserverOption } from './domains/ses.ts';
import { CheckFailed } from './errors.ts';

interface DoctorOptions extends JsonOptions {
  readonly role?: Role;
  readonly host?: string;
  readonly name?: string;
  readonly timeout: number;
  readonly nameserver?: string;
  readonly only?: readonly string[];
  readonly skip?: readonly string[];
}

const NAMES = CHECKS.map(({ name }) => name);
const COLOURS = { ok: 'green', advice: 'yellow', failed: 'red', skipped: 'gray' } as const;
const WIDTH = 'skipped'.length;

export function addDoctorCommand(program: Command, context: CliContext): void {
  examples(
    program
      .command('doctor')
      .description(
        'Look at everything that an installation needs, side by side, and say what to do about what is wrong; exit code 1 where something is',
      )
      .addOption(
        new Option('--role <role>', 'whose needs; all of both unless given').choices(['relay', 'worker', 'all']),
      )
      .option('--host <host>', 'where the relay is asked; this machine unless given')
      .option('--name <name>', 'the name that clients have for the relay; --host or SMTP_RELAY_HOSTNAME unless given')
      .option('--timeout <time>', 'how long one check may take, such as 10s', parseTimeout, 10_000)
      .addOption(nameserverOption())
      .option('--only <checks...>', `only these of: ${NAMES.join(', ')}`, parseName)
      .option('--skip <checks...>', 'all but these', parseName)
      .addOption(jsonOption())
      .action(async (options: DoctorOptions) => {
        const reports = await look(context, options);
        const findings = reports.flatMap(report => report.findings);
        const count = (state: FindingState) => findings.filter(finding => finding.state === state).length;
        const isWell = count('failed') === 0;
        print(context, options, { ok: isWell, checks: reports }, render(context, findings));
        if (!isWell) throw new CheckFailed(`${count('failed')} of ${findings.length} findings are faults`);
      }),
    'doctor',
    'doctor --role relay --host smtp.acme.test',
    'doctor --skip ports readiness',
    'doctor --json | jq \'.checks[].findings[] | select(.state == "failed")\'',
  );
}

async function look(context: CliContext, options: DoctorOptions): Promise<CheckReport[]> {
  const loaded = load(context);
  if (loaded instanceof ConfigError) return [{ check: 'configuration', milliseconds: 0, findings: problemsOf(loaded) }];
  const { config, settings, warnings } = loaded;
  const role = options.role ?? (config.pipeline === 'standalone' ? 'all' : 'relay');
  const host = options.host ?? localAddress(config.host);
  const clientName = options.name ?? options.host ?? (config.hostname || null);
  const { only, skip = [], nameserver, timeout: timeLimit } = options;
  const isWanted = (name: string) => !skip.includes(name) && (only?.includes(name) ?? true);
  return withDatabase(
    context,
    db => examine({ config, settings, warnings, role, host, clientName, nameserver, db }, { timeLimit, isWanted }),
    { poolSize: 3 },
  );
}

function load({ env }: CliContext): LoadedConfig | ConfigError {
  try {
    return loadConfig(env);
  } catch (error) {
    if (error instanceof ConfigError) return error;
    throw error;
  }
}

function problemsOf({ problems }: ConfigError): Finding[] {
  return problems.map(({ setting, source, why, fix }) => failed(setting, `${why} (${source})`, fix));
}

function render({ stdout }: CliContext, findings: readonly Finding[]): string {
  return findings
    .map(({ state, what, detail, remedy }) => {
      const word = colour(stdout, COLOURS[state], state.padEnd(WIDTH));
      const lines = [`${word}  ${printable(`${what}: ${detail}`).replaceAll('\n', ' ')}`];
      if (remedy !== undefined) lines.push(`${' '.repeat(WIDTH)}  -> ${printable(remedy)}`);
      return lines.map(line => `${line}\n`).join('');
    })
    .join('');
}

/** On a terminal only, and where NO_COLOR does not ask for none. */
function colour(stream: NodeJS.WritableStream, name: (typeof COLOURS)[FindingState], text: string): string {
  return styleText(name, text, { stream: stream as NodeJS.WriteStream });
}

function parseTimeout(text: string): number {
  const time = parseSpan(text);
  if (time === null || time === 0 || time > 600_000) throw new InvalidArgumentError('It must be a time such as 10s.');
  return time;
}

function parseName(text: string, before: readonly string[] = []): string[] {
  if (!NAMES.includes(text)) throw new InvalidArgumentError(`It must be one of ${NAMES.join(', ')}.`);
  return [...before, text];
}
