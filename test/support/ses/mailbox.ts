import { randomBytes, randomUUID } from 'node:crypto';
import type { Caller } from './sigv4.ts';

/** A message that SES is to write itself. */
export interface SimpleContent {
  readonly Subject?: Content;
  readonly Body?: { readonly Html?: Content; readonly Text?: Content };
  readonly Headers?: readonly { readonly Name: string; readonly Value: string }[];
}

interface Content {
  readonly Data?: string;
  readonly Charset?: string;
}

/** What SendEmail is given, as far as it is used here. */
export interface SendEmailRequest {
  readonly FromEmailAddress?: string;
  readonly FeedbackForwardingEmailAddress?: string;
  readonly Destination?: {
    readonly ToAddresses?: readonly string[];
    readonly CcAddresses?: readonly string[];
    readonly BccAddresses?: readonly string[];
  };
  readonly ReplyToAddresses?: readonly string[];
  readonly Content?: { readonly Raw?: { readonly Data?: string }; readonly Simple?: SimpleContent };
  readonly EmailTags?: readonly { readonly Name: string; readonly Value: string }[];
  readonly ConfigurationSetName?: string;
}

/** A message that SES took. */
export interface ReceivedMessage {
  readonly messageId: string;
  /** Of the credential's scope. */
  readonly region: string;
  /** Of the key that signed the request. */
  readonly accessKeyId: string;
  readonly recipients: readonly string[];
  readonly destination: SendEmailRequest['Destination'];
  readonly replyTo: readonly string[];
  /** null where the content is raw. */
  readonly simple: SimpleContent | null;
  /** Empty where the content is simple. */
  readonly raw: Buffer;
  readonly tags: Readonly<Record<string, string>>;
  readonly configurationSet: string | null;
  readonly fromEmailAddress: string | null;
  readonly feedbackAddress: string | null;
  /** Milliseconds since 1970. */
  readonly at: number;
}

/** What is remembered of every message, when the messages themselves would be too many. */
export interface ReceivedNote {
  readonly emailId: string | null;
  readonly recipients: number;
  readonly bytes: number;
  readonly at: number;
}

export interface MailboxOptions {
  /** How many messages are kept with their bytes: the last ones. */
  readonly keep: number;
}

const MAX_NOTES = 1_000_000;

/** What the fake SES received. */
export class Mailbox {
  readonly messages: ReceivedMessage[] = [];
  readonly notes: ReceivedNote[] = [];
  readonly #keep: number;
  #count = 0;

  constructor({ keep }: MailboxOptions) {
    this.#keep = keep;
  }

  /** How many messages were received, kept or not. */
  get count(): number {
    return this.#count;
  }

  /** @returns the message's id */
  add(request: SendEmailRequest, { region, accessKeyId }: Caller): string {
    const messageId = `0100${randomBytes(6).toString('hex')}-${randomUUID()}-000000`;
    const at = Date.now();
    const recipients = recipientsOf(request);
    const data = request.Content?.Raw?.Data ?? '';
    const tags = Object.fromEntries((request.EmailTags ?? []).map(({ Name, Value }) => [Name, Value]));
    this.#count += 1;
    if (this.notes.length < MAX_NOTES) {
      const bytes = Buffer.byteLength(data, 'base64');
      this.notes.push({ emailId: tags['smtp-relay-email-id'] ?? null, recipients: recipients.length, bytes, at });
    }
    if (this.#keep === 0) return messageId;
    if (this.messages.length >= this.#keep) this.messages.shift();
    this.messages.push({
      messageId,
      region,
      accessKeyId,
      recipients,
      destination: request.Destination,
      replyTo: request.ReplyToAddresses ?? [],
      simple: request.Content?.Simple ?? null,
      raw: Buffer.from(data, 'base64'),
      tags,
      configurationSet: request.ConfigurationSetName ?? null,
      fromEmailAddress: request.FromEmailAddress ?? null,
      feedbackAddress: request.FeedbackForwardingEmailAddress ?? null,
      at,
    });
    return messageId;
  }

  clear(): void {
    this.messages.length = 0;
    this.notes.length = 0;
    this.#count = 0;
  }
}

export function recipientsOf({ Destination }: SendEmailRequest): string[] {
  const { ToAddresses = [], CcAddresses = [], BccAddresses = [] } = Destination ?? {};
  return [...ToAddresses, ...CcAddresses, ...BccAddresses];
}
