import type { EmailStory, StoryAttempt, StoryDelivery, StoryEvent } from '../../store/emails/show.ts';
import { EVENTS, eventKind, eventName } from '../../store/event-types.ts';
import type { KeptArrival } from '../../store/sessions/arrivals.ts';
import type { SessionStep } from '../../store/sessions/sessions.ts';
import type { Moment } from '../contract.ts';

/** What happened to a message, in its order. @param arrival what was said in its session; null where that is not kept */
export function timelineOf(story: EmailStory, arrival: KeptArrival | null): Moment[] {
  const before = arrival === null ? [] : arrivalMoments(arrival, story);
  // By the relay's clock; what follows is by those of the worker and the database, and has come later whatever they say.
  const known = new Set(before.map(({ stage }) => stage));
  const publishedAt = arrival?.publishedAt ?? null;
  return [
    ...before,
    ...storedMoments(story).filter(({ stage }) => !known.has(stage)),
    ...(publishedAt ? [moment(publishedAt, 'publish', 'Published', 'the queue has its job', 'plain')] : []),
    ...laterMoments(story),
  ];
}

function laterMoments(story: EmailStory): Moment[] {
  const moments: Moment[] = [
    ...story.attempts.flatMap(attemptMoments),
    ...story.events.map(eventMoment),
    ...story.deliveries.filter(({ attemptedAt }) => attemptedAt !== null).map(deliveryMoment),
    ...(story.retry.deadLetteredAt ? [moment(story.retry.deadLetteredAt, 'end', 'Given up', '', 'bad')] : []),
  ];
  return moments.toSorted((a, b) => Date.parse(a.at) - Date.parse(b.at));
}

function receivedFrom({ raw }: EmailStory): string {
  if (raw === null) return '';
  const { clientAddress, helo, protocol, sizeBytes } = raw;
  const from =
    clientAddress === null ? 'made by this program' : `${clientAddress} (${helo ?? ''}) with ${protocol ?? ''}`;
  return `${from}, ${sizeBytes} bytes`;
}

function storedMoments(story: EmailStory): Moment[] {
  const { raw, createdAt, id } = story;
  const stored = moment(createdAt, 'commit', 'Stored', `250 2.0.0 Ok: queued as ${id}`, 'good');
  return raw === null ? [stored] : [moment(createdAt, 'receive', 'Received', receivedFrom(story), 'plain'), stored];
}

const STEPS: readonly (readonly [step: SessionStep, title: string, tone: Tone])[] = [
  ['connect', 'Connected', 'plain'],
  ['tls', 'Encrypted', 'plain'],
  ['login', 'Logged in', 'plain'],
  ['receive', 'Received', 'plain'],
  ['checks', 'Checked', 'plain'],
  ['commit', 'Stored', 'good'],
];

/** The way to the 250. A session may have had other messages before: what was said last counts. */
function arrivalMoments({ beganAt, lines }: KeptArrival, story: EmailStory): Moment[] {
  return STEPS.flatMap(([step, title, tone]) => {
    const line = lines.findLast(([, , , ends]) => ends === step);
    if (line === undefined) return [];
    const [at, , text] = line;
    const detail = step === 'receive' ? receivedFrom(story) : text;
    return [moment(new Date(beganAt.getTime() + at), step, title, detail, tone)];
  });
}

/** What has not happened yet. */
export function pendingOf({ outbox, claim, retry, deliveries }: EmailStory): string[] {
  const waiting = deliveries.filter(({ status }) => status === 'pending' || status === 'failed');
  return [
    ...outbox.map(job => `its job waits to be published${job.lastError ? `: ${job.lastError}` : ''}`),
    ...(claim?.state === 'held' ? ['it is held: nobody knows whether it was sent'] : []),
    ...(claim && claim.state !== 'held' ? [`worker ${claim.worker} has it`] : []),
    ...(retry.nextRetryAt ? [`next try at ${retry.nextRetryAt.toISOString()}`] : []),
    ...waiting.map(({ eventType, url, nextRetryAt }) => {
      const due = nextRetryAt ? `, due ${nextRetryAt.toISOString()}` : '';
      return `${eventName(eventType)} is still to be told to ${url ?? 'an endpoint that was deleted'}${due}`;
    }),
  ];
}

const OUTCOMES: Readonly<Record<string, readonly [title: string, tone: Tone]>> = {
  sent: ['Handed over', 'good'],
  transient: ['Failed for now', 'wait'],
  permanent: ['Refused', 'bad'],
  unknown: ['Outcome unknown', 'wait'],
  suppressed: ['Not sent', 'bad'],
};

type Tone = 'plain' | 'good' | 'bad' | 'wait';

function attemptMoments(attempt: StoryAttempt): Moment[] {
  const { transport, recipients, code, message, providerMessageId, worker, startedAt, endedAt } = attempt;
  const [title, tone] = OUTCOMES[attempt.outcome] ?? [attempt.outcome, 'plain' as const];
  const why = [code, message].filter(Boolean).join(' ');
  const said = [`${transport}: ${recipients.join(', ')}`, why, providerMessageId && `as ${providerMessageId}`];
  return [
    moment(startedAt, 'claim', `Try ${attempt.try} began`, worker === null ? '' : `by worker ${worker}`, 'plain'),
    moment(endedAt, 'send', title, said.filter(Boolean).join(', '), tone),
  ];
}

/** From `bounced` and `failed` on, an event is bad news; of those that no status follows from, only what a reader does is good. */
function toneOf(type: string): Tone {
  const { gravity = 0 } = eventKind(type) ?? {};
  if (gravity >= (EVENTS.failed.gravity ?? 0) || type === 'suppressed') return 'bad';
  return gravity > 0 || type === 'opened' || type === 'clicked' ? 'good' : 'wait';
}

function eventMoment({ type, receivedAt, payload }: StoryEvent): Moment {
  const recipients = Array.isArray(payload['recipients']) ? payload['recipients'].join(', ') : '';
  const said = [recipients, ...valuesOf(payload[eventKind(type)?.member ?? ''])];
  return moment(receivedAt, 'event', eventName(type), said.filter(Boolean).join(' · '), toneOf(type));
}

function valuesOf(member: unknown): string[] {
  if (typeof member !== 'object' || member === null) return [];
  return Object.values(member).flatMap(value =>
    typeof value === 'string' || typeof value === 'number' ? String(value) : [],
  );
}

function deliveryMoment({
  eventType,
  url,
  status,
  statusCode,
  attempts,
  createdAt,
  attemptedAt,
}: StoryDelivery): Moment {
  const answer = statusCode === null ? 'no answer' : `answered ${statusCode}`;
  const detail = `${url ?? 'an endpoint that was deleted'} ${answer}, attempt ${attempts}`;
  const tone = status === 'success' ? 'good' : status === 'failed' ? 'wait' : 'bad';
  return moment(attemptedAt ?? createdAt, 'webhook', `Webhook ${eventName(eventType)}`, detail, tone);
}

function moment(at: Date, stage: string, title: string, detail: string, tone: Tone): Moment {
  return { at: at.toISOString(), stage, title, detail, tone };
}
