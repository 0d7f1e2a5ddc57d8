import { stringify } from 'csv-stringify';
import {
  SUPPRESSION_REASONS,
  type Suppression,
  type SuppressionImport,
  suppressionAddress,
} from '../../store/owners/suppressions.ts';
import { type CsvRecord, readRecords } from './csv-records.ts';

type Reason = SuppressionImport['reason'];

/** What a line of the file says, or why it cannot be taken. */
export type CsvLine =
  | { readonly line: number; readonly row: SuppressionImport; readonly note?: string }
  | { readonly line: number; readonly problem: string };

export interface CsvDefaults {
  /** Whose list, where a line names nobody. */
  readonly owner?: string | undefined;
  /** The reason of all lines, whatever the file says. */
  readonly reason?: Reason | undefined;
}

type Field = 'email' | 'reason' | 'owner' | 'suppressedAt' | 'status';

/** Names of columns, ours and those in exports of others, as `plain` makes them. */
const NAMES: Readonly<Record<Field, readonly string[]>> = {
  email: ['email', 'emailaddress', 'address', 'recipient', 'recipientemail', 'subscriberemail', 'mail'],
  reason: ['reason', 'suppressionreason', 'type'],
  owner: ['owner', 'userid'],
  suppressedAt: [
    ...['suppressedat', 'createdat', 'created', 'date', 'time', 'timestamp', 'bouncedat', 'unsubscribedat'],
    ...['lastupdatetime', 'lastupdatedtime', 'lastupdated', 'cleantime', 'unsubtime'],
  ],
  status: ['status', 'code'],
};
const FIELDS: ReadonlyMap<string, Field> = new Map(
  Object.entries(NAMES).flatMap(([field, names]) => names.map(name => [name, field as Field] as const)),
);

const REASONS: ReadonlyMap<string, Reason> = new Map([
  ...SUPPRESSION_REASONS.map(reason => [reason, reason] as const),
  ...(['bounce', 'hardbounce', 'permanent', 'cleaned', 'blocked', 'invalid'] as const).map(
    name => [name, 'bounced'] as const,
  ),
  ...(['complaint', 'spamcomplaint', 'spam', 'spamreport', 'abuse'] as const).map(
    name => [name, 'complained'] as const,
  ),
  ...(['manualsuppression', 'unsubscribe', 'unsubscribed'] as const).map(name => [name, 'manual'] as const),
]);

/** What other words have in them: soft-bounce, BouncedByProvider, user_complained. The first that fits. */
const HINTS: readonly (readonly [RegExp, Reason])[] = [
  [/bounce/, 'bounced'],
  [/complain|spamreport|abuse/, 'complained'],
];
/** More words than that tell a story, which may have any word in it. */
const MAX_HINT_WORDS = 3;

/** The reply of a server, or its enhanced status code: 550 5.1.1, #5.1.1, 4.4.2. */
const SERVER_REPLY = /^[45]\d\d\b|(?:^|[^\d.])[45]\.\d{1,3}\.\d{1,3}(?![\d.])/;
const DELIMITERS = [',', ';', '\t', '|'];
/** How spreadsheets are told of the delimiter: before the header line. */
const SEPARATOR_LINE = /^"?sep=/i;
const MAX_QUOTED = 80;

type Named = Partial<Record<Field, string>>;
/** Finds in a record what we know. */
type Layout = (fields: readonly string[]) => Named;

/**
 * Reads a file of suppressions: a header line, then an address a line; or no header line, and lines with an address each. Columns
 * that are not known are passed over. What separates them, the first line tells: comma, semicolon, tab or bar.
 *
 * @throws Error in plain words where the file as a whole cannot be read
 */
export async function* readSuppressionsCsv(
  input: NodeJS.ReadableStream,
  defaults: CsvDefaults,
): AsyncGenerator<CsvLine> {
  let layout: Layout | undefined;
  for await (const record of readRecords(input, delimiterOf)) {
    if ('problem' in record) {
      yield record;
    } else if (layout === undefined && SEPARATOR_LINE.test(record.fields[0] ?? '')) {
      // Its own delimiter has cut it in two.
    } else if (layout === undefined && isHeader(record.fields)) {
      layout = headerLayout(record.fields);
    } else {
      layout ??= looseLayout;
      yield readRecord(record, layout(record.fields), defaults);
    }
  }
}

/** The lines of a file that `readSuppressionsCsv` reads, the header line first. Ends when its input does. */
export function suppressionsCsvWriter() {
  const columns: { key: keyof Suppression; header: string }[] = [
    { key: 'email', header: 'email' },
    { key: 'reason', header: 'reason' },
    { key: 'owner', header: 'owner' },
    { key: 'suppressedAt', header: 'suppressed_at' },
  ];
  return stringify({ header: true, columns, cast: { date: date => date.toISOString() } });
}

