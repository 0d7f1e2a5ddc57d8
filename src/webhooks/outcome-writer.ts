import { setTimeout as delay } from 'node:timers/promises';
import type pg from 'pg';
import { Batcher } from '../flow/batcher.ts';
import type { Logger } from '../observability/log.ts';
import { isDataException } from '../postgres/errors.ts';
import { type DeliveryOutcome, disableWebhook, recordOutcomes } from '../store/webhooks/outcomes.ts';

export interface OutcomeWriterOptions {
  readonly pool: pg.Pool;
  readonly logger: Logger;
  /** Milliseconds that an endpoint may fail without one success. */
  readonly disableAfter: number;
  /** An endpoint was disabled: its event is due at the owner's others. */
  readonly onDisabled: (webhookId: string) => void;
}

/** Writes the outcomes of tries, many by one statement. */
export interface OutcomeWriter {
  /** Never rejects: what cannot be written is tried again when the delivery's lease ends. */
  write(outcome: DeliveryOutcome): Promise<void>;
}

const MAX_AT_ONCE = 500;
const INTERVAL = 20;
const CONCURRENCY = 2;
/** A database that was restarted is mostly back within seconds; after that the leases end anyway. */
const TRIES = 4;
const PAUSE = 1_000;

export function createOutcomeWriter({ pool, logger, disableAfter, onDisabled }: OutcomeWriterOptions): OutcomeWriter {
  const batcher = new Batcher<DeliveryOutcome, void>({
    async run(outcomes) {
      const overdue = await record(outcomes);
      for (const webhookId of overdue) await disable(webhookId, outcomes);
      return outcomes.map(() => undefined);
    },
    maxItems: MAX_AT_ONCE,
    concurrency: CONCURRENCY,
    interval: INTERVAL,
    isolates: isDataException,
  });

  /** Written twice, an outcome is fenced off by the first time: its lease is no longer in the row. */
  async function record(outcomes: readonly DeliveryOutcome[]): Promise<string[]> {
    for (let tries = 1; ; tries += 1) {
      try {
        return await recordOutcomes(pool, outcomes, disableAfter);
      } catch (error) {
        if (tries === TRIES || isDataException(error)) throw error;
        await delay(PAUSE);
      }
    }
  }

  async function disable(webhookId: string, outcomes: readonly DeliveryOutcome[]): Promise<void> {
    const last = outcomes.findLast(({ delivery }) => delivery.webhookId === webhookId);
    if (!(await disableWebhook(pool, webhookId, last))) return;
    logger.warn({ webhookId, statusCode: last?.statusCode }, 'webhook disabled');
    onDisabled(webhookId);
  }

  return {
    write: outcome =>
      batcher.add(outcome).catch(error => {
        const { id: deliveryId, webhookId } = outcome.delivery;
        logger.warn({ err: error, deliveryId, webhookId }, 'outcome of a webhook delivery not written; it comes again');
      }),
  };
}
