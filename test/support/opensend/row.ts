import type { Queryable } from '../../../src/postgres/pool.ts';

export interface StoredAttachment {
  readonly filename?: unknown;
  readonly content?: unknown;
  readonly content_type?: unknown;
  readonly content_id?: unknown;
}

/** A row of `emails` as OpenSend's worker reads it (contract, "Messages"). */
export interface QueuedRow {
  readonly id: string;
  readonly from: string;
  readonly to: readonly string[];
  readonly cc: readonly string[] | null;
  readonly bcc: readonly string[] | null;
  readonly reply_to: readonly string[] | null;
  readonly subject: string;
  readonly html: string | null;
  readonly text: string | null;
  readonly headers: Readonly<Record<string, string>> | null;
  readonly attachments: readonly StoredAttachment[] | null;
  readonly user_id: string | null;
  readonly provider_retry_count: number;
}

/** What the `domains` row of From says of SES (contract, "SES's settings come from the `domains` row of From"). */
export interface SenderDomain {
  readonly region: string;
  readonly configurationSet: string | null;
}

/** Rows that nobody waits for (contract: "Claims `queued`, and `scheduled` when due; only where ... is null or past"). */
const DUE = `
  (status = 'queued' or (status = 'scheduled' and scheduled_at is not null))
  and (scheduled_at is null or scheduled_at <= now())
  and (provider_next_retry_at is null or provider_next_retry_at <= now())`;

const FIND_DUE = `select id from emails where ${DUE} order by created_at limit $1`;

/** One conditional UPDATE (contract, "Statuses"): of two workers one gets the row. */
const CLAIM = `update emails set status = 'processing' where id = $1 and ${DUE} returning *`;

/** The name is compared as it is stored, with the sender's in lower case. */
const FIND_DOMAIN = `
  select region, ses_configuration_set_name as "configurationSet" from domains where name = $1 and user_id = $2 limit 1`;

const SENT = `
  update emails set status = 'sent', sent_at = now(), provider_next_retry_at = null, provider_dead_lettered_at = null
   where id = $1`;

const FAILED_ATTEMPT = `
  update emails
     set status = $2::varchar, provider_retry_count = $3, provider_last_attempted_at = now(),
         provider_next_retry_at = now() + $4 * interval '1 millisecond', provider_last_error_code = $5,
         provider_last_error_message = $6, provider_dead_lettered_at = case when $2::varchar = 'failed' then now() end
   where id = $1`;

const EVENT = `
  insert into email_events (email_id, user_id, source_id, type, payload) values ($1, $2, $3, $4, $5)`;

const DEFAULT_REGION = 'us-east-1';

/** @returns the ids of rows that could be claimed now, oldest first */
export async function findDue(db: Queryable, limit: number): Promise<string[]> {
  const { rows } = await db.query<{ id: string }>(FIND_DUE, [limit]);
  return rows.map(({ id }) => id);
}

/** @returns the row, which nobody else gets; null where it is not to be sent, or not yet */
export async function claim(db: Queryable, emailId: string): Promise<QueuedRow | null> {
  return (await db.query<QueuedRow>(CLAIM, [emailId])).rows[0] ?? null;
}

export async function findDomain(db: Queryable, { from, user_id }: QueuedRow): Promise<SenderDomain> {
  const address = /<([^<>\s]+)>\s*$/.exec(from)?.[1] ?? from.trim();
  const name = address.slice(address.lastIndexOf('@') + 1).toLowerCase();
  const { rows } = await db.query<SenderDomain>(FIND_DOMAIN, [name, user_id]);
  return rows[0] ?? { region: DEFAULT_REGION, configurationSet: null };
}

export async function markSent(db: Queryable, emailId: string): Promise<void> {
  await db.query(SENT, [emailId]);
}

export interface FailedAttempt {
  /** The number of this try, from 1. */
  readonly attempt: number;
  /** No further try follows. */
  readonly last: boolean;
  /** Milliseconds until the row may be claimed again; null: whenever its job comes back. */
  readonly wait: number | null;
  readonly error: Error;
}

/** Contract: "Failure: back to `queued`, event `delayed`; three tries; then `failed`, event `failed`". */
export async function markFailedAttempt(db: Queryable, row: QueuedRow, failed: FailedAttempt): Promise<void> {
  const { attempt, last, wait, error } = failed;
  const values = [row.id, last ? 'failed' : 'queued', attempt, last ? null : wait, error.name, error.message];
  await db.query(FAILED_ATTEMPT, values);
  const type = last ? 'failed' : 'delayed';
  const payload = { attempt, error: { code: error.name, message: error.message } };
  await addEvent(db, row, type, payload, String(attempt));
}

/** @param key tells it from the message's other events of that type */
export async function addEvent(db: Queryable, row: QueuedRow, type: string, payload: object, key = ''): Promise<void> {
  await db.query(EVENT, [row.id, row.user_id, `double:${type}:${row.id}:${key}`, type, JSON.stringify(payload)]);
}

/** For the statuses of simulated recipients. */
export async function setStatus(db: Queryable, emailId: string, status: string): Promise<void> {
  await db.query('update emails set status = $2 where id = $1', [emailId, status]);
}
