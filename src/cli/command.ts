import { type Command, InvalidArgumentError, Option } from 'commander';
import type { LoadPages } from '../http/pages.ts';
import type { Logger } from '../observability/log.ts';

/* Commands share this: what they have of the process, their options, and how they answer. */

/** What a command has of the process it runs in. */
export interface CliContext {
  readonly env: NodeJS.ProcessEnv;
  /** For what is piped in, and for answers to questions. */
  readonly stdin: NodeJS.ReadableStream;
  /** For what the command answers: tables, or one JSON document. */
  readonly stdout: NodeJS.WritableStream;
  /** For what people read beside the answer: notes, errors. */
  readonly stderr: NodeJS.WritableStream;
  /** From now on, being asked to end (SIGTERM, Ctrl-C) aborts this signal; until then it ends the process. */
  readonly takeSignals: () => AbortSignal;
  /** From now on, SIGHUP calls this and does not end the process. */
  readonly onHangUp: (listener: () => void) => void;
  /** From now on, errors that nobody caught are logged here, and the process goes on. */
  readonly surviveFaults: (logger: Logger) => void;
  /** Where the pages of a server come from; those that are built already unless given. */
  readonly loadPages?: LoadPages;
}

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

export interface Column<T> {
  readonly title: string;
  readonly value: (row: T) => string | number | boolean | Date | null | undefined;
}

const GAP = '  ';
const MAX_CELL = 60;

/** Rows for people: a title line, columns as wide as they need. The last column should be the one that varies most. */
export function table<T>(columns: readonly Column<T>[], rows: readonly T[]): string {
  const lines = [
    columns.map(column => column.title),
    ...rows.map(row => columns.map(column => cell(column.value(row)))),
  ];
  const widths = columns.map((_, index) => Math.max(...lines.map(line => line[index]?.length ?? 0)));
  const padded = lines.map(line => line.map((text, index) => text.padEnd(widths[index] ?? 0)).join(GAP));
  return padded.map(line => `${line.trimEnd()}\n`).join('');
}

/** `name: value` lines of one thing, names aligned. */
export function details(entries: readonly (readonly [name: string, value: unknown])[]): string {
  const width = Math.max(...entries.map(([name]) => name.length)) + 1;
  return entries.map(([name, value]) => `${`${name}:`.padEnd(width)} ${printable(text(value))}\n`).join('');
}

/** The answer of a command: one JSON document where asked for, the text for people otherwise. */
export function print(context: CliContext, options: { readonly json?: boolean }, data: unknown, human: string): void {
  context.stdout.write(options.json ? `${JSON.stringify(data, null, 2)}\n` : human);
}

/** A remark for people; never part of the answer. */
export function note(context: CliContext, options: { readonly json?: boolean }, remark: string): void {
  if (!options.json) context.stderr.write(`${remark}\n`);
}

function cell(value: unknown): string {
  const shown = printable(text(value)).replaceAll('\n', ' ');
  return shown.length > MAX_CELL ? `${shown.slice(0, MAX_CELL - 1)}…` : shown;
}

function text(value: unknown): string {
  if (value === null || value === undefined || value === '') return '-';
  if (value instanceof Date) return value.toISOString();
  return Array.isArray(value) ? value.join(', ') || '-' : String(value);
}

/** Subjects and names come from strangers: what would steer a terminal, or reorder its text, is made visible. */
export function printable(shown: string): string {
  return shown.replaceAll(/[\p{Cc}\u2028-\u202e\u2066-\u2069]/gu, char =>
    char === '\n' || char === '\t' ? char : `\\u{${char.codePointAt(0)?.toString(16)}}`,
  );
}
