import type { Queryable } from '../../../src/postgres/pool.ts';
import { addEvent, markSent, type QueuedRow, setStatus } from './row.ts';

/*
 * Contract: "Recipients `delivered`, `bounced`, `complained`, `suppressed` (also `+label`) at `resend.dev` are simulated,
 * if all recipients of a message are such: events as if SES had sent them, nothing goes out."
 *
 * Seen in a run of OpenSend's worker: all of them have to have one outcome, `suppressed` has no label, and the event
 * makes the status.
 */
const SIMULATED = /^(?:(delivered|bounced|complained)(?:\+[^@]*)?|(suppressed))@resend\.dev$/i;

const SUPPRESS = `
  insert into email_suppressions (user_id, email, reason, source_email_id) values ($1, $2, $3, $4)
  on conflict (user_id, email) do update set reason = excluded.reason, updated_at = now()`;

/** @returns what is simulated for that message; null where it goes to SES */
export function simulatedOutcome({ to, cc, bcc }: QueuedRow): string | null {
  const outcomes = [...to, ...(cc ?? []), ...(bcc ?? [])].map(address => {
    const match = SIMULATED.exec(address.trim());
    return (match?.[1] ?? match?.[2] ?? null)?.toLowerCase() ?? null;
  });
  const [first = null] = outcomes;
  return outcomes.every(outcome => outcome === first) ? first : null;
}

export async function simulate(db: Queryable, row: QueuedRow, outcome: string): Promise<void> {
  if (outcome !== 'suppressed') await markSent(db, row.id);
  await setStatus(db, row.id, outcome);
  if (outcome === 'delivered') await addEvent(db, row, 'sent', { recipients: row.to });
  await addEvent(db, row, outcome, { recipients: row.to });
  if (outcome !== 'bounced' && outcome !== 'complained') return;
  for (const address of row.to) await db.query(SUPPRESS, [row.user_id, address.toLowerCase(), outcome, row.id]);
}
