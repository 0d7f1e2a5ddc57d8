import type { SendEmailRequest } from '../mailbox.ts';
import type { SesError } from '../ses-error.ts';
import { readAddresses } from './addresses.ts';
import { rawFault } from './raw.ts';
import { badRequest, firstFault } from './refused.ts';
import { simpleFault } from './simple.ts';

/** SES quotas: "50 recipients per message. A recipient is any To, CC, or BCC address". */
const MAX_RECIPIENTS = 50;
/** SES API v2 reference, "SendEmail": EmailTags, 0 to 50. */
const MAX_TAGS = 50;
/** SES API v2 reference, "MessageTag": letters, digits, `_` and `-`, "no more than 256 characters". */
const TAG = /^[A-Za-z0-9_-]{1,256}$/;
/** RFC 3696, erratum 1690, as a mailbox of the API: 64 characters, `@`, 255. */
const MAX_ADDRESS = 320;

/**
 * What AWS documents as refused. Pure: it knows nothing of identities, configuration sets and rates (`Account.admit`).
 *
 * @returns null where SES takes the request
 */
export function refuseRequest(request: SendEmailRequest): SesError | null {
  const { Content, FromEmailAddress, ReplyToAddresses = [], FeedbackForwardingEmailAddress } = request;
  const { ToAddresses = [], CcAddresses = [], BccAddresses = [] } = request.Destination ?? {};
  const recipients = [...ToAddresses, ...CcAddresses, ...BccAddresses];
  const fault = firstFault([
    () => contentFault(request),
    () => (recipients.length > MAX_RECIPIENTS ? `Recipient count exceeds ${MAX_RECIPIENTS}.` : null),
    () => recipientsFault(request, recipients),
    ...[...recipients, FeedbackForwardingEmailAddress ?? null].map(entry => () => addressFault(entry)),
    // "This is required for Simple and Templated content": Raw has its From.
    () => (Content?.Simple && !FromEmailAddress ? `Missing required header 'From'.` : null),
    () => addressFault(FromEmailAddress ?? null),
    ...ReplyToAddresses.map(entry => () => addressFault(entry)),
    () => tagsFault(request.EmailTags ?? []),
    () => bodyFault(request),
  ]);
  return fault === null ? null : badRequest(fault);
}

/** SES API v2 reference, "EmailContent": a request has one of them. */
function contentFault({ Content }: SendEmailRequest): string | null {
  const given = [Content?.Raw, Content?.Simple].filter(Boolean).length;
  if (given === 0) return 'Raw content is missing.';
  return given > 1 ? 'Only one kind of content may be given.' : null;
}

/** With raw content and no Destination, SES sends to those that the message names. */
function recipientsFault({ Content }: SendEmailRequest, recipients: readonly string[]): string | null {
  return recipients.length > 0 || Content?.Raw ? null : `Missing required header 'To'.`;
}

function addressFault(entry: string | null): string | null {
  if (entry === null) return null;
  const { addresses, fault } = readAddresses(entry);
  if (fault !== null) return fault;
  if (addresses.length !== 1) return `Missing final '@domain'`;
  return (addresses[0]?.length ?? 0) > MAX_ADDRESS ? `Address length is more than ${MAX_ADDRESS}.` : null;
}

function tagsFault(tags: readonly { readonly Name: string; readonly Value: string }[]): string | null {
  if (tags.length > MAX_TAGS) return 'Too many message tags.';
  if (tags.some(({ Name, Value }) => !TAG.test(Name) || !TAG.test(Value))) return 'Invalid message tag.';
  return new Set(tags.map(({ Name }) => Name)).size < tags.length ? 'Duplicate message tag name.' : null;
}

function bodyFault({ Content }: SendEmailRequest): string | null {
  if (Content?.Simple) return simpleFault(Content.Simple);
  const data = Content?.Raw?.Data;
  return data ? rawFault(Buffer.from(data, 'base64')) : 'Raw content is missing.';
}
