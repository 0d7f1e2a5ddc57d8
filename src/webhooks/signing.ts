import { createCipheriv, createDecipheriv, createHash, createHmac, randomBytes } from 'node:crypto';

/** A secret that cannot be kept or read with the keys that there are; the message is fit for people. */
export class SecretError extends Error {
  constructor(message: string, cause?: unknown) {
    super(message, { cause });
    this.name = 'SecretError';
  }
}

/** Keeps the signing secrets of endpoints encrypted. */
export interface SecretBox {
  /**
   * Encrypts with the first key.
   *
   * @param webhookId goes with it as additional authenticated data, so that a secret cannot be put on another endpoint
   * @throws SecretError where no key is configured
   */
  seal(secret: string, webhookId: string): string;
  /** Decrypts with whichever key it was encrypted with. @throws SecretError where that key is not here, or it was altered */
  open(sealed: string, webhookId: string): string;
}

interface Key {
  readonly id: string;
  readonly bytes: Buffer;
}

const SECRET_BYTES = 32;
/** AES-GCM, NIST SP 800-38D: a nonce of 96 bits, chosen at random, and a tag of 128. */
const CIPHER = 'aes-256-gcm';
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const VERSION = 'v1';

/** A new signing secret: `whsec_` and 32 random bytes in Base64 (Standard Webhooks asks for 24 to 64). */
export function newSecret(): string {
  return SECRET_PREFIX + randomBytes(SECRET_BYTES).toString('base64');
}

/**
 * Sealed secrets are text: `v1.<key id>.<nonce>.<tag>.<ciphertext>`, the last three in Base64url. The key id is the
 * beginning of the key's SHA-256.
 *
 * @param secretKeys 32 bytes in Base64 each; the first encrypts, all decrypt
 */
export function createSecretBox(secretKeys: readonly string[]): SecretBox {
  const keys = secretKeys.map(readKey);
  return {
    seal(secret, webhookId) {
      const [key] = keys;
      if (!key) {
        throw new SecretError(
          'signing secrets are kept encrypted, and there is no key for that: make one with `openssl rand -base64 32`, and set SMTP_RELAY_WEBHOOKS_SECRET_KEYS (webhooks.secretKeys) to it here and at the workers',
        );
      }
      const nonce = randomBytes(NONCE_BYTES);
      const cipher = createCipheriv(CIPHER, key.bytes, nonce, { authTagLength: TAG_BYTES });
      cipher.setAAD(associatedData(webhookId));
      const ciphertext = Buffer.concat([cipher.update(secret, 'utf8'), cipher.final()]);
      const parts = [nonce, cipher.getAuthTag(), ciphertext].map(part => part.toString('base64url'));
      return [VERSION, key.id, ...parts].join('.');
    },
    open(sealed, webhookId) {
      const [version, keyId, ...parts] = sealed.split('.');
      if (version !== VERSION || parts.length !== 3)
        throw new SecretError('the signing secret was not written by smtp-relay');
      const key = keys.find(({ id }) => id === keyId);
      if (!key)
        throw new SecretError(`the key ${keyId} that encrypts the signing secret is not in webhooks.secretKeys`);
      const [nonce, tag, ciphertext] = parts.map(part => Buffer.from(part, 'base64url')) as [Buffer, Buffer, Buffer];
      try {
        const decipher = createDecipheriv(CIPHER, key.bytes, nonce, { authTagLength: TAG_BYTES });
        decipher.setAAD(associatedData(webhookId)).setAuthTag(tag);
        return Buffer.concat([decipher.update(ciphertext), decipher.final()]).toString('utf8');
      } catch (error) {
        throw new SecretError('the signing secret was altered, or belongs to another webhook', error);
      }
    },
  };
}

function readKey(text: string): Key {
  const bytes = Buffer.from(text, 'base64');
  return { id: createHash('sha256').update(bytes).digest('hex').slice(0, 8), bytes };
}

function associatedData(webhookId: string): Buffer {
  return Buffer.from(`webhook:${webhookId.toLowerCase()}`);
}

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
