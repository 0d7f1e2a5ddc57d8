import { LRUCache } from 'lru-cache';
import { GatheredWrites } from '../../flow/gathered-writes.ts';
import type { Logger } from '../../observability/log.ts';
import type { Queryable } from '../../postgres/pool.ts';

/** What an API key may send, on all pods together. Minutes and days (UTC) of the clock, not the last sixty seconds. */
export interface UsageLimits {
  /** `UNLIMITED` for no limit; so for all. */
  readonly messagesPerMinute: number;
  readonly recipientsPerMinute: number;
  readonly messagesPerDay: number;
  readonly recipientsPerDay: number;
}

export const UNLIMITED: number = Number.MAX_SAFE_INTEGER;

/** That a message counts, for which key, and up to which limits. */
export interface UsageCount {
  readonly keyId: string;
  readonly recipients: number;
  readonly limits: UsageLimits;
}

/** What a key has sent in the minute and day that it is now. */
export interface KeyUsage {
  readonly minuteMessages: number;
  readonly minuteRecipients: number;
  readonly dayMessages: number;
  readonly dayRecipients: number;
  /** Seconds until the minute ends, and until the day does; 1 or more. */
  readonly minuteLeft: number;
  readonly dayLeft: number;
}

export interface Exceeded {
  readonly limit: keyof UsageLimits;
  /** How many the limit allows. */
  readonly allowed: number;
  /** Seconds until it is worth another try. */
  readonly retryAfter: number;
}

const MINUTE = 'floor(extract(epoch from now()) / 60)';
const DAY = 'floor(extract(epoch from now()) / 86400)';

/** A count with this statement's messages added. A statement that waited for the row may come from an earlier minute. */
const added = (period: string, count: string): string =>
  `excluded.${count} + case when u.${period} >= excluded.${period} then u.${count} else 0 end`;

/**
 * Part of the statement that stores messages. `input` has `key_id`, null for what is not counted, `recipient_count` and the
 * limits, and `suppressed`, null where nothing is against a row; `accepted` are those of its rows that may be stored. Of a key's
 * messages all are admitted or none: who adds them in smaller portions finds out which fit.
 *
 * The row's lock makes the transactions of one key take turns, so the counts are exact over all pods. Keys are taken in
 * order, so that two transactions never wait for each other.
 */
export const ADMIT = `, wanted as materialized (
    select key_id, count(*) as messages, sum(recipient_count) as recipients,
           min(messages_per_minute) as minute_messages, min(recipients_per_minute) as minute_recipients,
           min(messages_per_day) as day_messages, min(recipients_per_day) as day_recipients
      from input where key_id is not null and suppressed is null group by key_id
  ), admitted as (
    insert into smtp_relay_key_usage as u
           (key_id, minute, minute_messages, minute_recipients, day, day_messages, day_recipients)
    select key_id, ${MINUTE}, messages, recipients, ${DAY}, messages, recipients from wanted
     where messages <= least(minute_messages, day_messages) and recipients <= least(minute_recipients, day_recipients)
     order by key_id
    on conflict (key_id) do update
       set minute = greatest(u.minute, excluded.minute), day = greatest(u.day, excluded.day),
           minute_messages = ${added('minute', 'minute_messages')},
           minute_recipients = ${added('minute', 'minute_recipients')},
           day_messages = ${added('day', 'day_messages')},
           day_recipients = ${added('day', 'day_recipients')}
     where exists (
       select from wanted w where w.key_id = u.key_id
          and ${added('minute', 'minute_messages')} <= w.minute_messages
          and ${added('minute', 'minute_recipients')} <= w.minute_recipients
          and ${added('day', 'day_messages')} <= w.day_messages
          and ${added('day', 'day_recipients')} <= w.day_recipients)
    returning key_id
  ), accepted as materialized (
    select * from input
     where suppressed is null and (key_id is null or key_id in (select key_id from admitted))
  )`;

