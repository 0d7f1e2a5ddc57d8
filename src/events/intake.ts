import type pg from 'pg';
import { Batcher } from '../flow/batcher.ts';
import { comparableAddress, parseAddress } from '../message/addresses/address.ts';
import { isSesSimulator } from '../message/addresses/simulator-address.ts';
import type { Logger } from '../observability/log.ts';
import { isSampled, NO_TRACING, type Tracer } from '../observability/tracing.ts';
import { isDataException } from '../postgres/errors.ts';
import {
  type IncomingEvent,
  type IncomingSuppression,
  type Recorded,
  recordIncoming,
} from '../store/events/incoming.ts';
import { type FoundMail, findMail, type MailFacts } from '../store/events/mail.ts';
import { SES, toldEvent } from './event.ts';
import type { EventsMetrics, NotificationResult, Way } from './metrics.ts';
import { readSesNotification, type SesNotification } from './ses/notification.ts';
import type { Occurrence } from './ses/occurrences.ts';
import { InvalidNotification } from './ses/reading.ts';
import { SIMULATED } from './simulated.ts';

/** Takes notifications of providers and writes what they say about our messages. */
export interface EventIntake {
  /**
   * Records notifications, together with those of other callers. Each may come again, by any way, in any order.
   *
   * @param notifications as they came, with whatever SNS or EventBridge wrapped around them
   * @returns for each, in order: true where nothing more is to be done about it, also where it is of no interest; false
   *   where it cannot be read
   * @throws the database's error where some could not be written: all of them should be given again
   */
  record(notifications: readonly string[], way: Way): Promise<readonly boolean[]>;
}

export interface EventIntakeDependencies {
  readonly pool: pg.Pool;
  readonly metrics: EventsMetrics;
  readonly logger: Logger;
  /** Left out, nothing is traced. */
  readonly tracer?: Tracer;
  /** Webhook deliveries became due. */
  readonly onDeliveriesDue?: () => void;
}

/** A notification on its way in. */
interface Incoming {
  readonly text: string;
  readonly way: Way;
}

/** One that was read. */
interface Item {
  readonly way: Way;
  readonly notification: SesNotification | null;
  result: NotificationResult;
}

/** SNS posts notifications one by one, and a commit costs as much for one as for many. */
const BATCH = { maxItems: 64, maxWeight: 1_048_576, concurrency: 2, interval: 5 };

export function createEventIntake(dependencies: EventIntakeDependencies): EventIntake {
  const { metrics, logger } = dependencies;
  const batcher = new Batcher<Incoming, boolean>({
    ...BATCH,
    run: incoming => recordTogether(incoming, dependencies),
    weigh: ({ text }) => text.length,
    // A notification that Postgres does not take must not keep the others out.
    isolates: isRefusedByDatabase,
  });

  async function recordOne(incoming: Incoming): Promise<boolean> {
    try {
      return await batcher.add(incoming);
    } catch (error) {
      if (!isRefusedByDatabase(error)) throw error;
      logger.error({ err: error, way: incoming.way }, 'a notification cannot be stored');
      metrics.notifications.inc({ way: incoming.way, result: 'invalid' });
      return false;
    }
  }

  return { record: (notifications, way) => Promise.all(notifications.map(text => recordOne({ text, way }))) };
}

async function recordTogether(
  incoming: readonly Incoming[],
  dependencies: EventIntakeDependencies,
): Promise<boolean[]> {
  const { pool, metrics, logger, tracer = NO_TRACING } = dependencies;
  const beganAt = Date.now();
  const items = incoming.map(({ text, way }) => readItem(text, way, logger));
  const wanted = items.filter(item => item.notification !== null);
  const facts = wanted.length === 0 ? [] : await findMail(pool, wanted.map(questionOf));
  const found = wanted.map((item, index) => {
    const mail = facts[index] ?? null;
    return { item, mail, events: eventsOf(item, mail) };
  });
  const recorded = await recordIncoming(
    pool,
    found.flatMap(({ events }) => events),
  );
  for (const { item, mail, events } of found) {
    const fresh = events.filter(({ id }) => recorded.newEvents.has(id));
    if (events.length > 0) item.result = fresh.length > 0 ? 'recorded' : 'duplicate';
    for (const { type, suppression } of fresh) {
      metrics.events.inc({ type, way: item.way });
      if (suppression) metrics.suppressions.inc({ reason: suppression.reason });
    }
    showEvents(tracer, { mail, way: item.way, types: events.map(({ type }) => type), beganAt });
  }
  for (const { way, result } of items) metrics.notifications.inc({ way, result });
  tell(recorded, dependencies);
  return items.map(({ result }) => result !== 'invalid');
}

