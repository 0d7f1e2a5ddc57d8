import { EVENTS } from '../event-types.ts';

/** From the least grave to the gravest. Statuses that are none of these say nothing about what became of a message. */
const GRAVITY = Object.entries(EVENTS)
  .flatMap(([status, { gravity }]) => (gravity === undefined ? [] : [{ status, gravity }]))
  .sort((one, other) => one.gravity - other.gravity)
  .map(({ status }) => status);

/** SQL: the types of events that tell of a status. A message may have any number of others, such as clicks. */
const TELLING = GRAVITY.map(status => `'${status}'`).join(', ');
const BY_GRAVITY = `array[${TELLING}]`;

function rankOf(status: string): string {
  return `array_position(${BY_GRAVITY}, ${status}::text)`;
}

/**
 * SQL about `told`, an event: a passing bounce of a recipient who has got the message. That is an answer, such as being out of
 * office, and takes nothing back (SES developer guide, "Bounce types").
 */
const ANSWERED = `(told.type = 'bounced' and told.payload -> 'bounce' ->> 'type' = 'Transient' and exists (
  select from email_events got where got.email_id = told.email_id and got.type = 'delivered'
     and lower(got.payload ->> 'recipients') = lower(told.payload ->> 'recipients')))`;

/**
 * SQL: the gravest of a status and of what the events of that message say, so that the order in which they come in does not
 * matter. Of a message to several recipients, it is what happened to the one who fared worst.
 *
 * @param emailId SQL for the message's id
 * @param status SQL for the status it would have without events
 */
export function gravestStatus(emailId: string, status: string): string {
  const rank = `case when ${ANSWERED} then null else ${rankOf('told.type')} end`;
  const told = `(select max(${rank}) from email_events told
    where told.email_id = ${emailId} and told.type in (${TELLING}))`;
  return `coalesce((${BY_GRAVITY})[greatest(${rankOf(status)}, ${told})], ${status})`;
}

/**
 * SQL: a status less what was too grave, since the answer came in before the delivery. Only then does a status become milder.
 *
 * @param emailId SQL for the message's id
 * @param status SQL for the status that the message has
 */
export function withoutAnswers(emailId: string, status: string): string {
  const onlyAnswers = `(select bool_and(${ANSWERED}) from email_events told where told.email_id = ${emailId} and told.type = 'bounced')`;
  return `(case when ${status} = 'bounced' and ${onlyAnswers} then 'sent' else ${status} end)`;
}

/** Whether events of this type tell of a status. */
export function tellsStatus(type: string): boolean {
  return GRAVITY.includes(type);
}

/** For events that are not written yet: the gravest of a status and of their types. */
export function gravestOf(status: string, types: readonly string[]): string {
  return types.reduce((gravest, type) => (GRAVITY.indexOf(type) > GRAVITY.indexOf(gravest) ? type : gravest), status);
}
