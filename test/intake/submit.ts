import assert from 'node:assert/strict';
import type { Message } from '@aws-sdk/client-sqs';
import { eventually } from '../support/eventually.ts';
import type { TestRelay } from '../support/relay.ts';
import { emailIdOf, type Reply, SmtpClient } from '../support/smtp-client.ts';

interface TestContext {
  after(fn: () => void): void;
}

export interface Envelope {
  readonly from?: string;
  readonly to?: readonly string[];
}

/** A row of `emails`, as the pipeline contract describes it. */
export interface EmailRow {
  readonly id: string;
  readonly from: string;
  readonly to: string[];
  readonly cc: string[] | null;
  readonly bcc: string[] | null;
  readonly reply_to: string[] | null;
  readonly subject: string;
  readonly html: string | null;
  readonly text: string | null;
  readonly headers: Record<string, string>;
  readonly attachments:
    | { filename: string; content?: string; content_type: string; content_id: string | null }[]
    | null;
  readonly tags: { name: string; value: string }[] | null;
  readonly status: string;
  readonly user_id: string;
  readonly idempotency_key: string | null;
  readonly [column: string]: unknown;
}

/** A row of `smtp_relay_messages`. */
export interface OriginalRow {
  readonly raw: Buffer;
  readonly sha256: Buffer;
  readonly size_bytes: number;
  readonly reverse_path: string;
  readonly recipients: string[];
  readonly body_type: string;
  readonly smtp_utf8: boolean;
  readonly track_opens: boolean | null;
  readonly track_clicks: boolean | null;
  readonly message_id: string | null;
}

/** Sends a message, byte for byte, over a connection of its own. @param raw with CRLF at its end */
export async function submit(
  t: TestContext,
  relay: TestRelay,
  raw: Buffer,
  { from = `a@${relay.owner.domain}`, to = ['b@example.com'] }: Envelope = {},
  expected = '',
): Promise<Reply> {
  assert.equal(raw.subarray(-2).toString(), '\r\n', 'DATA always ends with a line end');
  const client = await SmtpClient.loggedIn(t, relay);
  const stuffed = raw.toString('latin1').replaceAll(/^\./gm, '..').slice(0, -2);
  const reply = await client.transact({ from, to, data: Buffer.from(stuffed, 'latin1') }, expected);
  client.end();
  return reply;
}

/** Sends a message that has to be accepted. @returns its id */
export async function accepted(t: TestContext, relay: TestRelay, raw: Buffer, envelope?: Envelope): Promise<string> {
  return emailIdOf(await submit(t, relay, raw, envelope, '250 2.0.0 Ok: queued as '));
}

/** Sends a message and shows its row. */
export async function storedRow(t: TestContext, relay: TestRelay, raw: Buffer, envelope?: Envelope): Promise<EmailRow> {
  return emailRow(relay, await accepted(t, relay, raw, envelope));
}

export async function emailRow(relay: TestRelay, id: string): Promise<EmailRow> {
  const { rows } = await relay.db.query<EmailRow>('select * from emails where id = $1', [id]);
  assert.equal(rows.length, 1, `one row with the id ${id}`);
  return rows[0] as EmailRow;
}

export async function originalRow(relay: TestRelay, id: string): Promise<OriginalRow | null> {
  const { rows } = await relay.db.query<OriginalRow>('select * from smtp_relay_messages where email_id = $1', [id]);
  return rows[0] ?? null;
}

/** How many messages are stored. */
export async function countEmails(relay: TestRelay): Promise<number> {
  const { rows } = await relay.db.query<{ count: number }>('select count(*)::integer as count from emails');
  return rows[0]?.count ?? 0;
}

/** What a relay publishes: all jobs so far, by the id of their message. */
export function collectJobs(relay: TestRelay) {
  const jobs: Message[] = [];
  const receive = async () => jobs.push(...((await relay.queue?.receiveAll()) ?? []));
  const of = (id: string) => jobs.filter(({ Body = '' }) => JSON.parse(Body).emailId === id);
  return {
    /** Waits for the message's job. */
    async jobOf(id: string): Promise<Message> {
      // One whose call to the queue failed waits for the end of its lease and for the next sweep.
      const job = await eventually(async () => {
        await receive();
        return of(id)[0];
      });
      return job as Message;
    },
    /** The message's jobs by now; for more than one there has to be one that came later, so ask for that first. */
    jobsOf: of,
  };
}
