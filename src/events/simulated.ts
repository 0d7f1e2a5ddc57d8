import type { Simulation } from '../message/addresses/simulator-address.ts';
import type { NewEvent } from '../store/event-types.ts';
import { type EmailFacts, suppressedEvent, toldEvent } from './event.ts';
import { readSesNotification } from './ses/notification.ts';

/** Names, where a transport is named, that nothing went out. */
export const SIMULATED = 'simulated';

export interface SimulatedRecipient {
  readonly address: string;
  readonly simulation: Simulation;
}

/** A call to SES that was not made. */
export interface SimulatedCall {
  /** In the place of the id that SES would give: the same for the same try of a message. */
  readonly messageId: string;
  readonly at: Date;
  /** When recipients' servers answer, and when people complain; no earlier than that. */
  readonly answeredAt: Date;
  readonly complainedAt: Date;
}

/**
 * A call that is made now. Servers answer after a while, and people complain some time after that.
 *
 * @param delay milliseconds that each of the two takes on average: from half to one and a half of it
 */
export function simulateCall(messageId: string, now: number, delay: number): SimulatedCall {
  const answeredAt = now + delay * (0.5 + Math.random());
  const complainedAt = answeredAt + delay * (0.5 + Math.random());
  return { messageId, at: new Date(now), answeredAt: new Date(answeredAt), complainedAt: new Date(complainedAt) };
}

/**
 * The events of a message to such recipients. They are read from notifications like those that SES would send, so they have the
 * same types, payloads and names. They suppress nobody, so that a test can be repeated. Those of what happens later than the call
 * are due then.
 */
export function simulatedEvents(
  email: EmailFacts,
  recipients: readonly SimulatedRecipient[],
  call: SimulatedCall,
): NewEvent[] {
  const at = (...simulations: readonly Simulation[]): string[] =>
    recipients.filter(({ simulation }) => simulations.includes(simulation)).map(({ address }) => address);
  const provider = { transport: SIMULATED, messageId: call.messageId };
  const told = notifications(at, call).flatMap(({ about, ...record }) => {
    if (about.length === 0) return [];
    const mail = { messageId: call.messageId, timestamp: call.at.toISOString(), destination: about };
    const { occurrences = [] } = readSesNotification(JSON.stringify({ ...record, mail })) ?? {};
    return occurrences.map(occurrence => {
      const event = toldEvent(email, occurrence, provider);
      const { occurredAt } = occurrence;
      return occurredAt && occurredAt > call.at ? { ...event, dueAt: occurredAt } : event;
    });
  });
  const suppressed = at('suppressed');
  return suppressed.length === 0
    ? told
    : [
        ...told,
        suppressedEvent(email, { recipients: suppressed, message: 'simulated: as if on the suppression list' }),
      ];
}

/** In the order in which they would come; a complaint is about mail that has arrived. */
function notifications(
  at: (...simulations: readonly Simulation[]) => string[],
  { answeredAt, complainedAt }: SimulatedCall,
) {
  const timestamp = answeredAt.toISOString();
  const listed = (addresses: readonly string[], more: object = {}) =>
    addresses.map(emailAddress => ({ emailAddress, ...more }));
  const bounce = (about: string[], bounceSubType: string, diagnosticCode: string) => ({
    about,
    eventType: 'Bounce',
    bounce: {
      ...{ bounceType: 'Permanent', bounceSubType, timestamp },
      bouncedRecipients: listed(about, { action: 'failed', status: '5.1.1', diagnosticCode }),
    },
  });
  const arrived = at('delivered', 'complained');
  const complaining = at('complained');
  return [
    { about: at('delivered', 'bounced', 'refused', 'complained'), eventType: 'Send', send: {} },
    {
      about: arrived,
      eventType: 'Delivery',
      delivery: { timestamp, recipients: arrived, smtpResponse: '250 2.0.0 simulated: message accepted' },
    },
    bounce(at('bounced'), 'General', 'smtp; 550 5.1.1 simulated: user unknown'),
    bounce(at('refused'), 'Suppressed', "simulated: the address is on SES's own suppression list"),
    {
      about: complaining,
      eventType: 'Complaint',
      complaint: {
        timestamp: complainedAt.toISOString(),
        complaintFeedbackType: 'abuse',
        complainedRecipients: listed(complaining),
      },
    },
  ];
}
