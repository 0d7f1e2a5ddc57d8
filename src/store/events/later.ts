import type pg from 'pg';
import { inTransaction } from '../../postgres/pool.ts';
import type { NewEvent } from '../event-types.ts';
import { type IncomingEvent, recordIncomingOn } from './incoming.ts';

/** What came of looking for events that are due. */
export interface LaterRecorded {
  readonly events: number;
  readonly deliveriesDue: boolean;
  /** Milliseconds until the next one is due; null where none is kept. */
  readonly nextIn: number | null;
}

interface StoredEvent extends Omit<NewEvent, 'emailId' | 'sourceId'> {
  readonly emailId: string;
  readonly sourceId: string;
  readonly payload: {
    readonly recipients: readonly string[];
    readonly provider: { readonly transport: string; readonly message_id: string | null };
  };
}

/** $1: so many at most. What another worker is just telling is its own. */
const TAKE = `
  delete from smtp_relay_later_events
   where id = any (array(select id from smtp_relay_later_events where due_at <= now()
                          order by due_at limit $1 for update skip locked))
  returning event`;

const NEXT = `
  select (extract(epoch from min(due_at) - now()) * 1000)::float8 as "nextIn" from smtp_relay_later_events`;

/**
 * Writes the events that are due by now of those that settlements have left for later, by one commit, as if a provider told of them.
 *
 * @param limit so many at most
 */
export async function recordLater(pool: pg.Pool, limit: number): Promise<LaterRecorded> {
  const { events, deliveriesDue } = await inTransaction(pool, async db => {
    const { rows } = await db.query<{ event: StoredEvent }>(TAKE, [limit]);
    if (rows.length === 0) return { events: 0, deliveriesDue: false };
    const told = await recordIncomingOn(
      db,
      rows.map(({ event }) => incomingOf(event)),
    );
    return { events: rows.length, deliveriesDue: told.deliveriesDue };
  });
  const { rows } = await pool.query<{ nextIn: number | null }>(NEXT);
  return { events, deliveriesDue, nextIn: rows[0]?.nextIn ?? null };
}

/** What is only played suppresses nobody. */
function incomingOf(event: StoredEvent): IncomingEvent {
  const { recipients, provider } = event.payload;
  const call = { transport: provider.transport, providerMessageId: provider.message_id, recipients };
  return { ...event, suppression: null, call };
}
