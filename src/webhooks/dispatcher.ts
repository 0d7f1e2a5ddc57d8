import { setTimeout as delay } from 'node:timers/promises';
import type pg from 'pg';
import type { Logger } from '../observability/log.ts';
import type { Registry } from '../observability/metrics.ts';
import type { Tracer } from '../observability/tracing.ts';
import { readBacklog } from '../store/webhooks/deliveries.ts';
import { type LeasedDelivery, leaseDeliveries, releaseDeliveries } from '../store/webhooks/leases.ts';
import { parkDisabled } from '../store/webhooks/webhooks.ts';
import { createAddressGuard } from './address-guard.ts';
import { type AttemptDependencies, attempt } from './attempt.ts';
import { createEndpointClient, type EndpointClient } from './endpoint-client.ts';
import { Lanes, type Queued } from './lanes.ts';
import { createWebhooksMetrics, type WebhookMetrics } from './metrics.ts';
import { createOutcomeWriter, type OutcomeWriter } from './outcome-writer.ts';
import { type Resolve, systemResolve } from './resolver.ts';
import { createSecretBox } from './signing.ts';

export interface DispatcherOptions {
  /** Keys of the signing secrets, 32 bytes in Base64 each. */
  readonly secretKeys: readonly string[];
  /** Deliveries to one endpoint under way at once. */
  readonly concurrency: number;
  /** Milliseconds for one try. */
  readonly timeout: number;
  /** Networks in CIDR notation that endpoints may be in although they are not public. */
  readonly allowedNetworks: readonly string[];
  /** Milliseconds that an endpoint may fail without one success. */
  readonly disableAfter: number;
  /** Milliseconds between two looks for due deliveries that nobody told of. */
  readonly pollInterval: number;
}

export interface DispatcherDependencies {
  readonly pool: pg.Pool;
  readonly logger: Logger;
  readonly registry: Registry;
  /** Left out, nothing is traced. */
  readonly tracer?: Tracer;
  readonly options: DispatcherOptions;
  /** The addresses of a host name; what the machine's hosts file and name servers say unless given. */
  readonly resolve?: Resolve;
  /** The time for signatures; this machine's unless given. */
  readonly now?: () => Date;
  /** At least 0 and less than 1. */
  readonly random?: () => number;
}

/** Milliseconds between the beginnings of two looks, so that endings that come together share one. */
const ROUND_GAP = 20;
/** Deliveries that one process holds, waiting or under way. */
const MAX_HELD = 1_000;
/** Milliseconds by which a lease lasts longer than two tries. */
const LEASE_MARGIN = 10_000;
/** Milliseconds that a try leaves for writing down what came of it. */
const WRITE_MARGIN = 5_000;
const SWEEP_INTERVAL = 60_000;
const SWEEP_LIMIT = 1_000;

/** Posts due deliveries to the endpoints of webhooks. Any number of processes may do so on one database. */
export class Dispatcher {
  readonly #pool: pg.Pool;
  readonly #logger: Logger;
  readonly #options: DispatcherOptions;
  readonly #metrics: WebhookMetrics;
  readonly #client: EndpointClient;
  readonly #attempt: AttemptDependencies;
  readonly #writer: OutcomeWriter;
  readonly #lanes: Lanes<LeasedDelivery>;
  readonly #writes = new Set<Promise<void>>();
  readonly #abandoned: LeasedDelivery[] = [];
  readonly #aborted = new AbortController();
  #stopped = false;
  #woken = Promise.withResolvers<void>();
  #looking: Promise<void> = Promise.resolve();
  #lastSweep = Number.NEGATIVE_INFINITY;

