import { randomBytes } from 'node:crypto';
import type { QueuedRow, StoredAttachment } from './row.ts';

/** RFC 5322 3.6.8, which the worker holds names to. */
const NAME = /^[!-9;-~]+$/;
const BREAKS = /[\r\n\0]/;

/** Where a stored attachment has no type (contract: "attachments"; seen in a run of OpenSend's worker). */
const TYPES: Readonly<Record<string, string>> = {
  csv: 'text/csv',
  gif: 'image/gif',
  htm: 'text/html',
  html: 'text/html',
  jpeg: 'image/jpeg',
  jpg: 'image/jpeg',
  json: 'application/json',
  pdf: 'application/pdf',
  png: 'image/png',
  svg: 'image/svg+xml',
  txt: 'text/plain',
  webp: 'image/webp',
};

/** @throws Error where the worker fails for good (contract: "no CR, LF or NUL, else it fails for good") */
export function headerName(name: string): string {
  if (!NAME.test(name)) throw new Error(`not a header name: ${JSON.stringify(name)}`);
  return name;
}

/** @throws Error likewise */
export function headerValue(name: string, value: unknown): string {
  if (typeof value === 'string' && !BREAKS.test(value)) return value;
  throw new Error(`not a value for ${name}: ${JSON.stringify(value)}`);
}

/**
 * The message that the worker writes where a row has attachments (contract, "With attachments"): in UTF-8, nothing encoded,
 * nothing folded, `content` as it is stored.
 *
 * @throws Error for what it fails for good
 */
export function rawMessage(row: QueuedRow, headers: Readonly<Record<string, string>>): string {
  const boundary = `double-${randomBytes(12).toString('hex')}`;
  const fields: [string, string][] = [['From', row.from]];
  const addresses = { To: row.to, Cc: row.cc, Bcc: row.bcc };
  for (const [name, list] of Object.entries(addresses)) {
    // `Bcc:`, too: contract, "`Bcc:` recipients and attachments together". To is there even where it is empty.
    if (name === 'To' || list?.length) fields.push([name, (list ?? []).join(', ')]);
  }
  fields.push(['Subject', row.subject]);
  if (row.reply_to?.length) fields.push(['Reply-To', row.reply_to.join(', ')]);
  fields.push(...Object.entries(headers));
  const lines = fields.map(([name, value]) => `${headerName(name)}: ${headerValue(name, value)}`);
  lines.push('MIME-Version: 1.0', `Content-Type: multipart/mixed; boundary="${boundary}"`, '', `--${boundary}`);
  lines.push(...bodyPart(row));
  for (const attachment of row.attachments ?? []) lines.push(...attachmentPart(attachment, boundary));
  lines.push(`--${boundary}--`);
  return lines.join('\r\n');
}

/** Contract: "a body of `html` or else `text` (never both)"; "Both bodies empty gives malformed MIME". */
function bodyPart({ html, text }: QueuedRow): string[] {
  const body = html || text;
  if (!body) return [];
  const type = `text/${html ? 'html' : 'plain'}`;
  return [`Content-Type: ${type}; charset=UTF-8`, 'Content-Transfer-Encoding: 7bit', '', body];
}

function typeByName(filename: string): string | undefined {
  return TYPES[(/[^.]*$/.exec(filename)?.[0] ?? '').toLowerCase()];
}

/** One without a name or content does not go out. Contract: "A `content_id` makes the attachment `inline`". */
function attachmentPart({ filename, content, content_type, content_id }: StoredAttachment, boundary: string): string[] {
  if (typeof filename !== 'string' || typeof content !== 'string') return [];
  const name = headerValue('filename', filename).replaceAll(/["\\]/g, '_');
  const given = typeof content_type === 'string' && content_type !== '' ? content_type : null;
  const type = headerValue('Content-Type', given ?? typeByName(filename) ?? 'application/octet-stream');
  const id = typeof content_id === 'string' && content_id !== '' ? content_id.trim().replace(/^<(.*)>$/s, '$1') : null;
  return [
    `--${boundary}`,
    `Content-Type: ${type}; name="${name}"`,
    'Content-Transfer-Encoding: base64',
    ...(id === null ? [] : [`Content-ID: ${headerValue('Content-ID', `<${id}>`)}`]),
    `Content-Disposition: ${id === null ? 'attachment' : 'inline'}; filename="${name}"`,
    '',
    content,
  ];
}
