import { createHash, createHmac, createSecretKey, type KeyObject } from 'node:crypto';

type Data = string | ArrayBuffer | ArrayBufferView;

/**
 * SHA-256, and its HMAC where a secret is given, for the AWS SDK's signer. The SDK's own hands Node the signing key as bytes,
 * which costs several times the HMAC itself; here the key, which is the same all day, is made ready once.
 */
export function createSha256() {
  /** Held as long as the bytes that they were made of. */
  const keys = new WeakMap<object, KeyObject>();

  function keyOf(secret: Data): KeyObject | string {
    if (typeof secret === 'string') return secret;
    const known = keys.get(secret);
    if (known) return known;
    const bytes = secret instanceof ArrayBuffer ? new Uint8Array(secret) : secret;
    const key = createSecretKey(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength));
    keys.set(secret, key);
    return key;
  }

  return class Sha256 {
    readonly #secret: KeyObject | string | undefined;
    #hash: { update(data: Uint8Array): unknown; digest(): Buffer };

    constructor(secret?: Data) {
      this.#secret = secret === undefined ? undefined : keyOf(secret);
      this.#hash = this.#fresh();
    }

    update(data: Uint8Array): void {
      this.#hash.update(data);
    }

    async digest(): Promise<Uint8Array> {
      return this.#hash.digest();
    }

    reset(): void {
      this.#hash = this.#fresh();
    }

    #fresh() {
      return this.#secret === undefined ? createHash('sha256') : createHmac('sha256', this.#secret);
    }
  };
}