const READ = `
  select case when minute >= ${MINUTE} then minute_messages else 0 end::float8 as "minuteMessages",
         case when minute >= ${MINUTE} then minute_recipients else 0 end::float8 as "minuteRecipients",
         case when day >= ${DAY} then day_messages else 0 end::float8 as "dayMessages",
         case when day >= ${DAY} then day_recipients else 0 end::float8 as "dayRecipients",
         ceil(60 - extract(epoch from now())::numeric % 60)::float8 as "minuteLeft",
         ceil(86400 - extract(epoch from now())::numeric % 86400)::float8 as "dayLeft"
    from smtp_relay_key_usage where key_id = $1`;

const DELETE_OLD = `delete from smtp_relay_key_usage where day < ${DAY} - 1`;

/** What the key has sent; null where nothing of it was ever counted. */
export async function readKeyUsage(db: Queryable, keyId: string): Promise<KeyUsage | null> {
  return (await db.query<KeyUsage>(READ, [keyId])).rows[0] ?? null;
}

/** Forgets keys that sent nothing yesterday or today. */
export async function deleteOldKeyUsage(db: Queryable): Promise<void> {
  await db.query(DELETE_OLD);
}

/**
 * Which limit a message would exceed, the one that lasts longer first; null where it fits.
 *
 * @param recipients of the message
 */
export function exceededLimit(usage: KeyUsage, recipients: number, limits: UsageLimits): Exceeded | null {
  const { messagesPerMinute, recipientsPerMinute, messagesPerDay, recipientsPerDay } = limits;
  const exceeds = (limit: keyof UsageLimits, total: number, allowed: number, retryAfter: number): Exceeded | null =>
    total > allowed ? { limit, allowed, retryAfter } : null;
  return (
    exceeds('messagesPerDay', usage.dayMessages + 1, messagesPerDay, usage.dayLeft) ??
    exceeds('recipientsPerDay', usage.dayRecipients + recipients, recipientsPerDay, usage.dayLeft) ??
    exceeds('messagesPerMinute', usage.minuteMessages + 1, messagesPerMinute, usage.minuteLeft) ??
    exceeds('recipientsPerMinute', usage.minuteRecipients + recipients, recipientsPerMinute, usage.minuteLeft)
  );
}

/** A key's use is written at most once in this many milliseconds. */
const INTERVAL = 60_000;
/** Uses are collected for this long, so that many keys are one statement. */
const COLLECT = 1_000;
const MAX_KEYS = 10_000;

export interface LastUsedOptions {
  /** Writes the use of these key ids; see `touchLastUsed`. */
  readonly write: (ids: readonly string[]) => Promise<void>;
  readonly logger: Logger;
  readonly now?: () => number;
}

/** Records when keys were last used, beside the path of messages: marking waits for nothing and never fails. */
export interface LastUsedWriter {
  mark(keyId: string): void;
  /** Writes what is marked and not yet written. Never rejects. */
  stop(): Promise<void>;
}

export function createLastUsedWriter(options: LastUsedOptions): LastUsedWriter {
  const recent = new LRUCache<string, true>({
    max: MAX_KEYS,
    ttl: INTERVAL,
    ttlResolution: 0,
    ...(options.now ? { perf: { now: options.now } } : {}),
  });
  let pending = new Set<string>();
  const writes = new GatheredWrites({ write, interval: COLLECT });

  async function write(): Promise<void> {
    const ids = [...pending];
    if (ids.length === 0) return;
    pending = new Set();
    try {
      await options.write(ids);
    } catch (error) {
      options.logger.warn({ err: error, keys: ids.length }, 'last use of API keys not recorded');
      // Forgotten, so that the next use tries again.
      for (const id of ids) recent.delete(id);
    }
  }

  return {
    mark(keyId) {
      if (recent.has(keyId)) return;
      recent.set(keyId, true);
      pending.add(keyId);
      writes.soon();
    },
    stop: () => writes.flush(),
  };
}

/** Rows that another pod is writing just now are skipped: it writes the same. */
const TOUCH = `
  with due as (
    select id from api_keys
     where id = any($1::uuid[]) and (last_used_at is null or last_used_at < now() - interval '1 minute')
       for no key update skip locked
  )
  update api_keys set last_used_at = now() from due where api_keys.id = due.id`;

/** Sets `last_used_at` of these keys to now, where it is older than a minute. */
export async function touchLastUsed(db: Queryable, ids: readonly string[]): Promise<void> {
  await db.query(TOUCH, [ids]);
}
