import type pg from 'pg';
import { clickedEvent, openedEvent } from '../events/event.ts';
import { type IncomingEvent, type Recorded, recordIncoming } from '../store/events/incoming.ts';
import { findTracked, type TrackedMail } from '../store/events/mail.ts';
import type { Hit } from './hits.ts';

export interface HitRecorderOptions {
  readonly pool: pg.Pool;
  /** Told after each commit: webhook deliveries that are due, outcomes that are known now. */
  readonly onRecorded?: (recorded: Recorded) => void;
}

/** What the attempts of a message say of how its fate became known. */
const TRANSPORT = 'tracking';

/**
 * Writes hits as events, with due webhook deliveries, by one commit; for `createHits`. Hits of messages that were deleted
 * are left out. Rejects with the database's error; the same hits given again are written once.
 */
export function createHitRecorder({ pool, onRecorded }: HitRecorderOptions): (hits: readonly Hit[]) => Promise<void> {
  return async hits => {
    const ids = hits.map(({ emailId }) => emailId);
    const mails = await findTracked(pool, ids);
    const events = hits.flatMap(hit => {
      const mail = mails.get(hit.emailId);
      return mail ? [eventOf(hit, mail)] : [];
    });
    const recorded = await recordIncoming(pool, events);
    onRecorded?.(recorded);
  };
}

/** A message is the same for all its recipients, so with several of them it could be any. */
function eventOf({ id, url, userAgent, at }: Hit, mail: TrackedMail): IncomingEvent {
  const { recipients } = mail;
  const details = { recipients, userAgent, occurredAt: at };
  return {
    ...(url === null ? openedEvent(mail, details) : clickedEvent(mail, { ...details, link: url })),
    emailId: mail.id,
    sourceId: `hit:${id}`,
    suppression: null,
    // Whoever opened it has got it, which may be the first that is heard of it.
    call: { transport: TRANSPORT, providerMessageId: null, recipients: recipients.length === 1 ? recipients : [] },
  };
}
