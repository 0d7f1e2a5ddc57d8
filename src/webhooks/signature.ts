import { createHmac } from 'node:crypto';

export interface SignedContent {
  /** The event's id, the same at each try: by it receivers know what they had before. */
  readonly id: string;
  /** The time of this try. */
  readonly timestamp: Date;
  readonly body: Buffer;
  /** `whsec_` and Base64. Each signs, so that receivers with either of two secrets can verify during a rotation. */
  readonly secrets: readonly string[];
}

export const SECRET_PREFIX = 'whsec_';

/**
 * The headers that sign a delivery, by the names of Standard Webhooks and by those of Svix, which are the same otherwise.
 *
 * Source: Standard Webhooks specification, "Signature scheme" (symmetric, `v1`).
 */
export function signatureHeaders({ id, timestamp, body, secrets }: SignedContent): Record<string, string> {
  const seconds = String(Math.floor(timestamp.getTime() / 1000));
  const signature = secrets.map(secret => sign(secret, `${id}.${seconds}.`, body)).join(' ');
  return {
    'webhook-id': id,
    'webhook-timestamp': seconds,
    'webhook-signature': signature,
    'svix-id': id,
    'svix-timestamp': seconds,
    'svix-signature': signature,
  };
}

function sign(secret: string, prefix: string, body: Buffer): string {
  const key = Buffer.from(secret.startsWith(SECRET_PREFIX) ? secret.slice(SECRET_PREFIX.length) : secret, 'base64');
  return `v1,${createHmac('sha256', key).update(prefix).update(body).digest('base64')}`;
}
