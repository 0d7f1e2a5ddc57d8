import { createHash } from 'node:crypto';
import type { OutboxJob, SendJob } from '../../message/send-job.ts';
import { isUuid } from '../../platform/uuid.ts';
import type { QueueMessage } from './client.ts';

export const SEND_JOB_TYPE = 'email.send';
const SOURCE = 'api';

/** `email.send:<emailId>`, the name that body and attribute carry. */
export function sendJobId(job: OutboxJob): string {
  return `${SEND_JOB_TYPE}:${job.emailId}`;
}

/** The message body, JSON. */
export function sendJobBody(job: OutboxJob): string {
  return JSON.stringify({
    id: sendJobId(job),
    type: SEND_JOB_TYPE,
    source: SOURCE,
    emailId: job.emailId,
    requestedAt: job.requestedAt.toISOString(),
    trace: { traceparent: job.traceparent, correlationId: job.correlationId },
  });
}

/** The same facts as message attributes, all of type String. */
export function sendJobAttributes(job: OutboxJob): Readonly<Record<string, string>> {
  return {
    jobId: sendJobId(job),
    jobType: SEND_JOB_TYPE,
    source: SOURCE,
    correlationId: job.correlationId,
    traceparent: job.traceparent,
  };
}

/** What a queue's message is: a send job, a job for somebody else, or nothing that anybody understands. */
export type ReceivedJob =
  | { readonly kind: 'job'; readonly job: SendJob }
  | { readonly kind: 'other' }
  | { readonly kind: 'poison'; readonly reason: string };

interface JobBody {
  readonly type?: unknown;
  readonly emailId?: unknown;
  readonly trace?: { readonly correlationId?: unknown; readonly traceparent?: unknown } | null;
}

const CORRELATION_ID = /^[0-9a-f]{32}$/;
/** W3C Trace Context, section 3.2.2. */
const TRACEPARENT = /^00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$/;

/** Reads a message of the queue (pipeline contract, "The send job"). */
export function readReceived(message: Pick<QueueMessage, 'body' | 'group'>): ReceivedJob {
  const body = parse(message.body);
  if (body === null) return { kind: 'poison', reason: 'not a JSON object' };
  const { type, emailId } = body;
  if (typeof type !== 'string') return { kind: 'poison', reason: 'no type' };
  if (type !== SEND_JOB_TYPE) return { kind: 'other' };
  if (typeof emailId !== 'string' || !isUuid(emailId)) return { kind: 'poison', reason: 'no email id' };
  const userId = ownerOfGroup(message.group);
  return { kind: 'job', job: { emailId: emailId.toLowerCase(), userId, ...traceOf(body, emailId.toLowerCase()) } };
}

function parse(body: string): JobBody | null {
  try {
    const value: unknown = JSON.parse(body);
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? value : null;
  } catch {
    return null;
  }
}

/** A job that tells of no trace is still sent; the email's id, random as it is, then stands for the trace's. */
function traceOf({ trace }: JobBody, emailId: string): Pick<SendJob, 'correlationId' | 'traceparent'> {
  const { correlationId, traceparent } = trace ?? {};
  const digits = emailId.replaceAll('-', '');
  return {
    correlationId: matching(correlationId, CORRELATION_ID) ?? digits,
    traceparent: matching(traceparent, TRACEPARENT) ?? `00-${digits}-${digits.slice(-16)}-00`,
  };
}

function matching(value: unknown, pattern: RegExp): string | null {
  return typeof value === 'string' && pattern.test(value) ? value : null;
}

/** What SQS takes for a message group: letters, digits and ASCII punctuation (API reference, SendMessage). */
const ALLOWED = /^[!-~]{1,128}$/;
const HASHED = 'sha256:';

/** The message group of an owner's jobs. An owner whose id SQS would refuse goes by a hash of it. */
export function groupOfOwner(userId: string): string {
  if (ALLOWED.test(userId) && userId !== SEND_JOB_TYPE && !userId.startsWith(HASHED)) return userId;
  return HASHED + createHash('sha256').update(userId).digest('hex');
}

/** The owner of a message group; null where the group does not say. */
function ownerOfGroup(group: string | undefined): string | null {
  return group === undefined || group === SEND_JOB_TYPE || group.startsWith(HASHED) ? null : group;
}
