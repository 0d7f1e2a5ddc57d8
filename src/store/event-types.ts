/** One thing that an owner can be told of. */
interface EventKind<Details extends object> {
  /** What receivers of webhooks call it, and ask for it by. */
  readonly name: string;
  /** When it happens, for `docs/webhooks.md`. */
  readonly when: string;
  /** The member of its payload that says more about it; left out where none does. */
  readonly member?: string;
  /** A message has the status that is called like its gravest event; left out where no status follows from it. */
  readonly gravity?: number;
  /** What that member holds. For the compiler alone: no value is ever here. */
  readonly details?: Details;
}

function kind<Details extends object = object>(said: Omit<EventKind<Details>, 'details'>): EventKind<Details> {
  return said;
}

/**
 * All that there is to tell, by `email_events.type` (pipeline contract). A type of event is described here and nowhere else: what
 * webhooks ask for, what commands offer, the schemas of documents, the table in the documentation and the shape of its payload
 * follow from it.
 */
export const EVENTS = {
  sent: kind({ name: 'email.sent', when: 'The message was handed to the provider.', gravity: 1 }),
  delivered: kind<{ smtp_response: string | null }>({
    name: 'email.delivered',
    when: "The recipient's server took it.",
    member: 'delivered',
    gravity: 2,
  }),
  delayed: kind<{ code: string; message: string; attempt: number; next_attempt_at: string | null }>({
    name: 'email.delayed',
    when: 'The provider did not take the message; it is tried again.',
    member: 'delayed',
  }),
  delivery_delayed: kind<{ type: string | null; message: string | null }>({
    name: 'email.delivery_delayed',
    when: "The recipient's server does not take it yet.",
    member: 'delivery_delayed',
  }),
  bounced: kind<{ type: string; sub_type: string | null; message: string | null }>({
    name: 'email.bounced',
    when: 'It came back. A hard bounce suppresses the recipient.',
    member: 'bounce',
    gravity: 4,
  }),
  complained: kind<{ type: string | null; sub_type: string | null }>({
    name: 'email.complained',
    when: 'The recipient called it spam, and is suppressed.',
    member: 'complaint',
    gravity: 5,
  }),
  suppressed: kind<{ message: string }>({
    name: 'email.suppressed',
    when: 'A recipient is on the suppression list, and was left out: since the message was accepted, or at RCPT (`suppression: recipient`).',
    member: 'suppressed',
  }),
  failed: kind<{ code: string; message: string }>({
    name: 'email.failed',
    when: 'It could not be sent, and is not tried any more.',
    member: 'failed',
    gravity: 3,
  }),
  opened: kind<{ user_agent: string | null }>({
    name: 'email.opened',
    when: 'Its pixel was asked for: see [tracking](tracking.md).',
    member: 'open',
  }),
  clicked: kind<{ link: string | null; user_agent: string | null }>({
    name: 'email.clicked',
    when: 'A link of it was followed: see [tracking](tracking.md).',
    member: 'click',
  }),
  /** About an endpoint and no message (`store/webhooks/outcomes.ts`). */
  webhook_disabled: kind({ name: 'webhook.disabled', when: 'Another endpoint of the owner was disabled.' }),
} as const;

/** What happens to a message after its acceptance. */
export type EventType = Exclude<keyof typeof EVENTS, 'webhook_disabled'>;

/** What its details are, in the payload. */
export type DetailsOf<T extends EventType> = (typeof EVENTS)[T] extends EventKind<infer Details> ? Details : never;

/** The part of a payload that events of this type alone have. */
export function detailsOf<T extends EventType>(type: T, details: DetailsOf<T>): Readonly<Record<string, object>> {
  const { member } = EVENTS[type];
  return member === undefined ? {} : { [member]: details };
}

/** What is known of a type as the database has it, where OpenSend may have written others. */
export function eventKind(type: string): EventKind<object> | undefined {
  return Object.hasOwn(EVENTS, type) ? EVENTS[type as keyof typeof EVENTS] : undefined;
}

/** What an event is called to receivers. @param type `email_events.type` */
export function eventName(type: string): string {
  return eventKind(type)?.name ?? `email.${type}`;
}

/** SQL: `eventName` of a row with a column `type` that goes by the name given. */
export function eventNameOf(row: string): string {
  const others = Object.entries(EVENTS).filter(([type, { name }]) => name !== `email.${type}`);
  const cases = others.map(([type, { name }]) => `when '${type}' then '${name}'`);
  return `(case ${row}.type ${cases.join(' ')} else 'email.' || ${row}.type end)`;
}

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
  /** When it is to be written, where that is later than what it comes with. Left out: with it. */
  readonly dueAt?: Date;
}
