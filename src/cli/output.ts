import type { CliContext } from './context.ts';

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
