import { randomUUID } from 'node:crypto';
import type { Logger } from '../observability/log.ts';
import { NO_TRACING, type Span, type Tracer } from '../observability/tracing.ts';
import { eventName } from '../store/event-types.ts';
import type { DeliveredEvent, LeasedDelivery } from '../store/webhooks/leases.ts';
import type { DeliveryOutcome } from '../store/webhooks/outcomes.ts';
import { type Answer, type EndpointClient, NoAnswer } from './endpoint-client.ts';
import type { DeliveryResult } from './metrics.ts';
import { type SecretBox, SecretError, signatureHeaders } from './signing.ts';

export interface AttemptDependencies {
  readonly client: EndpointClient;
  readonly secrets: SecretBox;
  readonly logger: Logger;
  /** The wall clock, for signatures. */
  readonly now: () => Date;
  readonly random: () => number;
  readonly tracer?: Tracer;
}

export interface Attempt {
  readonly outcome: DeliveryOutcome;
  readonly result: DeliveryResult;
}

/** How a try ended; what follows from it is decided later. */
interface Ending {
  readonly result: DeliveryResult;
  readonly text: string;
  readonly answer?: Answer;
}

const GONE = 410;
const USER_AGENT = 'OpenSend-SMTP-Relay';

/** Tries a delivery once. Rejects only with the signal's reason. */
export async function attempt(
  delivery: LeasedDelivery,
  signal: AbortSignal,
  dependencies: AttemptDependencies,
): Promise<Attempt> {
  const attemptedAt = dependencies.now();
  const { result, text, answer } = await send(delivery, attemptedAt, signal, dependencies);
  const succeeded = result === 'success';
  const gone = answer?.statusCode === GONE;
  const final = succeeded || gone || result === 'lost';
  const { random, now } = dependencies;
  const pause = final ? null : pauseAfter(delivery.attempts + 1, answer?.retryAfter, random, now());
  const outcome: DeliveryOutcome = {
    delivery,
    status: succeeded ? 'success' : pause === null ? 'dead_letter' : 'failed',
    statusCode: answer?.statusCode ?? null,
    text,
    attemptedAt,
    pause,
    blamed: !succeeded && result !== 'unsigned' && result !== 'lost',
    gone,
  };
  return { outcome, result };
}

async function send(
  delivery: LeasedDelivery,
  timestamp: Date,
  signal: AbortSignal,
  { client, secrets, logger, tracer }: AttemptDependencies,
): Promise<Ending> {
  const { event, webhookId } = delivery;
  if (event === null) return { result: 'lost', text: 'the event was deleted' };
  const span = beginSpan(delivery, event, tracer);
  try {
    const body = deliveryBody(event);
    const headers = {
      ...deliveryHeaders(event.id, timestamp, body, openSecrets(delivery, secrets)),
      // So that the receiver's own trace goes on from ours.
      ...(span && { traceparent: span.context.traceparent }),
    };
    const answer = await client.post(delivery.url, headers, body, signal);
    span?.set({ 'http.response.status_code': answer.statusCode });
    if (!isSuccess(answer)) span?.fail(String(answer.statusCode));
    return { result: isSuccess(answer) ? 'success' : 'rejected', text: answer.body, answer };
  } catch (error) {
    span?.fail(error instanceof NoAnswer ? error.reason : error);
    if (error instanceof NoAnswer) {
      logger.debug({ err: error, deliveryId: delivery.id, webhookId }, 'webhook not answered');
      return { result: error.reason, text: error.message };
    }
    if (!(error instanceof SecretError)) throw error;
    logger.warn({ err: error, webhookId }, 'webhook cannot be signed');
    return { result: 'unsigned', text: 'not sent: there is no signing secret that can be read' };
  } finally {
    span?.end();
  }
}

/** What is posted: `{id, type, created_at, data}`. Nothing in it changes between tries, so that its bytes do not either. */
function deliveryBody(event: DeliveredEvent): Buffer {
  const head = { id: event.id, type: eventName(event.type), created_at: event.receivedAt.toISOString() };
  return Buffer.from(`${JSON.stringify(head).slice(0, -1)},"data":${event.payload}}`);
}

/** The headers of a delivery. */
function deliveryHeaders(id: string, timestamp: Date, body: Buffer, secrets: readonly string[]) {
  return {
    'content-type': 'application/json',
    'content-length': String(body.length),
    'user-agent': USER_AGENT,
    ...signatureHeaders({ id, timestamp, body, secrets }),
  };
}