/** @throws Error where the first line is neither a header nor has an address */
function delimiterOf(line: string): string {
  const [, told] = /^\s*"?sep=([,;\t|])"?\s*$/i.exec(line) ?? [];
  if (told !== undefined) return told;
  const split = DELIMITERS.map(delimiter => ({ delimiter, fields: line.split(delimiter).map(unquoted) }));
  const named = split.filter(({ fields }) => isHeader(fields));
  const known = (fields: readonly string[]): number => fields.filter(name => FIELDS.has(plain(name))).length;
  const [best] = named.sort((one, other) => known(other.fields) - known(one.fields));
  const found = best ?? split.find(({ fields }) => fields.some(isAddress));
  if (found) return found.delimiter;
  const hint = /^\s*[[{]/.test(line) ? '; JSON is to be made CSV first, see docs/migration.md' : '';
  throw new Error(`the first line must name the columns, "email" among them, or be an address${hint}`);
}

function isHeader(fields: readonly string[]): boolean {
  return fields.some(name => FIELDS.get(plain(name)) === 'email');
}

function isAddress(text: string): boolean {
  return text.includes('@') && suppressionAddress(text) !== null;
}

function headerLayout(header: readonly string[]): Layout {
  const positions = new Map<Field, number>();
  for (const [position, name] of header.entries()) {
    const field = FIELDS.get(plain(name));
    if (field !== undefined && !positions.has(field)) positions.set(field, position);
  }
  const at = (fields: readonly string[], shift: number): Named =>
    Object.fromEntries([...positions].map(([field, position]) => [field, fields[position + shift] ?? '']));
  return fields => {
    const shift = fields.length - header.length;
    const read = at(fields, 0);
    // A text before the address has commas and no quotes: what stands behind it is counted from the end.
    return shift > 0 && !isAddress(read.email ?? '') ? at(fields, shift) : read;
  };
}

/** Without a header, as in a bare list, or what `aws --output text` prints: what looks like it is it. */
function looseLayout(fields: readonly string[]): Named {
  const email = fields.find(isAddress) ?? fields[0] ?? '';
  const others = fields.filter(field => field !== email);
  const reason = others.find(field => REASONS.has(plain(field))) ?? others.find(field => hintedReason(field)) ?? '';
  const suppressedAt = others.find(field => /^\d{4}-\d\d-\d\d/.test(field)) ?? '';
  return { email, reason, suppressedAt };
}

function readRecord({ line, note }: CsvRecord, named: Named, defaults: CsvDefaults): CsvLine {
  const { email: address = '', suppressedAt: since = '' } = named;
  const email = suppressionAddress(address);
  if (email === null) return { line, problem: `${quoted(address)} is not an email address` };
  const owner = named.owner || defaults.owner;
  if (!owner) return { line, problem: 'it names no owner, and neither does --owner' };
  if (owner.includes('\0')) return { line, problem: 'its owner has a NUL' };
  const { reason, remark } = readReason(named, defaults);
  const suppressedAt = since === '' ? null : readTime(since);
  const late =
    since !== '' && suppressedAt === null ? `${quoted(since)} is not a time, so it counts from now on` : null;
  const notes = [note, remark, late].filter(text => text !== null && text !== undefined);
  return { line, row: { owner, email, reason, suppressedAt }, ...(notes.length > 0 && { note: notes.join('; ') }) };
}

/** Everybody has words of their own for it. That an address must not be written to weighs more than why. */
function readReason(
  { reason: given = '', status = '' }: Named,
  defaults: CsvDefaults,
): { readonly reason: Reason; readonly remark?: string } {
  const known = defaults.reason ?? (given === '' ? 'manual' : REASONS.get(plain(given)));
  if (known !== undefined) return { reason: known };
  if (SERVER_REPLY.test(given) || SERVER_REPLY.test(status)) return { reason: 'bounced' };
  const reason = hintedReason(given) ?? 'manual';
  return { reason, remark: `the reason ${quoted(given)} is taken as ${reason}` };
}

function hintedReason(text: string): Reason | undefined {
  if (text.split(/\s+/).length > MAX_HINT_WORDS) return undefined;
  const word = plain(text);
  return HINTS.find(([pattern]) => pattern.test(word))?.[1];
}

function unquoted(text: string): string {
  return text.trim().replaceAll(/^"|"$/g, '');
}

/** `Suppression_Reason` and `suppression reason` are the same to everybody but a computer. */
function plain(name: string): string {
  return name.toLowerCase().replaceAll(/[\s_-]/g, '');
}

function quoted(text: string): string {
  return JSON.stringify(text.length > MAX_QUOTED ? `${text.slice(0, MAX_QUOTED)}…` : text);
}

/** A point in time without a zone, as databases print it. It is taken for UTC, as exports of mail providers mean it. */
const WITHOUT_ZONE = /^(\d{4}-\d\d-\d\d)[ T](\d\d:\d\d(?::\d\d(?:\.\d+)?)?)$/;
const DAY = /^(\d{4})-?(\d\d)-?(\d\d)$/;
/** Since 1970, in a unit that its number of digits tells: seconds, milliseconds, microseconds. */
const EPOCH = /^(\d{9,10}|\d{12,13}|\d{15,16})(?:\.\d+)?$/;
const UNITS: ReadonlyMap<number, number> = new Map([
  [10, 1_000],
  [13, 1],
  [16, 0.001],
]);
/** Other spellings of UTC that only some programs read. */
const UTC = /\s+(?:\+0000\s+)?UTC$/;

/** Reads a time as exports of other systems write it: ISO 8601, RFC 5322, or a number since 1970. @returns null for none */
function readTime(text: string): Date | null {
  const trimmed = text.trim();
  const date = new Date(readable(trimmed));
  return Number.isNaN(date.getTime()) ? null : date;
}

function readable(text: string): string | number {
  const [, epoch] = EPOCH.exec(text) ?? [];
  if (epoch !== undefined) {
    const digits = [10, 13, 16].find(count => count >= epoch.length) ?? 10;
    return Number(text) * (UNITS.get(digits) ?? 1);
  }
  const [, year, month, day] = DAY.exec(text) ?? [];
  if (year !== undefined) return `${year}-${month}-${day}T00:00:00Z`;
  // Any other number would be a year to this program, and something else to who wrote it.
  if (/^[\d.]*$/.test(text)) return Number.NaN;
  const [, date, time] = WITHOUT_ZONE.exec(text) ?? [];
  return date === undefined ? text.replace(UTC, ' GMT') : `${date}T${time}Z`;
}
