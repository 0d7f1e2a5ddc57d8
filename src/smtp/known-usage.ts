import { LRUCache } from 'lru-cache';
import { type Exceeded, exceededLimit, type KeyUsage, type UsageLimits } from '../store/key-usage.ts';

const MAX_KEYS = 10_000;
const DAY = 86_400_000;

/**
 * What the database said of keys that had reached a limit. Until the minute or day is over, what they have sent can only have
 * grown, so that their next messages can be refused before they are sent, and cost no query.
 */
export class KnownUsage {
  readonly #now: () => number;
  readonly #known: LRUCache<string, { readonly usage: KeyUsage; readonly at: number }>;

  /** @param now a clock in milliseconds */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
    this.#known = new LRUCache({ max: MAX_KEYS, ttl: DAY, ttlResolution: 0, perf: { now } });
  }

  note(keyId: string, usage: KeyUsage): void {
    this.#known.set(keyId, { usage, at: this.#now() });
  }

  /** The limit that a message with so many recipients is known to exceed; null where it may fit. */
  exceeded(keyId: string, recipients: number, limits: UsageLimits): Exceeded | null {
    const known = this.#known.get(keyId);
    if (known === undefined) return null;
    const seconds = (this.#now() - known.at) / 1000;
    return exceededLimit(later(known.usage, seconds), recipients, limits);
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