interface Shown {
  readonly mail: FoundMail | null;
  readonly way: Way;
  readonly types: readonly string[];
  readonly beganAt: number;
}

/** Adds the events to the trace of their message. */
function showEvents(tracer: Tracer, { mail, way, types, beganAt }: Shown): void {
  const parent = mail?.traceparent;
  if (!tracer.isOn || !mail || !parent || !isSampled({ traceparent: parent })) return;
  for (const type of types) {
    const attributes = {
      'messaging.system': way === 'sqs' ? 'aws_sqs' : 'aws.sns',
      'messaging.operation.name': 'process',
      'messaging.operation.type': 'process',
      'smtp_relay.event': type,
      'smtp_relay.email_id': mail.id,
    };
    tracer.start(`process ses ${type}`, { kind: 'consumer', parent, startTime: beganAt, attributes }).end();
  }
}

function tell({ deliveriesDue, settled }: Recorded, dependencies: EventIntakeDependencies): void {
  const { metrics, logger, onDeliveriesDue } = dependencies;
  if (deliveriesDue) onDeliveriesDue?.();
  if (settled.length === 0) return;
  metrics.settled.inc(settled.length);
  logger.info({ emailIds: settled }, 'events settled outcomes that were unknown');
}

/** Trying again would not help: SQLSTATE classes 22 (data exceptions) and 23 (constraints). */
function isRefusedByDatabase(error: unknown): boolean {
  return isDataException(error) || (error instanceof Error && 'code' in error && /^23/.test(String(error.code)));
}

function readItem(text: string, way: Way, logger: Logger): Item {
  try {
    const notification = readSesNotification(text);
    if (notification === null || notification.occurrences.length === 0)
      return { way, notification: null, result: 'ignored' };
    return { way, notification, result: 'unknown' };
  } catch (error) {
    // A mistake of ours that one notification brings up must not hold up all others.
    if (error instanceof InvalidNotification)
      logger.warn({ reason: error.message, way }, 'a notification cannot be read');
    else logger.error({ err: error, way }, 'a notification cannot be read');
    return { way, notification: null, result: 'invalid' };
  }
}

function questionOf({ notification }: Item) {
  return { emailId: notification?.emailId ?? null, providerMessageId: notification?.messageId ?? '' };
}

/**
 * None where the message is not ours: other applications of the account send by SES too. What is told of a message in sandbox is made
 * up, whoever tells it: it puts nobody on a list that real mail heeds.
 */
function eventsOf({ notification }: Item, email: MailFacts | null): IncomingEvent[] {
  if (notification === null || email === null) return [];
  const { messageId, destination, occurrences } = notification;
  const provider = { transport: email.sandbox ? SIMULATED : SES, messageId };
  return occurrences.map(occurrence => ({
    ...toldEvent(email, occurrence, provider),
    emailId: email.id,
    sourceId: occurrence.sourceId,
    suppression: email.sandbox ? null : suppressionOf(occurrence),
    call: {
      transport: SES,
      providerMessageId: messageId,
      recipients: destination.length > 0 ? destination : occurrence.recipients,
    },
  }));
}

/**
 * Null where the provider names no address, since nothing could be sent there anyway, and for addresses of SES's simulator: SES
 * does not list those either, and a test has to work a second time.
 */
function suppressionOf({ recipients, suppression: reason, details }: Occurrence): IncomingSuppression | null {
  const address = parseAddress(recipients[0] ?? '');
  if (reason === null || address === null || isSesSimulator(address)) return null;
  return { email: comparableAddress(address), reason, metadata: { provider: SES, ...details } };
}
