import { createHmac, createSecretKey, hash, type KeyObject } from 'node:crypto';
import { type AwsAnswer, awsErrorOf } from './answer.ts';

export interface AwsCredentials {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken?: string | undefined;
}

/** What a client of the AWS SDK knows: its `config`. */
export interface AwsIdentity {
  /** From the SDK's own chain, which keeps them for as long as they last. Rejects with its error where it finds none. */
  readonly credentials: (options?: { forceRefresh: boolean }) => Promise<AwsCredentials>;
  /** Milliseconds by which this machine's clock is behind that of AWS, as far as is known. */
  systemClockOffset: number;
}

export interface AwsSignerOptions {
  readonly identity: AwsIdentity;
  /** As signatures name it, such as `ses`. */
  readonly service: string;
  readonly region: string;
}

export interface UnsignedRequest {
  readonly method: string;
  /** Of a URL: encoded once. There is no query. */
  readonly path: string;
  /** All are signed: names in lower case, values without white space at either end and without two spaces beside each other. */
  readonly headers: Readonly<Record<string, string>>;
  /** Of the body, in lower-case hex. */
  readonly sha256: string;
}

const ALGORITHM = 'AWS4-HMAC-SHA256';
/** Milliseconds; less than the five minutes that AWS lets pass (IAM user guide, "Signature Version 4"). */
const CLOCK_TOLERANCE = 240_000;
const EXPIRED = /^ExpiredToken/;

/** A key to sign with, and what it was made of. */
interface SigningKey {
  readonly secret: string;
  readonly scope: string;
  readonly key: KeyObject;
}

/**
 * Signs requests by AWS Signature Version 4 ("Create a signed AWS API request", IAM user guide), with a key that is made once
 * a day. The SDK's signer takes ten times the processor time, and comes with middleware that takes fifty times.
 */
export class AwsSigner {
  readonly #options: AwsSignerOptions;
  #key: SigningKey | undefined;
  /** The credentials at hand were refused as expired, whatever they say of themselves. */
  #areExpired = false;

  constructor(options: AwsSignerOptions) {
    this.#options = options;
  }

  /** Milliseconds since 1970, with what is known of this machine's clock. */
  get now(): number {
    return Date.now() + this.#options.identity.systemClockOffset;
  }

  /** @returns the headers to send. @throws Error of the SDK where there are no credentials */
  async sign({ method, path, headers, sha256 }: UnsignedRequest, signedAt: number): Promise<Record<string, string>> {
    const credentials = await this.#credentials();
    // Basic ISO 8601: 20261129T030000Z.
    const time = `${new Date(signedAt).toISOString().slice(0, 19).replace(/[-:]/g, '')}Z`;
    const { service, region } = this.#options;
    const scope = `${time.slice(0, 8)}/${region}/${service}/aws4_request`;
    const { sessionToken } = credentials;
    const signed: Record<string, string> = {
      ...headers,
      'x-amz-content-sha256': sha256,
      'x-amz-date': time,
      ...(sessionToken && { 'x-amz-security-token': sessionToken }),
    };
    const names = Object.keys(signed).sort();
    const lines = names.map(name => `${name}:${signed[name]}\n`).join('');
    const list = names.join(';');
    const request = `${method}\n${canonicalPath(path)}\n\n${lines}\n${list}\n${sha256}`;
    const text = `${ALGORITHM}\n${time}\n${scope}\n${hash('sha256', request)}`;
    const signature = createHmac('sha256', this.#keyFor(credentials.secretAccessKey, scope)).update(text).digest('hex');
    signed['authorization'] =
      `${ALGORITHM} Credential=${credentials.accessKeyId}/${scope}, SignedHeaders=${list}, Signature=${signature}`;
    return signed;
  }

  /**
   * Looks at what came of a request.
   *
   * @param signedAt as it was given to `sign`
   * @returns whether it was refused for something that is known better now, so that it is worth being signed once more: the
   * time, whatever AWS calls that, or credentials that have ended before their time
   */
  learnsFrom(answer: AwsAnswer, signedAt: number): boolean {
    const { statusCode, headers } = answer;
    if (statusCode < 400 || statusCode >= 500) return false;
    const theirs = Date.parse(headers['date'] ?? '');
    if (Math.abs(theirs - signedAt) >= CLOCK_TOLERANCE) {
      this.#options.identity.systemClockOffset = theirs - Date.now();
      return true;
    }
    const isExpired = EXPIRED.test(awsErrorOf(answer).name ?? '');
    if (isExpired) this.#areExpired = true;
    return isExpired;
  }

  #credentials(): Promise<AwsCredentials> {
    const { identity } = this.#options;
    if (!this.#areExpired) return identity.credentials();
    this.#areExpired = false;
    return identity.credentials({ forceRefresh: true });
  }

  #keyFor(secret: string, scope: string): KeyObject {
    if (this.#key?.secret === secret && this.#key.scope === scope) return this.#key.key;
    let derived: string | Buffer = `AWS4${secret}`;
    for (const part of scope.split('/')) derived = createHmac('sha256', derived).update(part).digest();
    // Node takes several times as long to make a key of bytes as to use it.
    const key = createSecretKey(derived as Buffer);
    this.#key = { secret, scope, key };
    return key;
  }
}

/** Each segment is encoded once more than it is sent (all services but S3), and slashes stand alone. */
function canonicalPath(path: string): string {
  return path.split('/').map(encode).join('/').replace(/\/+/g, '/');
}

/** RFC 3986's unreserved characters stay, all others are encoded. */
function encode(text: string): string {
  return encodeURIComponent(text).replace(/[!'()*]/g, char => `%${char.charCodeAt(0).toString(16).toUpperCase()}`);
}
