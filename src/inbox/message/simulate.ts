import { randomUUID } from 'node:crypto';
import { EMAIL_ID_TAG } from '../../events/ses/notification.ts';
import { comparableAddress, parseAddress } from '../../message/addresses/address.ts';
import { newOrderedId } from '../../platform/uuid.ts';
import { StoreError } from '../../postgres/errors.ts';
import { createHitRecorder } from '../../tracking/hits.ts';
import type { Details, SIMULATIONS, Simulate } from '../contract.ts';
import type { Inbox } from '../inbox.ts';
import { MOST_LINKS } from './read.ts';

type Told = Exclude<(typeof SIMULATIONS)[number], 'opened' | 'clicked'>;

/** What SES says of recipients, by "Contents of event data" of its developer guide. */
const RECORDS: Readonly<Record<Told, (recipients: readonly string[], timestamp: string) => object>> = {
  delivered: (recipients, timestamp) => ({
    eventType: 'Delivery',
    delivery: { timestamp, recipients, smtpResponse: '250 2.0.0 simulated: message accepted' },
  }),
  bounced: (recipients, timestamp) => ({
    eventType: 'Bounce',
    bounce: {
      ...{ timestamp, feedbackId: randomUUID(), bounceType: 'Permanent', bounceSubType: 'General' },
      bouncedRecipients: recipients.map(emailAddress => ({
        ...{ emailAddress, action: 'failed', status: '5.1.1' },
        diagnosticCode: 'smtp; 550 5.1.1 simulated: user unknown',
      })),
    },
  }),
  complained: (recipients, timestamp) => ({
    eventType: 'Complaint',
    complaint: {
      ...{ timestamp, feedbackId: randomUUID(), complaintFeedbackType: 'abuse' },
      complainedRecipients: recipients.map(emailAddress => ({ emailAddress })),
    },
  }),
  delayed: (recipients, timestamp) => ({
    eventType: 'DeliveryDelay',
    deliveryDelay: {
      ...{ timestamp, delayType: 'MailboxFull' },
      delayedRecipients: recipients.map(emailAddress => ({
        ...{ emailAddress, status: '4.2.2' },
        diagnosticCode: 'smtp; 452 4.2.2 simulated: mailbox full',
      })),
    },
  }),
};

/**
 * Has something happen to a message: what SES would tell goes the way of all its notifications, opens and clicks that of all hits, so
 * that events, suppressions, statuses and webhooks follow as they do in production.
 *
 * @param userAgent of whoever asks
 * @returns whom it is about
 * @throws StoreError `invalid` for a recipient or link that is none of the message's
 */
export async function simulate(
  { pool, events, onDeliveriesDue }: Pick<Inbox, 'pool' | 'events' | 'onDeliveriesDue'>,
  { message: { id }, envelope, links }: Pick<Details, 'message' | 'envelope' | 'links'>,
  { type, recipient, link, userAgent }: Simulate & { readonly userAgent: string | null },
): Promise<readonly string[]> {
  const all = envelope.recipients.map(({ address }) => address);
  // As people write it: its domain need not be in A-labels.
  const meant = recipient === undefined ? null : comparableAddress(parseAddress(recipient) ?? recipient);
  const recipients = all.filter(address => meant === null || comparableAddress(address) === meant);
  if (recipients.length === 0) throw new StoreError('invalid', `${recipient} is no recipient: ${all.join(', ')}`);
  if (type === 'opened' || type === 'clicked') {
    const url = type === 'opened' ? null : (link ?? links[0]);
    if (url === undefined) throw new StoreError('invalid', 'the message has no link');
    if (url !== null && !links.includes(url) && links.length < MOST_LINKS)
      throw new StoreError('invalid', `"${url}" is no link of the message: ${links.join(', ') || 'it has none'}`);
    const record = createHitRecorder({ pool, onRecorded: ({ deliveriesDue }) => deliveriesDue && onDeliveriesDue() });
    await record([{ type, emailId: id, url, userAgent, id: newOrderedId(), at: new Date() }]);
    return recipients;
  }
  const timestamp = new Date().toISOString();
  const mail = {
    timestamp,
    messageId: `inbox-${randomUUID()}`,
    destination: recipients,
    tags: { [EMAIL_ID_TAG]: [id] },
  };
  const notification = JSON.stringify({ ...RECORDS[type](recipients, timestamp), mail });
  await events.intake.record([notification], 'inbox');
  return recipients;
}
