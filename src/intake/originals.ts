import { Gauge } from 'prom-client';
import type { Config } from '../config/schema.ts';
import { Pauses } from '../flow/retry.ts';
import { Refusal } from '../message/refusal.ts';
import type { ObjectStore } from '../objects/store.ts';
import type { Logger } from '../observability/log.ts';
import type { Registry } from '../observability/metrics.ts';
import type { Queryable } from '../postgres/pool.ts';
import type { NewMessage } from '../store/messages/new-message.ts';
import { noteObject } from '../store/messages/objects.ts';

/** Puts originals where they are kept, if that is not the database. */
export interface OriginalKeeper {
  /** Whether it is to be put anywhere before it is stored. */
  goesElsewhere(message: NewMessage): boolean;
  /**
   * Puts the original into object storage. It is written down before, so that it is removed should the message not be stored.
   *
   * @returns the message that is to be stored
   * @throws Refusal 452 while the storage is away; the signal's reason; the database's error
   */
  put(message: NewMessage, signal: AbortSignal): Promise<NewMessage>;
}

export interface OriginalKeeperParts {
  readonly config: Pick<Config, 'originals' | 'pipeline'>;
  readonly db: Queryable;
  readonly objects: Pick<ObjectStore, 'urlFor' | 'put'>;
  readonly metrics: OriginalMetrics;
  readonly logger: Logger;
}

/** Milliseconds for which the storage is not asked after it failed, at first and at most. */
const PAUSES = { first: 500, longest: 10_000 };
const AWAY = 'object storage does not take originals; large messages are answered 452 until it does';
const NOTHING = Buffer.alloc(0);

export function createOriginalKeeper({ config, db, objects, metrics, logger }: OriginalKeeperParts): OriginalKeeper {
  const { store, objectBytes } = config.originals;
  const isOn = config.pipeline === 'standalone' && store === 's3';
  const pauses = new Pauses(PAUSES);
  let isAway = false;
  let notBefore = 0;

  function failed(error: unknown): Refusal {
    if (!isAway) logger.error({ err: error }, AWAY);
    isAway = true;
    metrics.away.set(1);
    // Whoever comes meanwhile is told at once, and does not wait for what another one waits for already.
    notBefore = performance.now() + pauses.next();
    return awayRefusal(objectBytes, error);
  }

  function succeeded(): void {
    if (!isAway) return;
    isAway = false;
    metrics.away.set(0);
    pauses.reset();
    logger.info('object storage takes originals again');
  }

  return {
    goesElsewhere: ({ original }) => isOn && original !== null && original.raw.length > objectBytes,
    async put(message, signal) {
      const { original, id } = message;
      if (original === null) return message;
      if (isAway && performance.now() < notBefore) throw awayRefusal(objectBytes);
      const { raw, sha256 } = original;
      const url = objects.urlFor(id, new Date());
      await noteObject(db, url);
      await objects.put(url, raw, sha256, signal).catch(error => {
        signal.throwIfAborted();
        throw failed(error);
      });
      succeeded();
      return { ...message, original: { ...original, raw: NOTHING, object: { url, sizeBytes: raw.length } } };
    },
  };
}

/** `452 4.3.1`. */
function awayRefusal(bytes: number, cause?: unknown): Refusal {
  const text = `Messages of more than ${bytes} bytes cannot be stored at this moment: try again later`;
  return new Refusal({ code: 452, enhancedCode: '4.3.1', text, rule: 'originals_away', cause });
}

export interface OriginalMetrics {
  readonly away: Gauge;
}

export function createOriginalMetrics(registry: Registry): OriginalMetrics {
  return {
    away: new Gauge({
      name: 'smtp_relay_originals_away',
      help: '1 while large messages are answered 452, since object storage does not take them (originals.store)',
      registers: [registry],
    }),
  };
}
