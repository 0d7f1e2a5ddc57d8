import { greetingName } from '../../config/derived.ts';
import type { Config } from '../../config/schema.ts';
import { compose } from '../../delivery/outgoing/compose.ts';
import { addressIn } from '../../delivery/outgoing/outgoing.ts';
import { createSmtpTransport } from '../../delivery/transport/smtp/transport.ts';
import { domainOf, parseAddress } from '../../message/addresses/address.ts';
import type { Logger } from '../../observability/log.ts';
import { StoreError } from '../../postgres/errors.ts';
import type { ReadMessage } from './read.ts';

/** Milliseconds for the smarthost to take it. */
const TIME_LIMIT = 30_000;

/** What a smarthost said to a message. */
export interface Released {
  readonly recipients: readonly string[];
  /** Its answer. */
  readonly response: string;
}

/**
 * Sends a captured message to people after all: by the smarthost of the settings `smtp`, composed as delivery composes it, without
 * tracking. Nothing of it is written down, since it says nothing of what the application did.
 *
 * @param to others than its recipients
 * @throws StoreError `conflict` where there is no smarthost, or it does not take the message; `invalid` for what is no address
 */
export async function release(
  { story, raw }: ReadMessage,
  {
    config,
    to,
    logger,
  }: { readonly config: Config; readonly to: readonly string[] | undefined; readonly logger: Logger },
): Promise<Released> {
  if (config.smtp.host === '')
    throw new StoreError('conflict', 'no smarthost is configured: set smtp.host (SMTP_RELAY_SMTP_HOST)');
  if (raw === null || story.raw === null)
    throw new StoreError('conflict', 'it is not kept as it was received any more');
  const recipients = to ?? (Array.isArray(story.raw.recipients) ? story.raw.recipients.map(String) : []);
  const wrong = recipients.find(address => parseAddress(address) === null);
  if (wrong !== undefined) throw new StoreError('invalid', `"${wrong}" is no address`);
  const from = addressIn(story.from);
  const fromDomain = domainOf(from);
  const composed = compose(raw, {
    emailId: story.id,
    acceptedAt: story.createdAt,
    fromDomain,
    plainDomains: !story.raw.smtpUtf8,
  });
  const transport = createSmtpTransport({
    ...config.smtp,
    passwordFile: '',
    connections: 1,
    name: greetingName(config),
    logger,
  });
  try {
    const { reversePath, bodyType, smtpUtf8 } = story.raw;
    const outcomes = await transport.send(
      {
        ...{ emailId: story.id, userId: story.owner, raw: composed, reversePath, from, recipients, smtpUtf8 },
        ...{ bodyType: bodyType ?? '7BIT', tags: [], domain: null },
      },
      AbortSignal.timeout(TIME_LIMIT),
    );
    const failed = outcomes.find(({ outcome }) => outcome.kind !== 'sent')?.outcome;
    if (failed && failed.kind !== 'sent') {
      throw new StoreError('conflict', `${config.smtp.host} did not take it: ${failed.code} ${failed.message}`);
    }
    const [{ outcome } = { outcome: null }] = outcomes;
    return { recipients, response: (outcome?.kind === 'sent' && outcome.response) || 'taken' };
  } finally {
    await transport.close();
  }
}
