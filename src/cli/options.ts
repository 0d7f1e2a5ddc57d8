import { type Command, InvalidArgumentError, Option } from 'commander';

/** Every command with an answer has it. */
export function jsonOption(): Option {
  return new Option('--json', 'print one JSON document instead of a table');
}

export interface JsonOptions {
  readonly json?: boolean;
}

/** Adds examples to a command's help; each line is one, shown as typed. */
export function examples(command: Command, ...lines: readonly string[]): Command {
  return command.addHelpText('after', `\nExamples:\n${lines.map(line => `  $ smtp-relay ${line}`).join('\n')}`);
}

export function parseCount(text: string): number {
  const count = /^\d+$/.test(text) ? Number(text) : 0;
  if (count < 1 || count > 10_000) throw new InvalidArgumentError('It must be a number from 1 to 10000.');
  return count;
}

const UNITS: Readonly<Record<string, number>> = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** Milliseconds of a time such as `90s`, `15m`, `24h`, `7d`; null for any other text. */
export function parseSpan(text: string): number | null {
  const [, amount, unit] = /^(\d{1,6})([smhd])$/.exec(text) ?? [];
  return amount && unit ? Number(amount) * (UNITS[unit] ?? 0) : null;
}

/** A point in time: ISO 8601, or how long ago, as `parseSpan` reads it. */
export function parseSince(text: string): Date {
  const age = parseSpan(text);
  if (age !== null) return new Date(Date.now() - age);
  const date = new Date(text);
  if (!/^\d{4}-\d\d-\d\d/.test(text) || Number.isNaN(date.getTime())) {
    throw new InvalidArgumentError(
      'It must be a time such as 2026-01-31T08:00:00Z, or an age such as 90s, 15m, 24h, 7d.',
    );
  }
  return date;
}
