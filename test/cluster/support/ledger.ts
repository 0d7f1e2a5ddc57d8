import assert from 'node:assert/strict';
import type pg from 'pg';
import { eventually } from '../../support/eventually.ts';
import type { MailersResult } from '../../support/mailers.ts';

export interface LedgerOptions {
  /** Whether our worker delivers them; otherwise they stay queued. */
  readonly delivered: boolean;
  /** What clients may have been told; nothing unless given. */
  readonly mayFail?: RegExp;
  /** Milliseconds until all are delivered, at most. */
  readonly within?: number;
}

const SETTLE_LIMIT = 180_000;
const ROWS = `
  select subject, status, count(*) over (partition by subject)::integer as copies,
         (select count(*) from smtp_relay_attempts a where a.email_id = e.id and a.outcome = 'sent')::integer as sent
    from emails e where subject = any($1::text[])`;

interface Row {
  readonly subject: string;
  readonly status: string;
  readonly copies: number;
  readonly sent: number;
}

/**
 * That nothing was lost or doubled: each message that got its 250 has one row, and was sent once where we send. Prints what
 * clients saw.
 */
export async function checkLedger(db: pg.Pool, result: MailersResult, options: LedgerOptions): Promise<void> {
  const { delivered, mayFail = /^$/, within = SETTLE_LIMIT } = options;
  const { subjects, errors, times } = result;
  const quantile = (q: number) => `${Math.round(times[Math.floor(times.length * q)] ?? 0)} ms`;
  const said = [...errors].map(([text, count]) => `${count} times: ${text}`);
  console.log(
    `${subjects.size} messages, ${quantile(0.5)} in the middle, ${quantile(1 - 1e-9)} at most; errors: ${said.join('; ') || 'none'}`,
  );
  assert.ok(subjects.size > 100, 'there was a load');
  for (const text of errors.keys()) assert.match(text, mayFail);
  const want = delivered ? 'sent' : 'queued';
  await eventually(async () => {
    const { rows } = await db.query<Row>(ROWS, [[...subjects]]);
    assert.equal(rows.length, subjects.size, 'each message has one row');
    assert.deepEqual(
      rows.find(row => row.copies !== 1),
      undefined,
    );
    assert.deepEqual(
      rows.find(row => row.status !== want),
      undefined,
    );
    if (delivered)
      assert.deepEqual(
        rows.find(row => row.sent !== 1),
        undefined,
      );
    return true;
  }, within);
}
