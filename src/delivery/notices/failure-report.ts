import { isAscii as isAsciiBytes } from 'node:buffer';
import { isAscii } from '../../message/addresses/address.ts';
import { toQuotedPrintable } from '../../message/mending/content.ts';

/** A recipient that a message will not reach. */
export interface FailedRecipient {
  readonly address: string;
  readonly action: 'failed';
  /** An enhanced status code (RFC 3463). */
  readonly status: string;
  /** What the other side said; `smtp` where it is a reply of SMTP. */
  readonly diagnostic: { readonly type: 'smtp' | 'x-opensend'; readonly text: string };
  /** Who refused it. */
  readonly remoteMta?: string;
}

export interface FailureNotice {
  /** The host name of whoever gives up. */
  readonly reportingMta: string;
  readonly original: {
    readonly emailId: string;
    readonly from: string;
    readonly subject: string;
    /** Its Message-ID with angle brackets; null where it has none. */
    readonly messageId: string | null;
    /** Its header section. */
    readonly header: Buffer;
    readonly acceptedAt: Date;
  };
  /** Whom the notice goes to. */
  readonly reversePath: string;
  /** The mailbox it comes from. */
  readonly from: string;
  /** Its own Message-ID with angle brackets; the boundary of its parts is made of `id`. */
  readonly messageId: string;
  readonly id: string;
  readonly recipients: readonly FailedRecipient[];
  readonly now: Date;
}

export const NOTICE_SUBJECT = 'Message not delivered';

const CRLF = '\r\n';
/** RFC 5322 section 2.1.1: what a line should have at most. */
const LINE = 78;

/** The notice of RFC 3464 as a message: for people, for programs, and the header section of what was not delivered. */
export function buildFailureNotice(notice: FailureNotice): Buffer {
  const boundary = `report-${notice.id}`;
  const { original } = notice;
  const header = [
    `From: Mail Delivery System <${notice.from}>`,
    `To: <${notice.reversePath}>`,
    `Subject: ${NOTICE_SUBJECT}`,
    `Date: ${dateOf(notice.now)}`,
    `Message-ID: ${notice.messageId}`,
    ...(original.messageId === null ? [] : [`In-Reply-To: ${original.messageId}`]),
    'Auto-Submitted: auto-replied',
    'MIME-Version: 1.0',
    'Content-Type: multipart/report; report-type=delivery-status;',
    ` boundary="${boundary}"`,
  ];
  const parts = [
    part('text/plain; charset=utf-8', Buffer.from(noticeText(notice))),
    part('message/delivery-status', Buffer.from(deliveryStatus(notice), 'latin1')),
    part('text/rfc822-headers', original.header),
  ];
  const chunks: Buffer[] = [Buffer.from(header.join(CRLF) + CRLF + CRLF)];
  for (const bytes of parts) chunks.push(Buffer.from(`--${boundary}${CRLF}`), bytes, Buffer.from(CRLF));
  return Buffer.concat([...chunks, Buffer.from(`--${boundary}--${CRLF}`)]);
}

/** What people read. */
export function noticeText({ original, recipients }: Pick<FailureNotice, 'original' | 'recipients'>): string {
  const lines = [
    'This message could not be delivered to everybody it was sent to, and will not be tried again.',
    '',
    `  Subject:  ${original.subject}`,
    `  From:     ${original.from}`,
    `  Accepted: ${dateOf(original.acceptedAt)}`,
    `  Id:       ${original.emailId}`,
    '',
    'It did not reach:',
    '',
    ...recipients.flatMap(({ address, diagnostic }) => [`  ${address}`, `    ${diagnostic.text}`, '']),
  ];
  return lines.join(CRLF);
}

/** RFC 3464 section 2: one group of fields for the message, and one for each recipient. */
function deliveryStatus({ reportingMta, original, recipients, now }: FailureNotice): string {
  const perMessage = [
    `Reporting-MTA: dns; ${reportingMta}`,
    `X-OpenSend-Email-Id: ${original.emailId}`,
    `Arrival-Date: ${dateOf(original.acceptedAt)}`,
  ];
  const perRecipient = recipients.map(({ address, action, status, diagnostic, remoteMta }) => [
    `Final-Recipient: ${typedAddress(address)}`,
    `Action: ${action}`,
    `Status: ${status}`,
    ...(remoteMta === undefined ? [] : [`Remote-MTA: dns; ${remoteMta}`]),
    fold(`Diagnostic-Code: ${diagnostic.type}; ${printable(diagnostic.text)}`),
    `Last-Attempt-Date: ${dateOf(now)}`,
  ]);
  return [perMessage, ...perRecipient].map(fields => fields.join(CRLF) + CRLF).join(CRLF);
}

/** RFC 6533 section 3: an address with other characters than ASCII is written in code points. */
function typedAddress(address: string): string {
  if (isAscii(address)) return `rfc822; ${address}`;
  const encoded = address.replaceAll(/[^\x21-\x7e]|[\\+=]/gu, character => {
    return `\\x{${character.codePointAt(0)?.toString(16).toUpperCase()}}`;
  });
  return `utf-8; ${encoded}`;
}

/** One part: in 7 bits as it is where that can be, else quoted-printable (RFC 6522 section 3 for header sections). */
function part(contentType: string, content: Buffer): Buffer {
  const encoded = isPlain(content) ? content : Buffer.concat([...toQuotedPrintable(content)]);
  const encoding = encoded === content ? '7bit' : 'quoted-printable';
  const header = `Content-Type: ${contentType}${CRLF}Content-Transfer-Encoding: ${encoding}${CRLF}${CRLF}`;
  return Buffer.concat([Buffer.from(header), encoded]);
}

/** RFC 5322 section 2.1.1: 998 characters a line, of ASCII. */
function isPlain(content: Buffer): boolean {
  return isAsciiBytes(content) && !/[^\r\n]{999}/.test(content.toString('latin1'));
}

/** A field of more than a line, broken at spaces (RFC 5322 section 2.2.3). */
function fold(field: string): string {
  const lines: string[] = [];
  for (const word of field.split(' ')) {
    const last = lines.at(-1);
    if (last !== undefined && last.length + word.length < LINE) lines[lines.length - 1] = `${last} ${word}`;
    else lines.push(lines.length === 0 ? word : ` ${word}`);
  }
  return lines.join(CRLF);
}

function printable(text: string): string {
  return text
    .replaceAll(/[^\x20-\x7e]+/g, '?')
    .replaceAll(/ +/g, ' ')
    .trim();
}

/** RFC 5322 section 3.3. */
function dateOf(date: Date): string {
  return date.toUTCString().replace(/GMT$/, '+0000');
}
