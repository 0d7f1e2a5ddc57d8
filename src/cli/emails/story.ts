import { decodeHeaderText } from '../../message/addresses/address-list.ts';
import type { EmailStory, StoryAttempt, StoryDelivery, StoryEvent } from '../../store/emails/show.ts';
import { EVENTS } from '../../store/event-types.ts';
import { details, printable } from '../command.ts';

interface Moment {
  readonly at: Date;
  readonly what: string;
  readonly text: string;
}

/** A message for people: what it is, where it stands, what happened when, and its text. */
export function describeStory(story: EmailStory): string {
  const parts = [`${describeMessage(story)}\n${timeLine(story)}`];
  const open = pending(story);
  if (open.length > 0) parts.push(`Now:\n${open.map(line => `  ${printable(line)}\n`).join('')}`);
  if (story.text !== null) parts.push(`${printable(story.text)}\n`);
  return parts.join('\n');
}

function describeMessage(story: EmailStory): string {
  return details([
    ['Id', story.id],
    ['Status', story.sandbox ? `${story.status}, in sandbox: nothing has gone out` : story.status],
    ['Owner', story.owner],
    ['Created', story.createdAt],
    ['Sent', story.sentAt],
    ['Message-ID', story.messageId && `<${story.messageId}>`],
    ['From', decodeHeaderText(story.from)],
    ['To', story.to],
    ['Cc', story.cc],
    ['Bcc', story.bcc],
    ['Reply-To', story.replyTo?.map(entry => decodeHeaderText(entry))],
    ['Subject', story.subject],
    ['Tags', story.tags?.map(tag => `${tag.name}=${tag.value}`)],
    [
      'Attachments',
      story.attachments?.map(part => `${part.filename} (${part.contentType}, ${part.encodedSize} bytes)`),
    ],
    ['Tries', story.retry.count > 0 ? `${story.retry.count} failed` : null],
    ['Last error', [story.retry.lastErrorCode, story.lastError].filter(Boolean).join(': ')],
    ['Client', clientOf(story.raw)],
    ['As received', story.raw && `${story.raw.sizeBytes} bytes, SHA-256 ${story.raw.sha256}`],
    ...(story.resendOf ? [['Copy of', story.resendOf] as const] : []),
    ...(story.resentAs.length > 0 ? [['Sent again as', story.resentAs] as const] : []),
  ]);
}

/** How it came in, where that is known. */
function clientOf(raw: EmailStory['raw']): string | null {
  if (!raw?.clientAddress) return null;
  const { clientAddress, helo, protocol, sessionId } = raw;
  return `${clientAddress} (${helo}) with ${protocol}, session ${sessionId}`;
}

function timeLine(story: EmailStory): string {
  const moments: Moment[] = [
    { at: story.createdAt, what: 'accepted', text: envelopeOf(story) },
    ...story.attempts.map(attemptMoment),
    ...story.events.map(eventMoment),
    ...story.deliveries.filter(delivery => delivery.attemptedAt !== null).map(deliveryMoment),
    ...(story.retry.deadLetteredAt ? [{ at: story.retry.deadLetteredAt, what: 'given up', text: '' }] : []),
  ];
  moments.sort((a, b) => a.at.getTime() - b.at.getTime());
  const width = Math.max(...moments.map(({ what }) => what.length));
  const line = ({ at, what, text }: Moment) =>
    `  ${at.toISOString()}  ${what.padEnd(width)}  ${oneLine(text)}`.trimEnd();
  return `What happened:\n${moments.map(moment => `${line(moment)}\n`).join('')}`;
}

function envelopeOf({ raw, to, cc, bcc }: EmailStory): string {
  if (!raw) return `for ${[...to, ...(cc ?? []), ...(bcc ?? [])].join(', ')}`;
  const recipients = Array.isArray(raw.recipients) ? raw.recipients.join(', ') : '';
  return `from <${raw.reversePath}> for ${recipients}`;
}

