import { contentRefusal, type Refusal } from '../refusal.ts';

/** SES API v2 reference, "RawMessage": 1,000 characters a line, its CRLF included. */
const MAX_LINE = 998;
const LF = 0x0a;

/** A message with attachments, as far as OpenSend's worker writes each of it into one line. */
export interface OneLineFields {
  readonly subject: string;
  readonly to: readonly string[];
  readonly cc: readonly string[];
  readonly bcc: readonly string[];
  readonly replyTo: readonly string[];
}

/** @throws Refusal 554 for a line that SES would refuse, which nothing in the row can make shorter */
export function refuseLongFields({ subject, to, cc, bcc, replyTo }: OneLineFields): void {
  if (Buffer.byteLength(`Subject: ${subject}`) > MAX_LINE) {
    throw tooLong(`a Subject may have ${MAX_LINE - 'Subject: '.length} bytes: shorten it`);
  }
  for (const [name, list] of Object.entries({ To: to, Cc: cc, Bcc: bcc, 'Reply-To': replyTo })) {
    if (`${name}: ${list.join(', ')}`.length > MAX_LINE) {
      throw tooLong(`all addresses of ${name} together may have ${MAX_LINE - 6} characters: send to fewer at a time`);
    }
  }
}

function tooLong(text: string): Refusal {
  return contentRefusal('field_length', `With attachments, ${text}`);
}

/**
 * A body without lines that SES refuses. A long one is broken where that is seen least: in HTML before the `>` of a tag, else at
 * a space, and between any two characters where there is neither, as in Chinese or in Base64 within HTML.
 */
export function breakLongLines(body: string, isHtml: boolean): string {
  if (!hasLongLine(body)) return body;
  return body
    .split('\n')
    .map(line => (hasLongLine(line) ? breakLine(line, isHtml) : line))
    .join('\n');
}

function hasLongLine(text: string): boolean {
  let bytes = 0;
  for (let index = 0; index < text.length; index += 1) {
    const unit = text.charCodeAt(index);
    bytes = unit === LF ? 0 : bytes + bytesOf(unit);
    if (bytes > MAX_LINE) return true;
  }
  return false;
}

/** Bytes in UTF-8 of one UTF-16 unit; each half of a pair has two of its four. */
function bytesOf(unit: number): number {
  if (unit < 0x80) return 1;
  return unit < 0x800 || (unit >= 0xd800 && unit <= 0xdfff) ? 2 : 3;
}

function breakLine(line: string, isHtml: boolean): string {
  const pieces: string[] = [];
  let start = 0;
  for (;;) {
    const end = endOfPiece(line, start);
    if (end === line.length) break;
    const { length, skipped } = placeToBreak(line.slice(start, end + 1), isHtml);
    pieces.push(line.slice(start, start + length));
    start += length + skipped;
  }
  return [...pieces, line.slice(start)].join('\n');
}

/** The offset behind the last character that fits in a line from `start`. */
function endOfPiece(line: string, start: number): number {
  let bytes = 0;
  for (let index = start; index < line.length; index += 1) {
    bytes += bytesOf(line.charCodeAt(index));
    if (bytes > MAX_LINE) return isLowSurrogate(line, index) ? index - 1 : index;
  }
  return line.length;
}

function isLowSurrogate(line: string, index: number): boolean {
  const unit = line.charCodeAt(index);
  return unit >= 0xdc00 && unit <= 0xdfff;
}

interface Place {
  /** Of the piece. */
  readonly length: number;
  /** 1 for a space that the break replaces. */
  readonly skipped: 0 | 1;
}

/** @param window what fits, and one character more */
function placeToBreak(window: string, isHtml: boolean): Place {
  const tag = isHtml ? endOfTag(window) : -1;
  if (tag > 0) return { length: tag, skipped: 0 };
  const space = window.lastIndexOf(' ');
  return space > 0 ? { length: space, skipped: 1 } : { length: window.length - 1, skipped: 0 };
}

/** The last `>` that closes a tag and neither a comment nor itself (`/>`); -1 where there is none. */
function endOfTag(window: string): number {
  for (let at = window.lastIndexOf('>'); at > 0; at = window.lastIndexOf('>', at - 1)) {
    if (/[\w"']/.test(window[at - 1] as string)) return at;
  }
  return -1;
}
