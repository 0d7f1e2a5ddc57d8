/** What an endpoint can ask for. */
export const WEBHOOK_EVENTS = [
  'email.sent',
  'email.delivered',
  'email.delayed',
  'email.delivery_delayed',
  'email.bounced',
  'email.complained',
  'email.suppressed',
  'email.failed',
  'email.opened',
  'email.clicked',
  'webhook.disabled',
] as const;

/** All of them, also those to come. */
export const ALL_EVENTS = '*';

/** What an event is called to receivers. @param type `email_events.type` */
export function eventName(type: string): string {
  return type === 'webhook_disabled' ? 'webhook.disabled' : `email.${type}`;
}

/**
 * Reads a list of event types as a person writes it: separated by commas; `*` and `all` are all.
 *
 * @returns each once, or only `*`
 * @throws RangeError that names the first that is none
 */
export function parseEventTypes(text: string): string[] {
  const names = text.split(',').map(name => name.trim().toLowerCase());
  if (names.some(name => name === ALL_EVENTS || name === 'all')) return [ALL_EVENTS];
  const unknown = names.find(name => !WEBHOOK_EVENTS.some(type => type === name));
  if (unknown !== undefined) {
    throw new RangeError(`"${unknown}" is no event; there are ${WEBHOOK_EVENTS.join(', ')}, and "all"`);
  }
  return [...new Set(names)];
}
