import type { Context } from '../context.ts';
import type { Events } from '../events/create-events.ts';
import type { HttpMetrics } from '../http/metrics.ts';
import type { LoadPages } from '../http/pages.ts';
import type { ObjectStore } from '../objects/store.ts';
import type { Rehearsal } from '../smtp/rehearsal.ts';
import type { LiveChanges } from './live.ts';

export interface InboxParts extends Context {
  /** Takes what SES would tell. */
  readonly events: Pick<Events, 'intake'>;
  /** Whether the database is known to be one to read. */
  readonly isPrepared: () => boolean;
  /** Webhook deliveries have become due. */
  readonly onDeliveriesDue: () => void;
  readonly objects: ObjectStore;
  readonly metrics: HttpMetrics;
  readonly loadPages: LoadPages;
}

/** What the routes of the inbox share. */
export interface Inbox extends Omit<InboxParts, 'loadPages' | 'metrics'> {
  readonly changes: LiveChanges;
  /** Says what the relay would answer to a message under another key. */
  readonly rehearsal: Rehearsal;
  /** Whether other mail goes to people, so that only what was captured, or sent with a key in sandbox, may be seen. */
  readonly onlyCaptured: () => boolean;
}