  constructor(dependencies: DispatcherDependencies) {
    const { pool, logger, registry, options } = dependencies;
    const { concurrency, timeout, allowedNetworks, secretKeys, disableAfter } = options;
    this.#pool = pool;
    this.#logger = logger;
    this.#options = options;
    this.#metrics = createWebhooksMetrics(registry, () => readBacklog(pool));
    const guard = createAddressGuard(allowedNetworks);
    const resolve = dependencies.resolve ?? systemResolve;
    this.#client = createEndpointClient({ timeout, connections: concurrency, guard, resolve });
    this.#attempt = {
      client: this.#client,
      secrets: createSecretBox(secretKeys),
      logger,
      now: dependencies.now ?? (() => new Date()),
      random: dependencies.random ?? Math.random,
      ...(dependencies.tracer && { tracer: dependencies.tracer }),
    };
    this.#writer = createOutcomeWriter({ pool, logger, disableAfter, onDisabled: () => this.#onDisabled() });
    this.#lanes = new Lanes({
      concurrency,
      limit: MAX_HELD,
      run: delivery => this.#deliver(delivery),
      onRoom: () => this.wake(),
    });
  }

  /** Begins to deliver. */
  start(): void {
    this.#looking = this.#lookForever();
  }

  /** Whoever has just committed due deliveries calls this, so that they need not wait for the next look. */
  wake(): void {
    this.#woken.resolve();
  }

  /**
   * Takes nothing more, waits for what is under way, and ends. Others may at once take what is not done by then or had not begun.
   *
   * @param grace milliseconds to wait for answers
   */
  async stop(grace = this.#options.timeout): Promise<void> {
    this.#stopped = true;
    this.wake();
    await this.#looking;
    this.#abandoned.push(...this.#lanes.clear());
    const timer = setTimeout(() => this.#aborted.abort(), grace);
    await this.#lanes.idle();
    clearTimeout(timer);
    await Promise.all(this.#writes);
    await releaseDeliveries(this.#pool, this.#abandoned).catch(error =>
      this.#logger.warn({ err: error }, 'webhook deliveries not given back; their leases end by themselves'),
    );
    this.#client.close();
  }

  async #lookForever(): Promise<void> {
    while (!this.#stopped) {
      const began = performance.now();
      this.#woken = Promise.withResolvers();
      await this.#look();
      await this.#sweep();
      await this.#pause();
      await delay(Math.max(0, ROUND_GAP - (performance.now() - began)));
    }
  }

  /** Waits until someone wakes it, or the next look is due. Processes that started together do not look together. */
  async #pause(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, this.#options.pollInterval * (0.5 + Math.random() / 2));
    await Promise.race([promise, this.#woken.promise]);
    clearTimeout(timer);
  }

  /** Leases as many due deliveries as there is room for. Never rejects. */
  async #look(): Promise<void> {
    const limit = this.#lanes.free;
    if (limit <= 0) return;
    const leaseTime = this.#options.timeout * 2 + LEASE_MARGIN;
    const beginBy = performance.now() + leaseTime - this.#options.timeout - WRITE_MARGIN;
    let leased: LeasedDelivery[] = [];
    const rooms = this.#lanes.ask();
    try {
      leased = await leaseDeliveries(this.#pool, { rooms, room: this.#lanes.fullRoom, limit, leaseTime });
    } catch (error) {
      this.#logger.warn({ err: error }, 'due webhook deliveries could not be read');
    }
    const byEndpoint = new Map<string, Queued<LeasedDelivery>[]>();
    for (const item of leased) {
      const items = byEndpoint.get(item.webhookId) ?? [];
      byEndpoint.set(item.webhookId, items);
      items.push({ item, beginBy });
    }
    this.#lanes.add(byEndpoint);
  }

  /** Parks the deliveries of disabled endpoints, some at each look. Never rejects. */
  async #sweep(): Promise<void> {
    if (performance.now() - this.#lastSweep < SWEEP_INTERVAL) return;
    try {
      const swept = await parkDisabled(this.#pool, SWEEP_LIMIT);
      if (swept < SWEEP_LIMIT) this.#lastSweep = performance.now();
    } catch (error) {
      this.#lastSweep = performance.now();
      this.#logger.warn({ err: error }, 'deliveries of disabled webhooks not parked');
    }
  }

  #onDisabled(): void {
    this.#metrics.disabled.inc();
    this.#lastSweep = Number.NEGATIVE_INFINITY;
    this.wake();
  }

  /** Tries one delivery. Never rejects. @returns whether it went well; null where nothing was tried to the end */
  async #deliver(delivery: LeasedDelivery): Promise<boolean | null> {
    const took = this.#metrics.duration.startTimer();
    this.#metrics.underWay.inc();
    try {
      const { outcome, result } = await attempt(delivery, this.#aborted.signal, this.#attempt);
      this.#metrics.attempts.inc({ result });
      if (outcome.status === 'dead_letter') this.#metrics.deadLetters.inc();
      this.#write(this.#writer.write(outcome));
      return outcome.status === 'success';
    } catch (error) {
      this.#abandoned.push(delivery);
      if (!this.#aborted.signal.aborted)
        this.#logger.error({ err: error, deliveryId: delivery.id }, 'webhook not tried');
      return null;
    } finally {
      took();
      this.#metrics.underWay.dec();
    }
  }

  #write(writing: Promise<void>): void {
    this.#writes.add(writing);
    void writing.finally(() => this.#writes.delete(writing));
  }
}
