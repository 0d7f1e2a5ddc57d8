import { hash } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { LRUCache } from 'lru-cache';
import type pg from 'pg';
import { Counter, Gauge } from 'prom-client';
import { clickedEvent, openedEvent } from '../events/event.ts';
import type { Logger } from '../observability/log.ts';
import type { Registry } from '../observability/metrics.ts';
import { newOrderedId } from '../platform/uuid.ts';
import { isDataException } from '../postgres/errors.ts';
import { type IncomingEvent, type Recorded, recordIncoming } from '../store/events/incoming.ts';
import { findTracked, type TrackedMail } from '../store/events/mail.ts';

/** Somebody opened a message, or followed a link of it. */
export interface NewHit {
  readonly type: 'opened' | 'clicked';
  readonly emailId: string;
  /** The link that was followed; null for an open. */
  readonly url: string | null;
  /** As the client gave it; nothing else is kept of the client. */
  readonly userAgent: string | null;
}

export interface Hit extends NewHit {
  /** A UUID, made once: a hit whose writing is tried again is still the same. */
  readonly id: string;
  readonly at: Date;
}

export interface HitsOptions {
  /** Writes hits, at most `BATCH` at a time. May be called again with the same ones where it rejects. */
  readonly record: (hits: readonly Hit[]) => Promise<void>;
  readonly logger: Logger;
  readonly registry: Registry;
  /** How many hits of one message are recorded in an hour, as configured by now; `tracking.hitsPerHour`. */
  readonly hitsPerHour: () => number;
  /** The most hits in memory; further ones are dropped. */
  readonly capacity?: number;
  /** Milliseconds for which hits are gathered. */
  readonly interval?: number;
  readonly now?: () => number;
}

/** Takes hits beside the path of requests: adding waits for nothing and never fails. */
export interface Hits {
  add(hit: NewHit): void;
  /** Writes what is gathered, for at most `milliseconds`; what is left is lost, counted and logged. Never rejects. */
  stop(milliseconds?: number): Promise<void>;
}

/** How many hits are written at a time. A batch that is full does not wait. */
export const BATCH = 500;
const CAPACITY = 10_000;
const INTERVAL = 200;
/** Image proxies and double clicks ask twice for the same. Milliseconds. */
const SAME_WITHIN = 1_000;
const REMEMBERED = 10_000;
const HOUR = 3_600_000;
/** Messages whose hits are counted. To have one forgotten takes links of as many others. */
const COUNTED = 100_000;
const MAX_USER_AGENT = 512;
const MIN_PAUSE = 250;
const MAX_PAUSE = 5_000;
const STOP_TIME = 3_000;

/** Gathers hits in memory and writes them in batches. Through an outage of the database they wait, up to `capacity`. */
export function createHits(options: HitsOptions): Hits {
  return new HitBuffer(options);
}

class HitBuffer implements Hits {
  readonly #options: HitsOptions;
  readonly #metrics: HitMetrics;
  readonly #recent: LRUCache<string, true>;
  /** By message: how many hits there were in which hour. */
  readonly #counts = new LRUCache<string, { readonly hour: number; readonly hits: number }>({ max: COUNTED });
  readonly #stopping = new AbortController();
  readonly #givenUp = new AbortController();
  readonly #pending: Hit[] = [];
  #timer: NodeJS.Timeout | undefined;
  #writing: Promise<void> | null = null;

