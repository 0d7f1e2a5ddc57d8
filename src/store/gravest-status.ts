/** From the least grave to the gravest. Statuses that are none of these say nothing about what became of a message. */
const GRAVITY = ['sent', 'delivered', 'failed', 'bounced', 'complained'];
const BY_GRAVITY = `array[${GRAVITY.map(status => `'${status}'`).join(', ')}]`;

function rankOf(status: string): string {
  return `array_position(${BY_GRAVITY}, ${status}::text)`;
}

/**
 * SQL: the gravest of a status and of what the events of that message say, so that the order in which they come in does not
 * matter. Of a message to several recipients, it is what happened to the one who fared worst.
 *
 * @param emailId SQL for the message's id
 * @param status SQL for the status it would have without events
 */
export function gravestStatus(emailId: string, status: string): string {
  const told = `(select max(${rankOf('told.type')}) from email_events told where told.email_id = ${emailId})`;
  return `coalesce((${BY_GRAVITY})[greatest(${rankOf(status)}, ${told})], ${status})`;
}

/** The same for events that are not written yet: the gravest of a status and of their types. */
export function gravestOf(status: string, types: readonly string[]): string {
  return types.reduce((gravest, type) => (GRAVITY.indexOf(type) > GRAVITY.indexOf(gravest) ? type : gravest), status);
}
