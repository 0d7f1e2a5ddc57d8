import { ses } from '../../../test/events/support/ses.ts';
import type { ReceivedMessage } from '../../../test/support/ses/mailbox.ts';

const KINDS = {
  Send: ses.send,
  Delivery: ses.delivery,
  DeliveryDelay: ses.delay,
  Bounce: ses.bounce,
  Complaint: ses.complaint,
} as const;

/** What SES tells of a message, as JSON. */
export function notificationOf(kind: keyof typeof KINDS, { messageId, recipients, tags }: ReceivedMessage): string {
  const emailId = tags['smtp-relay-email-id'] ?? null;
  return JSON.stringify(KINDS[kind]({ messageId, emailId, destination: recipients }));
}