  constructor(options: HitsOptions) {
    this.#options = options;
    this.#metrics = createHitMetrics(options.registry, () => this.#pending.length);
    this.#recent = new LRUCache<string, true>({
      max: REMEMBERED,
      ttl: SAME_WITHIN,
      ttlResolution: 0,
      ...(options.now ? { perf: { now: options.now } } : {}),
    });
  }

  add(hit: NewHit): void {
    const userAgent = hit.userAgent?.slice(0, MAX_USER_AGENT) ?? null;
    const objection = this.#objection({ ...hit, userAgent });
    if (objection) {
      this.#metrics.count(objection, [hit]);
      return;
    }
    this.#pending.push({ ...hit, userAgent, id: newOrderedId(), at: new Date() });
    this.#schedule();
  }

  async stop(milliseconds = STOP_TIME): Promise<void> {
    this.#stopping.abort();
    this.#schedule();
    const done = new AbortController();
    const timeUp = sleep(milliseconds, undefined, { signal: done.signal }).catch(() => undefined);
    await Promise.race([this.#written(), timeUp]);
    done.abort();
    this.#givenUp.abort();
    const lost = this.#pending.splice(0);
    this.#metrics.count('dropped', lost);
    if (lost.length > 0) this.#options.logger.error({ hits: lost.length }, 'opens and clicks not recorded');
  }

  #objection({ type, emailId, url, userAgent }: NewHit): 'repeated' | 'capped' | 'dropped' | null {
    const key = hash('sha256', JSON.stringify([type, emailId, url, userAgent]), 'base64');
    if (this.#recent.has(key)) return 'repeated';
    this.#recent.set(key, true);
    if (!this.#isWithinHour(emailId)) return 'capped';
    const full = this.#pending.length >= (this.#options.capacity ?? CAPACITY);
    return full || this.#givenUp.signal.aborted ? 'dropped' : null;
  }

  /** Whether a message may have one more hit in this hour. A client with a link can ask for it without end. */
  #isWithinHour(emailId: string): boolean {
    const hour = Math.floor((this.#options.now ?? performance.now.bind(performance))() / HOUR);
    const counted = this.#counts.get(emailId);
    const hits = counted?.hour === hour ? counted.hits : 0;
    if (hits >= this.#options.hitsPerHour()) return false;
    this.#counts.set(emailId, { hour, hits: hits + 1 });
    return true;
  }

  #schedule(): void {
    if (this.#writing || this.#pending.length === 0) return;
    if (this.#stopping.signal.aborted || this.#pending.length >= BATCH) this.#begin();
    else this.#timer ??= setTimeout(() => this.#begin(), this.#options.interval ?? INTERVAL).unref();
  }

  #begin(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#writing = this.#write().finally(() => {
      this.#writing = null;
      this.#schedule();
    });
  }

  /** Writes one batch, however long that takes. Never rejects. */
  async #write(): Promise<void> {
    const batch = this.#pending.slice(0, BATCH);
    for (let pause = MIN_PAUSE; !(await this.#record(batch)); pause = Math.min(pause * 2, MAX_PAUSE)) {
      await this.#rest(pause);
      if (this.#givenUp.signal.aborted) return;
    }
    this.#pending.splice(0, batch.length);
  }

  /** A stop ends a pause, and leaves only short ones until its time is up. */
  async #rest(milliseconds: number): Promise<void> {
    const stopping = this.#stopping.signal.aborted;
    const { signal } = stopping ? this.#givenUp : this.#stopping;
    await sleep(stopping ? MIN_PAUSE : milliseconds, undefined, { signal }).catch(() => undefined);
  }

  /** Never rejects. @returns false where the same hits are to be written again */
  async #record(hits: readonly Hit[]): Promise<boolean> {
    try {
      await this.#options.record(hits);
      this.#metrics.count('recorded', hits);
      return true;
    } catch (error) {
      if (isDataException(error)) return this.#recordEach(hits, error);
      this.#options.logger.warn({ err: error, hits: this.#pending.length }, 'opens and clicks not recorded yet');
      return false;
    }
  }

  /** A hit that Postgres cannot store must not keep the others out. */
  async #recordEach(hits: readonly Hit[], error: unknown): Promise<boolean> {
    if (hits.length > 1) {
      for (const hit of hits) if (!(await this.#record([hit]))) return false;
      return true;
    }
    this.#metrics.count('dropped', hits);
    this.#options.logger.error({ err: error, emailId: hits[0]?.emailId }, 'an open or click cannot be recorded');
    return true;
  }

  async #written(): Promise<void> {
    while (this.#writing) await this.#writing;
  }
}

/** `repeated`: the same came twice within a second. `capped`: its message had enough in this hour. `dropped`: no room or no time was left. */
export type HitResult = 'recorded' | 'repeated' | 'capped' | 'dropped';

export interface HitMetrics {
  count(result: HitResult, hits: readonly { readonly type: 'opened' | 'clicked' }[]): void;
}

/** Opens and clicks, and what became of them. @param pending how many are in memory */
export function createHitMetrics(registry: Registry, pending: () => number): HitMetrics {
  const hits = new Counter({
    name: 'smtp_relay_tracking_hits_total',
    help: 'Opens and clicks by what became of them: recorded, repeated (the same within a second), capped (tracking.hitsPerHour), dropped',
    labelNames: ['type', 'result'],
    registers: [registry],
  });
  new Gauge({
    name: 'smtp_relay_tracking_hits_pending',
    help: 'Opens and clicks in memory that are not written yet',
    registers: [registry],
    collect() {
      this.set(pending());
    },
  });
  return {
    count(result, counted) {
      for (const { type } of counted) hits.inc({ type, result });
    },
  };
}

export interface HitRecorderOptions {
  readonly pool: pg.Pool;
  /** Told after each commit: webhook deliveries that are due, outcomes that are known now. */
  readonly onRecorded?: (recorded: Recorded) => void;
}

/** What the attempts of a message say of how its fate became known. */
const TRANSPORT = 'tracking';

/**
 * Writes hits as events, with due webhook deliveries, by one commit; for `createHits`. Hits of messages that were deleted
 * are left out. Rejects with the database's error; the same hits given again are written once.
 */
export function createHitRecorder({ pool, onRecorded }: HitRecorderOptions): (hits: readonly Hit[]) => Promise<void> {
  return async hits => {
    const ids = hits.map(({ emailId }) => emailId);
    const mails = await findTracked(pool, ids);
    const events = hits.flatMap(hit => {
      const mail = mails.get(hit.emailId);
      return mail ? [eventOf(hit, mail)] : [];
    });
    const recorded = await recordIncoming(pool, events);
    onRecorded?.(recorded);
  };
}

/** A message is the same for all its recipients, so with several of them it could be any. */
function eventOf({ id, url, userAgent, at }: Hit, mail: TrackedMail): IncomingEvent {
  const { recipients } = mail;
  const details = { recipients, userAgent, occurredAt: at };
  return {
    ...(url === null ? openedEvent(mail, details) : clickedEvent(mail, { ...details, link: url })),
    emailId: mail.id,
    sourceId: `hit:${id}`,
    suppression: null,
    // Whoever opened it has got it, which may be the first that is heard of it.
    call: { transport: TRANSPORT, providerMessageId: null, recipients: recipients.length === 1 ? recipients : [] },
  };
}
