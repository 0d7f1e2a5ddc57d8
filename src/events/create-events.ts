import type { Context } from '../context.ts';
import type { Logger } from '../observability/log.ts';
import { createEventQueue, type EventQueue } from '../queue/event-queue.ts';
import { createEventIntake, type EventIntake } from './intake.ts';
import { LaterEvents } from './later-events.ts';
import { createEventsMetrics, type EventsMetrics } from './metrics.ts';

export interface EventsParts extends Context {
  /** Webhook deliveries have become due. */
  readonly onDeliveriesDue: () => void;
}

export interface Events {
  /** Records notifications of SES, whichever way they come. */
  readonly intake: EventIntake;
  readonly metrics: EventsMetrics;
  readonly logger: Logger;
  /** Those that arrive on a queue; null where there is none. */
  readonly queue: EventQueue | null;
  /** What is to be told later. */
  readonly later: LaterEvents;
}

/** Puts the room together from the configuration. */
export function createEvents({ live, pool, onDeliveriesDue, registry, tracer, logger }: EventsParts): Events {
  const metrics = createEventsMetrics(registry);
  const child = logger.child({ room: 'events' });
  const intake = createEventIntake({ pool, metrics, tracer, logger: child, onDeliveriesDue });
  const { events, awsRegion, sqsEndpoint } = live.current;
  const { queueUrl } = events;
  const queue =
    queueUrl === ''
      ? null
      : createEventQueue({
          queueUrl,
          region: awsRegion,
          endpoint: sqsEndpoint || null,
          handle: bodies => intake.record(bodies, 'sqs'),
          logger: child,
        });
  const later = new LaterEvents({ pool, onDeliveriesDue, logger: child });
  return { intake, metrics, logger: child, queue, later };
}
