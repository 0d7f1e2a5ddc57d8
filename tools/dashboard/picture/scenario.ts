import type { FakeSes } from '../../../test/support/ses/server.ts';
import { type Client, type ClientOptions, logInWrongly } from './clients.ts';
import type { WebhookReceiver } from './webhook-receiver.ts';

export interface Actors {
  readonly shop: Client;
  readonly newsletter: Client;
  readonly stranger: ClientOptions;
  readonly ses: FakeSes;
  readonly receiver: WebhookReceiver;
}

/** Seconds that the scenario takes. */
export const LENGTH = 600;

const MESSAGE_REJECTED = {
  kind: 'error',
  status: 400,
  name: 'MessageRejected',
  message: 'Email address is not verified.',
} as const;
const UNAVAILABLE = {
  kind: 'error',
  status: 503,
  name: 'ServiceUnavailableException',
  message: 'Service is unavailable.',
} as const;

/**
 * Ten minutes in the life of a small installation, with something to see on every panel: messages come in waves, one key
 * passes its limit, SES allows fewer than come in and then is away, somebody tries wrong keys, a webhook fails.
 *
 * @param second since its beginning; to be called once for each
 */
export function play({ shop, newsletter, stranger, ses, receiver }: Actors, second: number): void {
  const during = (from: number, to: number): boolean => second >= from && second < to;
  shop.rate = 13 + 5 * Math.sin((second / 200) * 2 * Math.PI);
  newsletter.rate = during(120, 175) ? 55 : 0;
  // The first time makes the series; a rate tells of it from the second time on.
  if (second === -20) ses.faults.plan({ kind: 'throttle' });
  if (second === 270) ses.faults.plan({ kind: 'throttle', times: 40 });
  if (second === 340) ses.faults.plan({ ...UNAVAILABLE, forMs: 25_000 });
  if (second % 20 === 10) ses.faults.plan(MESSAGE_REJECTED);
  for (let tries = during(420, 465) ? 5 : Number(second % 12 === 0); tries > 0; tries -= 1) void logInWrongly(stranger);
  receiver.setBroken(during(500, 525));
}
