import { LRUCache } from 'lru-cache';
import { Refusal } from '../message/refusal.ts';
import type { ApiKey } from '../store/keys/api-keys.ts';
import {
  type Exceeded,
  exceededLimit,
  type KeyUsage,
  UNLIMITED,
  type UsageCount,
  type UsageLimits,
} from '../store/keys/usage.ts';

/** A key as far as its limits go. */
export type LimitedKey = Pick<ApiKey, 'id' | 'limits' | 'chaos'>;

const MAX_KEYS = 10_000;
const DAY = 86_400_000;

/**
 * What keys may send in a minute and a day. The database counts, in the transaction that stores a message. What it said of a
 * key that had reached a limit is remembered here: until that minute or day is over the counts can only have grown, so that
 * the key's next messages are refused before they are sent, and cost no query.
 */
export class RateLimits {
  readonly #limitsOf: (key: LimitedKey) => UsageLimits | null;
  readonly #now: () => number;
  readonly #known: LRUCache<string, { readonly usage: KeyUsage; readonly at: number }>;

  /**
   * @param limitsOf the limits of a key; null where it has none
   * @param now a clock in milliseconds
   */
  constructor(limitsOf: (key: LimitedKey) => UsageLimits | null, now: () => number = () => performance.now()) {
    this.#limitsOf = limitsOf;
    this.#now = now;
    this.#known = new LRUCache({ max: MAX_KEYS, ttl: DAY, ttlResolution: 0, perf: { now } });
  }

  /**
   * The most recipients that one message of the key may have: one with more than it may have in a minute or a day would never
   * fit, and 450 would have it tried for ever.
   */
  mostRecipients(key: LimitedKey): number {
    const limits = this.#limitsOf(key);
    return limits ? Math.min(limits.recipientsPerMinute, limits.recipientsPerDay) : Number.POSITIVE_INFINITY;
  }

  /** @throws Refusal 450 where a message with so many recipients is known to be one too many */
  check(key: LimitedKey, recipients: number): void {
    const limits = this.#limitsOf(key);
    const known = limits && this.#known.get(key.id);
    if (!known) return;
    const exceeded = exceededLimit(later(known.usage, (this.#now() - known.at) / 1000), recipients, limits);
    if (exceeded) throw rateRefusal(exceeded, key);
  }

  /** What the store is to count of a message; undefined where nothing limits its key. */
  countOf(key: LimitedKey, recipients: number): UsageCount | undefined {
    const limits = this.#limitsOf(key);
    return limits ? { keyId: key.id, recipients, limits } : undefined;
  }

  /** `450 4.7.1`: the store has refused it. */
  refusal(key: LimitedKey, { keyId, recipients, limits }: UsageCount, usage: KeyUsage): Refusal {
    this.#known.set(keyId, { usage, at: this.#now() });
    // It fitted again when the counts were read, though not a moment before and after: many messages come at once.
    const justNow = { limit: 'messagesPerMinute', allowed: limits.messagesPerMinute, retryAfter: 1 } as const;
    return rateRefusal(exceededLimit(usage, recipients, limits) ?? justNow, key);
  }
}

function later(usage: KeyUsage, seconds: number): KeyUsage {
  const minuteLeft = Math.ceil(usage.minuteLeft - seconds);
  const dayLeft = Math.ceil(usage.dayLeft - seconds);
  return {
    ...usage,
    minuteLeft,
    dayLeft,
    ...(minuteLeft <= 0 && { minuteMessages: 0, minuteRecipients: 0 }),
    ...(dayLeft <= 0 && { dayMessages: 0, dayRecipients: 0 }),
  };
}

interface Wording {
  readonly rule: string;
  readonly unit: string;
}

const WORDING: Readonly<Record<keyof UsageLimits, Wording>> = {
  messagesPerMinute: { rule: 'messages_per_minute', unit: 'messages a minute' },
  recipientsPerMinute: { rule: 'recipients_per_minute', unit: 'recipients a minute' },
  messagesPerDay: { rule: 'messages_per_day', unit: 'messages a day' },
  recipientsPerDay: { rule: 'recipients_per_day', unit: 'recipients a day' },
};

/** `450 4.7.1`: the key has sent as much as it may in this minute or day. */
export function rateRefusal(
  { limit, allowed, retryAfter }: Exceeded,
  { chaos }: Pick<LimitedKey, 'chaos'> = {},
): Refusal {
  const { rule, unit } = WORDING[limit];
  const because = limit === 'messagesPerMinute' && chaos?.messagesPerMinute ? 'Chaos: this' : 'This';
  const text = `${because} API key may send ${allowed} ${unit}: try again in ${retryAfter} s`;
  return new Refusal({ code: 450, enhancedCode: '4.7.1', text, rule });
}

/**
 * The limits as they are configured, where 0 is for none.
 *
 * @param own of a key, in place of those configured
 * @returns null where there is none at all
 */
export function usageLimits(configured: UsageLimits, own: Partial<UsageLimits> = {}): UsageLimits | null {
  const { messagesPerMinute, recipientsPerMinute, messagesPerDay, recipientsPerDay } = { ...configured, ...own };
  if (messagesPerMinute + recipientsPerMinute + messagesPerDay + recipientsPerDay === 0) return null;
  return {
    messagesPerMinute: messagesPerMinute || UNLIMITED,
    recipientsPerMinute: recipientsPerMinute || UNLIMITED,
    messagesPerDay: messagesPerDay || UNLIMITED,
    recipientsPerDay: recipientsPerDay || UNLIMITED,
  };
}
