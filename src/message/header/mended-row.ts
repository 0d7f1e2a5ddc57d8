import { parseAddressList } from '../addresses/address-list.ts';
import { contentId, fileName, mediaType, namedContentIds } from '../mime/attachment-fields.ts';
import { rowMailbox } from './encoded-words.ts';
import { sendableHeaders } from './row-headers.ts';

/** What of an OpenSend row its worker hands to SES as it is stored. */
export interface RowContent {
  readonly from: string;
  readonly reply_to: readonly string[] | null;
  readonly html: string | null;
  readonly text: string | null;
  readonly headers: Readonly<Record<string, unknown>> | null;
  readonly attachments: readonly RowAttachment[] | null;
}

export interface RowAttachment {
  readonly filename?: string | null;
  /** Base64. */
  readonly content?: string | null;
  readonly content_type?: string | null;
  readonly content_id?: string | null;
}

/**
 * The content of a row that somebody else or an earlier version stored, as the relay stores it now: what SES refuses of it, and
 * what OpenSend's worker cannot write, is put right.
 *
 * @throws Refusal as `sendableHeaders`
 */
export function mendedRow({ from, reply_to, html, text, headers, attachments }: RowContent): RowContent {
  const fields = Object.entries(headers ?? {}).map(([name, value]) => {
    return { name, value: String(value), spaceBeforeColon: false };
  });
  const named = namedContentIds(html ?? '');
  return {
    from: mailbox(from),
    reply_to: reply_to?.map(mailbox) ?? null,
    html,
    text: text || html ? text : '\n',
    headers: sendableHeaders(fields, (attachments ?? []).length > 0).headers,
    attachments: attachments?.map(part => mendedAttachment(part, named)) ?? null,
  };
}

/** What cannot be read as one mailbox stays as it is: SES is to say what is wrong with it. */
function mailbox(text: string): string {
  const [first, ...others] = parseAddressList(text).mailboxes;
  return first && others.length === 0 ? rowMailbox(first) : text;
}

function mendedAttachment(part: RowAttachment, named: ReadonlySet<string>): RowAttachment {
  const id = contentId(part.content_id ?? '');
  return {
    ...part,
    filename: fileName(part.filename ?? '') || 'attachment',
    content: inLines(part.content ?? ''),
    content_type: mediaType(part.content_type ?? ''),
    content_id: id !== null && named.has(id) ? id : null,
  };
}

/** RFC 2045 section 6.8. SES takes 1,000 characters a line. */
const LONG_LINE = /[^\r\n]{77}/;

function inLines(base64: string): string {
  if (!LONG_LINE.test(base64)) return base64;
  return (base64.replaceAll(/\s+/g, '').match(/.{1,76}/g) ?? []).join('\r\n');
}
