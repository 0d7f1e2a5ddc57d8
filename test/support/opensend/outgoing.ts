import { type EmailAddress, simpleParser } from 'mailparser';
import type { ReceivedMessage } from '../ses/mailbox.ts';

/** A message as SES sends it on, in one shape for simple and for raw content, so that a test can say what it meant. */
export interface OutgoingMail {
  readonly kind: 'simple' | 'raw';
  /** `name <address>`, decoded. */
  readonly from: string;
  readonly to: readonly string[];
  readonly cc: readonly string[];
  readonly bcc: readonly string[];
  readonly replyTo: readonly string[];
  readonly subject: string;
  /** What the row's `headers` became, in their order; names in lower case, values decoded. */
  readonly headers: Readonly<Record<string, string>>;
  readonly text: string | null;
  readonly html: string | null;
  readonly attachments: readonly OutgoingAttachment[];
}

export interface OutgoingAttachment {
  readonly filename: string | null;
  readonly contentType: string;
  readonly disposition: string | null;
  readonly contentId: string | null;
  readonly content: Buffer;
}

/** Fields that SES or OpenSend's worker writes of its own. */
const WRITTEN = ['bcc', 'cc', 'content-type', 'from', 'mime-version', 'reply-to', 'subject', 'to', 'x-entity-id'];

/** Shows what SES was given. */
export async function outgoingMail(message: ReceivedMessage): Promise<OutgoingMail> {
  const { ToAddresses = [], CcAddresses = [], BccAddresses = [] } = message.destination ?? {};
  const { from } = await simpleParser(`From: ${message.fromEmailAddress}\r\n\r\n`);
  const addresses = {
    from: (from?.value ?? []).map(show).join(', '),
    to: ToAddresses,
    cc: CcAddresses,
    bcc: BccAddresses,
  };
  return message.simple ? { ...addresses, ...ofSimple(message) } : { ...addresses, ...(await ofRaw(message.raw)) };
}

function ofSimple({ simple, replyTo }: ReceivedMessage) {
  const headers = (simple?.Headers ?? []).map(({ Name = '', Value = '' }) => [Name.toLowerCase(), Value] as const);
  return {
    kind: 'simple' as const,
    replyTo,
    subject: simple?.Subject?.Data ?? '',
    headers: Object.fromEntries(headers.filter(([name]) => !WRITTEN.includes(name))),
    text: simple?.Body?.Text?.Data ?? null,
    html: simple?.Body?.Html?.Data ?? null,
    attachments: [],
  };
}

async function ofRaw(raw: Buffer) {
  const parsed = await simpleParser(raw, { skipHtmlToText: true, skipTextToHtml: true, skipImageLinks: true });
  const lines = parsed.headerLines.filter(({ key }) => !WRITTEN.includes(key));
  const replyTo = parsed.replyTo?.value ?? [];
  return {
    kind: 'raw' as const,
    replyTo: replyTo.map(show),
    subject: parsed.subject ?? '',
    headers: Object.fromEntries(lines.map(({ key, line }) => [key, line.slice(line.indexOf(':') + 1).trim()])),
    text: parsed.text ?? null,
    html: parsed.html || null,
    attachments: parsed.attachments.map(({ filename, contentType, contentDisposition, contentId, content }) => ({
      filename: filename ?? null,
      contentType,
      disposition: contentDisposition ?? null,
      contentId: contentId ?? null,
      content,
    })),
  };
}

function show({ name, address = '' }: EmailAddress): string {
  return name === '' ? address : `${name} <${address}>`;
}
