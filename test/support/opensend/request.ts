import type { EmailContent, SendEmailCommandInput } from '@aws-sdk/client-sesv2';
import { headerName, headerValue, rawMessage } from './raw-message.ts';
import type { QueuedRow, SenderDomain, StoredAttachment } from './row.ts';

/** Contract: "one of its own, `X-Entity-ID` (it replaces one of the row's)". */
const ENTITY_ID = 'X-Entity-ID';
/** Contract, "Replies": 40 MB after Base64, white space not counted. */
const MAX_ATTACHMENTS = 41_943_040;

/**
 * What OpenSend's worker asks of SES for a row (contract, "What the worker makes of a row").
 *
 * @throws Error for a row that it cannot make a request of
 */
export function requestOf(row: QueuedRow, { configurationSet }: SenderDomain): SendEmailCommandInput {
  const headers = headersOf(row);
  const attached = (row.attachments ?? []).some(isComplete);
  checkSize(row.attachments ?? []);
  return {
    FromEmailAddress: row.from,
    Destination: {
      ToAddresses: [...row.to],
      ...(row.cc && { CcAddresses: [...row.cc] }),
      ...(row.bcc && { BccAddresses: [...row.bcc] }),
    },
    Content: attached ? { Raw: { Data: Buffer.from(rawMessage(row, headers)) } } : simpleContent(row, headers),
    ...(!attached && row.reply_to && { ReplyToAddresses: [...row.reply_to] }),
    EmailTags: [{ Name: ENTITY_ID, Value: row.id }],
    ...(configurationSet && { ConfigurationSetName: configurationSet }),
  };
}

function headersOf({ id, headers }: QueuedRow): Record<string, string> {
  const others = Object.entries(headers ?? {}).filter(([name]) => name.toLowerCase() !== ENTITY_ID.toLowerCase());
  return { ...Object.fromEntries(others), [ENTITY_ID]: id };
}

/** Contract, "Without attachments". An empty body counts as none. */
function simpleContent({ subject, html, text }: QueuedRow, headers: Readonly<Record<string, string>>): EmailContent {
  return {
    Simple: {
      Subject: { Data: subject },
      Body: { ...(html && { Html: { Data: html } }), ...(text && { Text: { Data: text } }) },
      Headers: Object.entries(headers).map(([name, value]) => ({
        Name: headerName(name),
        Value: headerValue(name, value),
      })),
    },
  };
}

function isComplete({ filename, content }: StoredAttachment): boolean {
  return typeof filename === 'string' && typeof content === 'string';
}

function checkSize(attachments: readonly StoredAttachment[]): void {
  const sizes = attachments.filter(isComplete).map(({ content }) => String(content).replaceAll(/\s/g, '').length);
  const size = sizes.reduce((sum, length) => sum + length, 0);
  if (size > MAX_ATTACHMENTS) throw new Error(`attachments of ${size} bytes after Base64`);
}
