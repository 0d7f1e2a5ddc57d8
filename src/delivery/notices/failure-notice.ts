import { isAscii as isAsciiBytes } from 'node:buffer';
import { domainOf, isAscii, localPartOf, parseAddress } from '../../message/addresses/address.ts';
import { parseAddressList } from '../../message/addresses/address-list.ts';
import { sha256 } from '../../message/bytes.ts';
import {
  bodyOffset,
  fieldsNamed,
  firstValue,
  type HeaderField,
  readHeaderFields,
} from '../../message/header/fields.ts';
import { Refusal } from '../../message/refusal.ts';
import { newTrace } from '../../observability/tracing.ts';
import { newOrderedId } from '../../platform/uuid.ts';
import type { Claim } from '../../store/delivery/claims.ts';
import type { NewMessage } from '../../store/messages/new-message.ts';
import type { KeptOriginal } from '../originals.ts';
import { compose } from '../outgoing/compose.ts';
import { buildFailureNotice, type FailedRecipient, NOTICE_SUBJECT, noticeText } from './failure-report.ts';

/** Recipients that a message will not reach, all for the same reason. */
export interface Failed {
  readonly recipients: readonly string[];
  readonly error: { readonly code: string; readonly message: string };
}

/** Makes the notice to the sender of a message that failed for good (RFC 3464). */
export interface NoticeBuilder {
  /**
   * @returns a message that is to be stored and sent, of the same owner; null where nobody may or can be told
   * @throws the database's error where the message cannot be read
   */
  build(claim: Claim, failed: readonly Failed[]): Promise<NewMessage | null>;
}

export interface NoticeDependencies {
  /** The host name of this worker. */
  readonly reportingMta: string;
  /** The message as received, its header at least; null where it is not kept any more. */
  readonly readHeader: (original: KeptOriginal) => Promise<Buffer | null>;
}

export function createNoticeBuilder({ reportingMta, readHeader }: NoticeDependencies): NoticeBuilder {
  return {
    async build(claim, failed) {
      if (!mayBeNotified(claim.message.reversePath) || claim.message.userId === null) return null;
      const { sizeBytes, objectUrl } = claim.message;
      const raw = claim.message.raw ?? (await readHeader({ emailId: claim.emailId, sizeBytes, objectUrl }));
      if (raw === null) return null;
      const fields = readFields(raw);
      if (fields === null || !mayNotify({ reversePath: claim.message.reversePath, fields })) return null;
      return noticeFor({ claim, failed, raw, fields, reportingMta, now: new Date() });
    },
  };
}

/** null where the header cannot be read: what became of a message must not fail for want of a notice. */
function readFields(raw: Buffer): readonly HeaderField[] | null {
  try {
    return readHeaderFields(raw, raw.length);
  } catch (error) {
    if (error instanceof Refusal) return null;
    throw error;
  }
}

export interface Notifiable {
  /** Empty for the null reverse-path. */
  readonly reversePath: string;
  readonly fields: readonly HeaderField[];
}

/**
 * Whether a notice may be sent. RFC 5321 section 6.1: never for the null reverse-path, which is that of notices. RFC 3834
 * section 2: nor in answer to what a program has sent by itself, so that two programs never write to each other for ever.
 */
export function mayNotify({ reversePath, fields }: Notifiable): boolean {
  const is = (name: string, pattern: RegExp): boolean =>
    fieldsNamed(fields, name).some(({ value }) => pattern.test(value));
  if (!mayBeNotified(reversePath)) return false;
  if (is('auto-submitted', /^(?!\s*no\s*(;|\(|$))/i) || is('precedence', /^\s*(bulk|junk|list)\b/i)) return false;
  return !is('content-type', /^\s*multipart\/report\b/i) && !is('return-path', /^\s*<\s*>/);
}

function mayBeNotified(reversePath: string): boolean {
  return parseAddress(reversePath) !== null && localPartOf(reversePath).toLowerCase() !== 'mailer-daemon';
}

interface NoticeQuestion {
  readonly claim: Claim;
  readonly failed: readonly Failed[];
  /** The message as received, its header at least. */
  readonly raw: Buffer;
  readonly fields: readonly HeaderField[];
  readonly reportingMta: string;
  readonly now: Date;
}

/**
 * The notice as a message of the same owner: from the postmaster of the sender's domain, which the transport knows, and with the
 * null reverse-path, so that it is never answered itself.
 */
async function noticeFor(question: NoticeQuestion): Promise<NewMessage | null> {
  const { claim, raw, fields, reportingMta, now } = question;
  const { userId, reversePath, from, subject, acceptedAt } = claim.message;
  const [sender] = parseAddressList(firstValue(fields, 'from') ?? '').mailboxes;
  if (userId === null || sender === undefined) return null;
  const id = newOrderedId();
  const domain = domainOf(sender.address);
  const postmaster = `postmaster@${domain}`;
  const recipients = question.failed.flatMap(describeFailed);
  const composed = compose(raw, { emailId: claim.emailId, acceptedAt, fromDomain: domain });
  const original = {
    emailId: claim.emailId,
    from,
    subject,
    messageId: /<[^<>\s]{1,900}>/.exec(firstValue(fields, 'message-id') ?? '')?.[0] ?? null,
    header: composed.subarray(0, bodyOffset(composed)),
    acceptedAt,
  };
  const messageId = `<${id}@${domain}>`;
  const notice = { reportingMta, original, reversePath, from: postmaster, messageId, id, recipients, now };
  const report = buildFailureNotice(notice);
  return {
    id,
    userId,
    from: `Mail Delivery System <${postmaster}>`,
    to: [reversePath],
    cc: [],
    bcc: [],
    replyTo: [],
    subject: NOTICE_SUBJECT,
    text: noticeText(notice),
    html: null,
    headers: { 'Auto-Submitted': 'auto-replied' },
    attachments: [],
    attachmentsJson: null,
    tags: [],
    trace: newTrace(),
    messageId: messageId.slice(1, -1),
    original: {
      raw: report,
      sha256: await sha256(report),
      reversePath: '',
      recipients: [reversePath],
      bodyType: isAsciiBytes(report) ? '7bit' : '8bitmime',
      smtpUtf8: !isAscii(reversePath),
      trackOpens: false,
      trackClicks: false,
    },
    idempotency: null,
  };
}

function describeFailed({ recipients, error }: Failed): FailedRecipient[] {
  const isReply = /^[2-5]\d\d$/.test(error.code);
  const diagnostic = { type: isReply ? 'smtp' : 'x-opensend', text: diagnosticText(error) } as const;
  return recipients.map(address => ({ address, action: 'failed', status: statusOf(error), diagnostic }));
}

function diagnosticText({ code, message }: Failed['error']): string {
  return message.startsWith(code) ? message : `${code} ${message}`;
}

/** RFC 3463: what was said, if it was said for good; a temporary fault became one as the time ran out (X.4.7). */
function statusOf({ code, message }: Failed['error']): string {
  const said = /(?<![\d.])5\.\d{1,3}\.\d{1,3}(?![\d.])/.exec(`${code} ${message}`)?.[0];
  if (said !== undefined && !code.startsWith('4')) return said;
  return code.startsWith('4') ? '5.4.7' : '5.0.0';
}
