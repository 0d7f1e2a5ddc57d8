import { createHash, randomUUID } from 'node:crypto';
import type { Tag } from '../../src/message/header/control-headers.ts';
import { newTrace } from '../../src/observability/tracing.ts';
import type { Queryable } from '../../src/postgres/pool.ts';
import { insertMessages } from '../../src/store/messages/insert.ts';
import type { NewMessage } from '../../src/store/messages/new-message.ts';

export interface StoredOptions {
  readonly userId?: string;
  readonly from?: string;
  readonly recipients?: readonly string[];
  readonly subject?: string;
  /** With CRLF; a small one unless given. */
  readonly raw?: Buffer | string;
  readonly reversePath?: string;
  /** As in `raw`, without angle brackets; `1@acme.test` unless given. */
  readonly messageId?: string | null;
  readonly tags?: readonly Tag[];
  readonly trackOpens?: boolean | null;
  readonly trackClicks?: boolean | null;
  /** Milliseconds for which its job is another's to publish; 0 unless given. null stores no job. */
  readonly outboxLease?: number | null;
}

/** Stores a message as the relay does in the standalone pipeline, without SMTP. @returns its id */
export async function storeMessage(db: Queryable, options: StoredOptions = {}): Promise<string> {
  const message = newMessage(options);
  await insertMessages(db, [message], { outboxLease: options.outboxLease === undefined ? 0 : options.outboxLease });
  return message.id;
}

/** A message as `storeMessage` stores it. */
export function newMessage(options: StoredOptions = {}): NewMessage {
  const { from = 'Acme <hello@acme.test>', recipients = ['to@example.com'], subject = 'Hello' } = options;
  const header = `From: ${from}\r\nTo: ${recipients[0]}\r\nSubject: ${subject}\r\n`;
  const raw = Buffer.from(
    options.raw ?? `${header}Date: Mon, 23 Nov 2026 10:00:00 +0000\r\nMessage-ID: <1@acme.test>\r\n\r\nHi\r\n`,
  );
  return {
    id: randomUUID(),
    userId: options.userId ?? 'acme',
    from,
    to: recipients,
    cc: [],
    bcc: [],
    replyTo: [],
    subject,
    text: 'Hi',
    html: null,
    headers: {},
    attachments: [],
    attachmentsJson: null,
    tags: options.tags ?? [],
    trace: newTrace(),
    messageId: options.messageId === undefined ? '1@acme.test' : options.messageId,
    original: {
      raw,
      sha256: createHash('sha256').update(raw).digest(),
      reversePath: options.reversePath ?? 'bounces@acme.test',
      recipients,
      bodyType: '7BIT',
      smtpUtf8: false,
      trackOpens: options.trackOpens ?? null,
      trackClicks: options.trackClicks ?? null,
    },
    idempotency: null,
  };
}
