import assert from 'node:assert/strict';
import { randomBytes, randomUUID } from 'node:crypto';
import { pino } from 'pino';
import { createRegistry } from '../../src/observability/metrics.ts';
import { INSERT_DUE_DELIVERIES } from '../../src/store/webhooks/deliveries.ts';
import { createWebhook } from '../../src/store/webhooks/webhooks.ts';
import { Dispatcher, type DispatcherDependencies, type DispatcherOptions } from '../../src/webhooks/dispatcher.ts';
import { createSecretBox, newSecret } from '../../src/webhooks/signing.ts';
import { createDatabase } from '../support/database.ts';
import { eventually } from '../support/eventually.ts';
import { openPool } from '../support/pool.ts';

interface TestContext {
  after(fn: () => Promise<void>): void;
}

export interface Delivery {
  readonly id: string;
  readonly webhook_id: string;
  readonly event_id: string;
  readonly attempt: number;
  readonly status: string;
  readonly status_code: number | null;
  readonly response_body: string | null;
  readonly attempted_at: Date | null;
  readonly next_retry_at: Date | null;
  /** Seconds from the last try, or from now, to the next. */
  readonly pause: number | null;
}

export const OWNER = 'acme';

const INSERT_EVENTS = `
  with new_events as (
    insert into email_events (id, type, payload, user_id)
    select gen_random_uuid(), $1, $2, $3 from generate_series(1, $4)
    returning id, type, user_id
  ), due as (${INSERT_DUE_DELIVERIES} returning webhook_id)
  select id from new_events`;

/** A database with endpoints and events, and dispatchers on it. */
export async function createSystem(t: TestContext) {
  const key = randomBytes(32).toString('base64');
  const box = createSecretBox([key]);
  const url = await createDatabase(t);
  const pool = openPool(url, 10);
  const registry = createRegistry();
  const running = new Set<Dispatcher>();
  t.after(async () => {
    await Promise.all([...running].map(dispatcher => dispatcher.stop(0)));
    await pool.end();
  });

  return {
    url,
    pool,
    key,
    box,
    registry,
    /** @returns its id and secret */
    async endpoint(target: string, { owner = OWNER, events = ['*'] }: { owner?: string; events?: string[] } = {}) {
      const id = randomUUID();
      const secret = newSecret();
      await createWebhook(pool, { id, owner, url: target, events, secret: box.seal(secret, id) });
      return { id, secret };
    },
    /** Records events the way that their recorders do. @returns their ids */
    async events(count = 1, { type = 'sent', payload = { email_id: 'x' } as object, owner = OWNER } = {}) {
      const { rows } = await pool.query<{ id: string }>(INSERT_EVENTS, [type, JSON.stringify(payload), owner, count]);
      return rows.map(({ id }) => id);
    },
    async deliveries(webhookId?: string): Promise<Delivery[]> {
      const { rows } = await pool.query<Delivery>(
        `select *, extract(epoch from next_retry_at - coalesce(attempted_at, now()))::float8 as pause
           from webhook_deliveries where $1::uuid is null or webhook_id = $1 order by created_at, id`,
        [webhookId ?? null],
      );
      return rows;
    },
    /** Deliveries that failed and wait for their next try become due. */
    makeDue: () => pool.query(`update webhook_deliveries set next_retry_at = now() where status = 'failed'`),
    /** The leases of deliveries that were never tried to the end are over. */
    endLeases: () => pool.query(`update webhook_deliveries set next_retry_at = now() where status = 'pending'`),
    dispatcher(
      options: Partial<DispatcherOptions> = {},
      others: Partial<Omit<DispatcherDependencies, 'options'>> = {},
    ): Dispatcher {
      const dispatcher = new Dispatcher({
        pool,
        logger: pino({ level: 'silent' }),
        registry: running.size === 0 ? registry : createRegistry(),
        random: () => 0,
        ...others,
        options: {
          secretKeys: [key],
          concurrency: 4,
          timeout: 30_000,
          allowedNetworks: ['127.0.0.1/32'],
          disableAfter: 432_000_000,
          pollInterval: 200,
          ...options,
        },
      });
      running.add(dispatcher);
      dispatcher.start();
      return dispatcher;
    },
  };
}

export type System = Awaited<ReturnType<typeof createSystem>>;

/** What a probe finds, as soon as it finds something. */
export async function found<T>(probe: () => T | Promise<T>): Promise<Exclude<T, undefined | null | false>> {
  const value = await eventually(probe);
  assert.ok(value);
  return value as Exclude<T, undefined | null | false>;
}
