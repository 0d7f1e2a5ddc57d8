import { createHmac, createSecretKey, hash, type KeyObject, timingSafeEqual } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';

/** The credentials that the fake SES knows; also those of test/support/queue.ts, so that one environment does for both. */
export const CREDENTIALS = { accessKeyId: 'local', secretAccessKey: 'local' } as const;

export interface SignedRequest {
  readonly method: string;
  /** Path and query as they were sent. */
  readonly url: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
}

/** Who signed a request, and for which region. */
export interface Caller {
  readonly region: string;
  readonly accessKeyId: string;
}

/** Why a request is refused, in the words of AWS. */
export interface SignatureProblem {
  readonly name: string;
  readonly message: string;
}

/** What the Authorization header says. */
interface Authorization {
  readonly accessKeyId: string;
  readonly date: string;
  readonly region: string;
  readonly service: string;
  readonly signedHeaders: readonly string[];
  readonly signature: string;
}

const SERVICES = new Set(['ses', 'sqs', 'sts']);
const AUTHORIZATION =
  /^AWS4-HMAC-SHA256 Credential=([^/,]+)\/(\d{8})\/([^/,]+)\/([^/,]+)\/aws4_request, ?SignedHeaders=([^,]+), ?Signature=([0-9a-f]{64})$/;
const MISSING: SignatureProblem = {
  name: 'MissingAuthenticationTokenException',
  message: 'Missing Authentication Token',
};
const UNKNOWN_KEY: SignatureProblem = {
  name: 'UnrecognizedClientException',
  message: 'The security token included in the request is invalid.',
};
const EXPIRED: SignatureProblem = {
  name: 'InvalidSignatureException',
  message: 'Signature expired, or not yet current',
};
const MISMATCH: SignatureProblem = {
  name: 'SignatureDoesNotMatch',
  message:
    'The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method. Consult the service documentation for details.',
};

/** Milliseconds between the time that a request names and that of its arrival. */
const LATEST = 300_000;

/**
 * Verifies AWS Signature Version 4 ("Create a signed AWS API request", IAM user guide), written from its description and
 * not with the SDK's parts, so that one is a check of the other.
 */
export class SignatureVerifier {
  readonly #secrets: ReadonlyMap<string, string>;
  readonly #keys = new Map<string, KeyObject>();

  readonly #now: () => number;

  /** @param secrets secret access keys by access key id */
  constructor(secrets: Readonly<Record<string, string>>, now: () => number = Date.now) {
    this.#secrets = new Map(Object.entries(secrets));
    this.#now = now;
  }

  /** @returns the region of the credential's scope and the key, or why the request is refused */
  verify(request: SignedRequest): Caller | SignatureProblem {
    const authorization = parseAuthorization(request.headers.authorization);
    if (authorization === null) return MISSING;
    const secret = this.#secrets.get(authorization.accessKeyId);
    if (secret === undefined) return UNKNOWN_KEY;
    if (!SERVICES.has(authorization.service)) return MISMATCH;
    const time = String(request.headers['x-amz-date'] ?? '');
    const scope = `${authorization.date}/${authorization.region}/${authorization.service}/aws4_request`;
    const text = `AWS4-HMAC-SHA256\n${time}\n${scope}\n${sha256(canonicalRequest(request, authorization.signedHeaders))}`;
    const expected = createHmac('sha256', this.#signingKey(secret, authorization)).update(text).digest();
    const given = Buffer.from(authorization.signature, 'hex');
    if (!time.startsWith(authorization.date) || !timingSafeEqual(expected, given)) return MISMATCH;
    const signedAt = Date.parse(time.replace(/^(....)(..)(..)T(..)(..)(..)Z$/, '$1-$2-$3T$4:$5:$6Z'));
    if (!(Math.abs(this.#now() - signedAt) <= LATEST)) return { ...EXPIRED, message: `${EXPIRED.message}: ${time}` };
    return { region: authorization.region, accessKeyId: authorization.accessKeyId };
  }

  #signingKey(secret: string, { date, region, service }: Authorization): KeyObject {
    const name = `${secret}/${date}/${region}/${service}`;
    const cached = this.#keys.get(name);
    if (cached) return cached;
    let key: string | Buffer = `AWS4${secret}`;
    for (const part of [date, region, service, 'aws4_request']) key = createHmac('sha256', key).update(part).digest();
    const made = createSecretKey(key as Buffer);
    this.#keys.set(name, made);
    return made;
  }
}

function parseAuthorization(header: string | undefined): Authorization | null {
  const match = AUTHORIZATION.exec(header ?? '');
  if (!match) return null;
  const [, accessKeyId = '', date = '', region = '', service = '', signedHeaders = '', signature = ''] = match;
  return { accessKeyId, date, region, service, signedHeaders: signedHeaders.split(';'), signature };
}

/** The body's hash is computed here, whatever `x-amz-content-sha256` says. */
function canonicalRequest({ method, url, headers, body }: SignedRequest, signedHeaders: readonly string[]): string {
  const [path = '', query = ''] = url.split('?', 2);
  // Each segment is encoded once more than it was sent (all services but S3).
  const canonicalPath = path.split('/').map(encode).join('/');
  const canonicalQuery = query.split('&').sort().join('&');
  const lines = signedHeaders.map(
    name =>
      `${name}:${String(headers[name] ?? '')
        .trim()
        .replace(/ +/g, ' ')}\n`,
  );
  return [method, canonicalPath, canonicalQuery, lines.join(''), signedHeaders.join(';'), sha256(body)].join('\n');
}

function encode(text: string): string {
  return encodeURIComponent(text).replace(/[!'()*]/g, char => `%${char.charCodeAt(0).toString(16).toUpperCase()}`);
}

function sha256(data: string | Buffer): string {
  return hash('sha256', data);
}