/** Whether an answer takes a delivery. A redirect does not: its author could lead us anywhere. */
function isSuccess({ statusCode }: Answer): boolean {
  return statusCode >= 200 && statusCode <= 299;
}

/**
 * A client's span (OpenTelemetry, semantic conventions for HTTP), but without `url.full`: such URLs often have a secret in
 * them. null for an event that belongs to no trace.
 */
function beginSpan({ url, attempts }: LeasedDelivery, event: DeliveredEvent, tracer: Tracer = NO_TRACING): Span | null {
  if (event.traceparent === null) return null;
  const span = tracer.start('POST', { kind: 'client', parent: event.traceparent });
  const target = span.isRecording ? URL.parse(url) : null;
  if (!target) return span;
  const scheme = target.protocol.slice(0, -1);
  span.set({
    'http.request.method': 'POST',
    'url.scheme': scheme,
    'server.address': target.hostname,
    'server.port': Number(target.port) || (scheme === 'https' ? 443 : 80),
    'smtp_relay.event': event.type,
    ...(attempts > 0 && { 'http.request.resend_count': attempts }),
  });
  return span;
}

/** The secrets that sign, the current one first. A previous one that cannot be read is left out: it is about to end. */
function openSecrets({ webhookId, secret, previousSecret }: LeasedDelivery, box: SecretBox): string[] {
  if (secret === null) throw new SecretError('the webhook has no signing secret');
  const current = box.open(secret, webhookId);
  if (previousSecret === null) return [current];
  try {
    return [current, box.open(previousSecret, webhookId)];
  } catch {
    return [current];
  }
}

const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;

/** Milliseconds after each failure in turn; a failure after the last one is final. */
export const RETRY_PAUSES: readonly number[] = [5 * SECOND, 5 * MINUTE, 30 * MINUTE, 2 * HOUR, 5 * HOUR, 10 * HOUR];

/** How much later than its pause a try may be, so that tries that failed together do not come together again. */
const JITTER = 0.2;
/** An endpoint's `Retry-After` makes a pause longer, but no longer than the longest of ours. */
const MAX_RETRY_AFTER = 10 * HOUR;

/**
 * How long to wait after a failure.
 *
 * @param attempts tries so far, the failed one among them
 * @param retryAfter the header as it came: seconds or a date (RFC 9110 section 10.2.3)
 * @param random at least 0 and less than 1
 * @returns milliseconds; null where it was the last try
 */
export function pauseAfter(
  attempts: number,
  retryAfter: string | undefined,
  random: () => number,
  now: Date,
): number | null {
  const pause = RETRY_PAUSES[attempts - 1];
  if (pause === undefined) return null;
  const asked = Math.min(parseRetryAfter(retryAfter, now), MAX_RETRY_AFTER);
  return Math.round(Math.max(pause, asked) * (1 + JITTER * random()));
}

/** Milliseconds; 0 where nothing is asked for, or it cannot be read. */
function parseRetryAfter(value: string | undefined, now: Date): number {
  if (value === undefined) return 0;
  if (/^\s*\d+\s*$/.test(value)) return Number(value) * SECOND;
  const wait = Date.parse(value) - now.getTime();
  return wait > 0 ? wait : 0;
}

/** What came of a test delivery. */
export interface PingResult {
  readonly ok: boolean;
  /** `webhook-id` of the delivery. */
  readonly id: string;
  readonly statusCode: number | null;
  /** The beginning of the answer, or why there was none. */
  readonly answer: string;
  readonly milliseconds: number;
}

export interface PingTarget {
  readonly webhookId: string;
  readonly url: string;
  readonly secrets: readonly string[];
  /** When it is, by the clock that workers sign by. */
  readonly at: Date;
}

/** Sends an endpoint a signed delivery of type `email.test`, at once and once, with nothing recorded. */
export async function ping({ webhookId, url, secrets, at }: PingTarget, client: EndpointClient): Promise<PingResult> {
  const id = randomUUID();
  const data = { webhook_id: webhookId, message: 'A test. Nothing has happened.' };
  const body = Buffer.from(JSON.stringify({ id, type: 'email.test', created_at: at.toISOString(), data }));
  const began = performance.now();
  const elapsed = () => Math.round(performance.now() - began);
  try {
    const answer = await client.post(url, deliveryHeaders(id, at, body, secrets), body);
    return { ok: isSuccess(answer), id, statusCode: answer.statusCode, answer: answer.body, milliseconds: elapsed() };
  } catch (error) {
    if (!(error instanceof NoAnswer)) throw error;
    return { ok: false, id, statusCode: null, answer: error.message, milliseconds: elapsed() };
  }
}
