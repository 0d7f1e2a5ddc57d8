/**
 * What happens to a message after its acceptance, as `email_events.type` says it (pipeline contract). Besides, there is
 * `webhook_disabled`, about an endpoint and no message (`store/webhooks/outcomes.ts`).
 */
export const EVENT_TYPES = [
  'sent',
  'delivered',
  'bounced',
  'complained',
  'delivery_delayed',
  'delayed',
  'suppressed',
  'opened',
  'clicked',
  'failed',
] as const;
export type EventType = (typeof EVENT_TYPES)[number];

/** An event that is to be written: a row of `email_events`. */
export interface NewEvent {
  /** A UUID. */
  readonly id: string;
  readonly emailId: string | null;
  readonly userId: string | null;
  readonly type: EventType;
  /** The same event has the same one, whichever way it comes in; at most 255 characters. null: it comes in once only. */
  readonly sourceId: string | null;
  /** What webhooks carry as `data`. */
  readonly payload: object;
  /** When it happened, where somebody else tells; it is written when it is heard of. */
  readonly occurredAt?: Date;
}
