import { EMAIL_ID_TAG } from '../../../events/ses/notification.ts';
import type { Tag } from '../../../message/header/control-headers.ts';
import type { OutgoingMessage } from '../contract.ts';
import type { SendEmailParameters } from './request.ts';

/** SES API v2, SendEmail, EmailTags; MessageTag. */
const MAX_TAGS = 50;
const TAG_PART = /^[A-Za-z0-9_-]{1,256}$/;

/**
 * What SES is told about a message besides its bytes.
 *
 * The envelope's recipients are Destination, whatever To, Cc and Bcc say in the message. The sender is the message's own
 * From field: FromEmailAddress is not given, since it says nothing more and can only contradict it.
 *
 * A reverse-path cannot be set: SES sends with one of its own, so that bounces come back to it and become events. Only its
 * notices by mail, where the identity has them switched on, have an address, FeedbackForwardingEmailAddress. That is the
 * reverse-path where the owner's domain covers it, since SES wants a verified address there; else From, by SES's default.
 */
export function sendEmailParameters(message: OutgoingMessage, configurationSet: string | null): SendEmailParameters {
  const feedback = feedbackAddress(message);
  return {
    Destination: { ToAddresses: [...message.recipients] },
    EmailTags: emailTags(message),
    ...(configurationSet !== null && { ConfigurationSetName: configurationSet }),
    ...(feedback !== null && { FeedbackForwardingEmailAddress: feedback }),
  };
}

/** SES refuses two tags of one name and more than fifty: the first of a name counts, and the first fifty with ours. */
function emailTags({ emailId, tags }: OutgoingMessage): { Name: string; Value: string }[] {
  const byName = new Map([[EMAIL_ID_TAG, emailId]]);
  for (const { name, value } of tags.filter(isSendable)) {
    if (byName.size < MAX_TAGS && !byName.has(name)) byName.set(name, value);
  }
  return [...byName].map(([Name, Value]) => ({ Name, Value }));
}

function isSendable({ name, value }: Tag): boolean {
  return TAG_PART.test(name) && TAG_PART.test(value);
}

function feedbackAddress({ reversePath, from, domain }: OutgoingMessage): string | null {
  if (domain === null || reversePath === '' || reversePath === from) return null;
  const host = reversePath.slice(reversePath.lastIndexOf('@') + 1).toLowerCase();
  const owned = domain.name.toLowerCase();
  return host === owned || host.endsWith(`.${owned}`) ? reversePath : null;
}
