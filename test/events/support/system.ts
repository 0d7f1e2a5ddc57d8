import { randomUUID } from 'node:crypto';
import type pg from 'pg';
import { createEventIntake } from '../../../src/events/intake.ts';
import { createEventsMetrics } from '../../../src/events/metrics.ts';
import { createLogger } from '../../../src/observability/log.ts';
import { createRegistry } from '../../../src/observability/metrics.ts';
import { createPool } from '../../../src/postgres/pool.ts';
import { createDatabase } from '../../support/database.ts';

interface TestContext {
  after(fn: () => Promise<void>): void;
}

export const SILENT = createLogger({ level: 'silent', format: 'json' });

export type EventSystem = Awaited<ReturnType<typeof startEventSystem>>;

export interface EmailOptions {
  readonly status?: string;
  readonly userId?: string | null;
  readonly recipients?: readonly string[];
  /** The id under which SES has it, as an attempt says that was sent. */
  readonly providerMessageId?: string;
}

/** An intake on a database of the test's own. */
export async function startEventSystem(t: TestContext) {
  const databaseUrl = await createDatabase(t);
  const options = { databaseUrl, poolSize: 8, connectTimeout: 60_000, statementTimeout: 60_000 };
  const pool = createPool(options, SILENT);
  t.after(() => pool.end());
  const registry = createRegistry();
  const metrics = createEventsMetrics(registry);
  const told = { deliveries: 0 };
  const intake = createEventIntake({
    ...{ pool, metrics, logger: SILENT },
    onDeliveriesDue: () => {
      told.deliveries += 1;
    },
  });
  return {
    ...{ databaseUrl, pool, intake, metrics, told },
    /** Records one notification that came by SNS. */
    record: async (record: object) => (await intake.record([JSON.stringify(record)], 'sns'))[0],
    addEmail: (email: EmailOptions = {}) => addEmail(pool, email),
    rows: async (sql: string, values: readonly unknown[] = []) => (await pool.query(sql, [...values])).rows,
    statusOf: async (id: string) => (await pool.query('select status from emails where id = $1', [id])).rows[0]?.status,
    /** The value of a counter, where it has labels with these. */
    counted: async (name: string, labels: Readonly<Record<string, string>> = {}) => {
      const { values = [] } = (await registry.getMetricsAsJSON()).find(metric => metric.name === name) ?? {};
      const same = values.find(value => Object.entries(labels).every(([label, is]) => value.labels[label] === is));
      return same?.value ?? 0;
    },
  };
}

async function addEmail(pool: pg.Pool, options: EmailOptions): Promise<string> {
  const { status = 'sent', userId = 'acme', recipients = ['recipient@example.com'], providerMessageId } = options;
  const id = randomUUID();
  await pool.query(
    `insert into emails (id, "from", "to", subject, tags, status, user_id, created_at)
     values ($1, 'Acme <hello@acme.test>', $2, 'Hello', '[{"name": "order", "value": "7"}]', $3, $4, '2026-01-01')`,
    [id, JSON.stringify(recipients), status, userId],
  );
  await pool.query(
    `insert into smtp_relay_messages (email_id, raw, sha256, size_bytes, reverse_path, recipients, message_id)
     values ($1, '', '', 0, 'hello@acme.test', $2, '1@acme.test')`,
    [id, JSON.stringify(recipients)],
  );
  if (providerMessageId) await addAttempt(pool, id, { recipients, outcome: 'sent', providerMessageId });
  return id;
}

export interface AttemptOptions {
  readonly recipients: readonly string[];
  readonly outcome: string;
  readonly providerMessageId?: string | null;
}

export async function addAttempt(pool: pg.Pool, emailId: string, attempt: AttemptOptions): Promise<void> {
  await pool.query(
    `insert into smtp_relay_attempts (email_id, try, transport, recipients, outcome, provider_message_id, started_at)
     values ($1, 0, 'ses', $2, $3, $4, now())`,
    [emailId, JSON.stringify(attempt.recipients), attempt.outcome, attempt.providerMessageId ?? null],
  );
}
