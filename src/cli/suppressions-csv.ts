import { type Info, parse } from 'csv-parse';
import { stringify } from 'csv-stringify';
import {
  SUPPRESSION_REASONS,
  type Suppression,
  type SuppressionImport,
  suppressionAddress,
} from '../store/suppressions.ts';

type Reason = SuppressionImport['reason'];

/** What a line of the file says, or why it cannot be taken. */
export type CsvLine =
  | { readonly line: number; readonly row: SuppressionImport }
  | { readonly line: number; readonly problem: string };

export interface CsvDefaults {
  /** Whose list, where a line names nobody. */
  readonly owner?: string | undefined;
  /** The reason of all lines, whatever the file says. */
  readonly reason?: Reason | undefined;
}

type Field = 'email' | 'reason' | 'owner' | 'suppressedAt';

/** Names of columns, ours and those in exports of others (SES, Postmark, Mailgun, SendGrid, Resend), as `plain` makes them. */
const FIELDS: ReadonlyMap<string, Field> = new Map([
  ...(['email', 'emailaddress', 'address', 'recipient'] as const).map(name => [name, 'email'] as const),
  ...(['reason', 'suppressionreason', 'type'] as const).map(name => [name, 'reason'] as const),
  ...(['owner', 'userid'] as const).map(name => [name, 'owner'] as const),
  ...(['suppressedat', 'createdat', 'created', 'lastupdatetime'] as const).map(name => [name, 'suppressedAt'] as const),
]);

const REASONS: ReadonlyMap<string, Reason> = new Map([
  ...SUPPRESSION_REASONS.map(reason => [reason, reason] as const),
  ...(['bounce', 'hardbounce', 'permanent'] as const).map(name => [name, 'bounced'] as const),
  ...(['complaint', 'spamcomplaint', 'spam', 'spamreport'] as const).map(name => [name, 'complained'] as const),
  ...(['manualsuppression', 'unsubscribe', 'unsubscribed'] as const).map(name => [name, 'manual'] as const),
]);

const MAX_RECORD = 65_536;
const MAX_QUOTED = 80;

interface ParsedRecord {
  readonly record: Readonly<Partial<Record<Field, string>>>;
  readonly info: Info;
}

/**
 * Reads a file of suppressions: a header line, then an address a line. Columns that are not known are passed over; commas,
 * semicolons and tabs separate.
 *
 * @throws Error in plain words where the file as a whole cannot be read
 */
export async function* readSuppressionsCsv(
  input: NodeJS.ReadableStream,
  defaults: CsvDefaults,
): AsyncGenerator<CsvLine> {
  const parser = parse({
    bom: true,
    columns: fieldsOf,
    delimiter: [',', ';', '\t'],
    info: true,
    max_record_size: MAX_RECORD,
    relax_column_count: true,
    skip_empty_lines: true,
    trim: true,
  });
  input.on('error', error => parser.destroy(error));
  input.pipe(parser);
  for await (const { record, info } of parser as AsyncIterable<ParsedRecord>) {
    const read = readRecord(record, defaults);
    yield typeof read === 'string' ? { line: info.lines, problem: read } : { line: info.lines, row: read };
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

function fieldsOf(header: readonly string[]): (Field | false)[] {
  const seen = new Set<Field>();
  const fields = header.map(name => {
    const field = FIELDS.get(plain(name));
    if (field === undefined || seen.has(field)) return false;
    seen.add(field);
    return field;
  });
  if (!seen.has('email')) throw new Error('the first line must name the columns, "email" among them');
  return fields;
}

/** @returns the row, or what is wrong */
function readRecord(record: ParsedRecord['record'], defaults: CsvDefaults): SuppressionImport | string {
  const { email: address = '', reason: given = '', suppressedAt: since = '' } = record;
  const email = suppressionAddress(address);
  if (email === null) return `${quoted(address)} is not an email address`;
  const owner = record.owner || defaults.owner;
  if (!owner) return 'it names no owner, and neither does --owner';
  const reason = defaults.reason ?? (given === '' ? 'manual' : REASONS.get(plain(given)));
  if (reason === undefined) return `the reason ${quoted(given)} is none of ${SUPPRESSION_REASONS.join(', ')}`;
  const suppressedAt = since === '' ? null : new Date(since);
  if (suppressedAt && Number.isNaN(suppressedAt.getTime())) return `${quoted(since)} is not a time`;
  return { owner, email, reason, suppressedAt };
}

/** `Suppression_Reason` and `suppression reason` are the same to everybody but a computer. */
function plain(name: string): string {
  return name.toLowerCase().replaceAll(/[\s_-]/g, '');
}

function quoted(text: string): string {
  return JSON.stringify(text.length > MAX_QUOTED ? `${text.slice(0, MAX_QUOTED)}…` : text);
}