function attemptMoment(attempt: StoryAttempt): Moment {
  const { outcome, transport, recipients, code, message, providerMessageId, startedAt, endedAt } = attempt;
  const why = [code, message].filter(Boolean).join(' ');
  // By two clocks: the worker's, and that of the database.
  const took = Math.max(0, endedAt.getTime() - startedAt.getTime());
  const parts = [
    `try ${attempt.try} by ${transport}, ${took} ms: ${recipients.join(', ')}`,
    why && `(${why})`,
    providerMessageId && `as ${providerMessageId}`,
  ];
  return { at: endedAt, what: OUTCOMES[outcome] ?? outcome, text: parts.filter(Boolean).join(' ') };
}

const OUTCOMES: Readonly<Record<string, string>> = {
  sent: 'handed over',
  transient: 'failed for now',
  permanent: 'refused',
  unknown: 'outcome unknown',
  suppressed: 'not sent',
};

function eventMoment({ type, receivedAt, payload }: StoryEvent): Moment {
  const recipients = Array.isArray(payload['recipients']) ? payload['recipients'].join(', ') : '';
  const about = DETAILS.flatMap(name => valuesOf(payload[name])).join(' ');
  return { at: receivedAt, what: `event ${type}`, text: [recipients, about && `(${about})`].filter(Boolean).join(' ') };
}

/** The members of an event's payload that say more of what happened; what the server said to a delivery is not worth a line. */
const DETAILS = Object.values(EVENTS)
  .flatMap(({ member }) => member ?? [])
  .filter(member => member !== EVENTS.delivered.member)
  // OpenSend's name for it.
  .concat('delivery');

function valuesOf(member: unknown): string[] {
  if (typeof member !== 'object' || member === null) return [];
  return Object.values(member)
    .filter(value => typeof value === 'string' || typeof value === 'number')
    .map(String);
}

function deliveryMoment(delivery: StoryDelivery): Moment {
  const answer = delivery.statusCode === null ? 'no answer' : `answer ${delivery.statusCode}`;
  const text = `${delivery.eventType} to ${endpointOf(delivery)}: ${answer}, attempt ${delivery.attempts}, ${delivery.status}`;
  return { at: delivery.attemptedAt ?? delivery.createdAt, what: 'webhook', text };
}

function endpointOf({ url }: StoryDelivery): string {
  return url ?? 'an endpoint that was deleted';
}

/** What is still to come. */
function pending({ outbox, claim, retry, deliveries, republished }: EmailStory): string[] {
  const lines = outbox.map(
    job =>
      `its job is not published, due ${iso(job.dueAt)}, ${job.publishAttempts} attempts` +
      `${job.lastError ? `, last error: ${job.lastError}` : ''}`,
  );
  if (claim?.state === 'held') {
    lines.push('held: nobody knows whether it was sent; say so with: smtp-relay emails resolve');
  } else if (claim) {
    const flight = claim.inFlight ? ` to ${claim.inFlight.join(', ')}` : '';
    lines.push(
      `worker ${claim.worker} has it (${claim.state}${flight}) until ${claim.until?.toISOString() ?? 'it says so'}`,
    );
  }
  if (retry.nextRetryAt) lines.push(`next try at ${retry.nextRetryAt.toISOString()}`);
  if (republished > 0) lines.push(`its job was lost and published again ${republished} times`);
  const waiting = deliveries.filter(({ status }) => status === 'pending' || status === 'failed');
  return [
    ...lines,
    ...waiting.map(delivery => {
      const due = delivery.nextRetryAt ? `, due ${delivery.nextRetryAt.toISOString()}` : '';
      return `webhook ${delivery.eventType} to ${endpointOf(delivery)} is still to be delivered${due}`;
    }),
  ];
}

function iso(time: string): string {
  return new Date(time).toISOString();
}

function oneLine(text: string): string {
  return printable(text).replaceAll(/\s*\n\s*/g, ' ');
}
