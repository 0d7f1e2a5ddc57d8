import { Refusal } from '../message/refusal.ts';
import { type Exceeded, UNLIMITED, type UsageLimits } from '../store/keys/usage.ts';

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
export function rateRefusal({ limit, allowed, retryAfter }: Exceeded): Refusal {
  const { rule, unit } = WORDING[limit];
  const text = `This API key may send ${allowed} ${unit}: try again in ${retryAfter} s`;
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
