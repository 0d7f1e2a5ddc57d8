import { type KeyObject, X509Certificate } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import pLimit, { type LimitFunction } from 'p-limit';

/** The certificate could not be had just now, which says nothing about the message. */
export class CertificateUnavailable extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'CertificateUnavailable';
  }
}

export interface CertificatesOptions {
  readonly fetch: typeof globalThis.fetch;
  readonly now: () => Date;
}

interface Known {
  readonly certificate: X509Certificate;
  readonly fetchedAt: number;
}

/** More than SNS has at any time. Only what SNS really has comes in here, so that nobody can push others out. */
const MAX_KNOWN = 256;
const MAX_FAILED = 4_096;
/** Milliseconds. */
const HOUR = 60 * 60 * 1000;
const FRESH = HOUR;
/** How long one that cannot be fetched again is still used. Its name is of its content, so that it never becomes another. */
const USABLE = 24 * HOUR;
/** How long it is remembered that there is no certificate, and that one could not be had. */
const NONE_TTL = 60_000;
const UNAVAILABLE_TTL = 5_000;
const TIMEOUT = 5_000;
const MAX_BYTES = 65_536;
/** Fetches at once in the regions of our topics, and in others; anybody may name new URLs. */
const UNDERWAY = { own: 8, other: 2 };
const MAX_WAITING = 256;
/** Longer nobody waits for a fetch to begin: SNS ends its request after 15 seconds. */
const MAX_WAIT = 5_000;

/**
 * The certificates with which SNS signs. Each is fetched once an hour at most, however many ask for it, and used meanwhile.
 *
 * A stranger who makes up URLs causes one fetch for each at most; in other regions than a topic's it holds up none of the topic's
 * own.
 */
export class Certificates {
  readonly #options: CertificatesOptions;
  readonly #known = new LRUCache<string, Known>({ max: MAX_KNOWN });
  readonly #failed: LRUCache<string, { readonly error: CertificateUnavailable | null }>;
  readonly #underway = new Map<string, Promise<X509Certificate | null>>();
  readonly #lanes = { own: pLimit(UNDERWAY.own), other: pLimit(UNDERWAY.other) };

  constructor(options: CertificatesOptions) {
    this.#options = options;
    this.#failed = new LRUCache({ max: MAX_FAILED, ttlResolution: 0, ttl: 1, perf: { now: () => this.#time() } });
  }

  /**
   * The public key of the certificate at that URL.
   *
   * @param topicArn of the message
   * @returns null where SNS does not sign with it: another host or path, no certificate, not valid now
   * @throws CertificateUnavailable
   */
  async key(signingCertUrl: string, topicArn: string): Promise<KeyObject | null> {
    const url = certificateUrl(signingCertUrl);
    if (url === null) return null;
    const lane = regionOf(url) === topicArn.split(':')[3] ? this.#lanes.own : this.#lanes.other;
    const certificate = await this.#certificate(url.href, lane);
    return certificate !== null && this.#isValid(certificate) ? certificate.publicKey : null;
  }

  async #certificate(url: string, lane: LimitFunction): Promise<X509Certificate | null> {
    const known = this.#known.get(url);
    const age = known ? this.#time() - known.fetchedAt : Number.POSITIVE_INFINITY;
    if (known && age < FRESH) return known.certificate;
    const failed = this.#failed.get(url);
    const fetched = failed ? null : this.#fetchOnce(url, lane);
    if (known && age < USABLE) {
      fetched?.catch(() => undefined);
      return known.certificate;
    }
    if (failed?.error) throw failed.error;
    return fetched;
  }

  #fetchOnce(url: string, lane: LimitFunction): Promise<X509Certificate | null> {
    const underway = this.#underway.get(url);
    if (underway) return underway;
    if (lane.pendingCount >= MAX_WAITING) {
      return Promise.reject(new CertificateUnavailable('too many certificates are being fetched'));
    }
    const asked = performance.now();
    const fetched = lane(() => {
      if (performance.now() - asked <= MAX_WAIT) return this.#fetch(url);
      throw new CertificateUnavailable('too many certificates are being fetched');
    }).finally(() => this.#underway.delete(url));
    this.#underway.set(url, fetched);
    return fetched;
  }

  async #fetch(url: string): Promise<X509Certificate | null> {
    try {
      const { status, text } = await fetchText(this.#options.fetch, url, { timeout: TIMEOUT, maxBytes: MAX_BYTES });
      if (status >= 500 || status === 429) throw new Error(`HTTP ${status}`);
      const certificate = status === 200 ? parse(text) : null;
      if (certificate) this.#known.set(url, { certificate, fetchedAt: this.#time() });
      else this.#failed.set(url, { error: null }, { ttl: NONE_TTL });
      return certificate;
    } catch (cause) {
      const error = new CertificateUnavailable('the certificate cannot be fetched', { cause });
      this.#failed.set(url, { error }, { ttl: UNAVAILABLE_TTL });
      throw error;
    }
  }

  #time(): number {
    return this.#options.now().getTime();
  }

  #isValid({ validFromDate, validToDate }: X509Certificate): boolean {
    const now = this.#options.now();
    return validFromDate <= now && now <= validToDate;
  }
}

function parse(pem: string): X509Certificate | null {
  try {
    return new X509Certificate(pem);
  } catch {
    return null;
  }
}

/** By the partition: AWS and GovCloud, China, and the European Sovereign Cloud (SDKs of AWS, `partitions.json`, `dnsSuffix`). */
const SNS_HOST = /^sns\.([a-z0-9-]+)\.amazonaws\.(?:com|com\.cn|eu)$/;
/** How SNS names the certificates that it signs with (SNS developer guide, "Verifying the signatures of Amazon SNS messages"). */
const CERTIFICATE_PATH = /^\/SimpleNotificationService-[0-9a-f]{1,64}\.pem$/;

/**
 * A URL of SNS itself: https, its usual port, no user. URLs in messages are fetched only from there, so that a stranger cannot sign
 * with a certificate of their own, or make us call something else.
 *
 * @returns null where it is another
 */
export function snsUrl(text: string): URL | null {
  if (!URL.canParse(text)) return null;
  const url = new URL(text);
  const plain = url.protocol === 'https:' && url.port === '' && url.username === '' && url.password === '';
  return plain && SNS_HOST.test(url.hostname) ? url : null;
}

/** A URL at which SNS keeps one of its certificates, and nothing else. @returns null where it is another */
export function certificateUrl(text: string): URL | null {
  const url = snsUrl(text);
  return url !== null && CERTIFICATE_PATH.test(url.pathname) && url.search === '' && url.hash === '' ? url : null;
}

/** The region that a URL of SNS is in, such as `eu-west-1`. */
export function regionOf(url: URL): string | undefined {
  return SNS_HOST.exec(url.hostname)?.[1];
}

export interface FetchLimits {
  /** Milliseconds for the whole answer. */
  readonly timeout: number;
  readonly maxBytes: number;
}

/**
 * A GET that follows no redirect: the place was checked, and the next one would not be.
 *
 * @throws where there is no answer in time, it is a redirect, or it is too large
 */
export async function fetchText(
  fetch: typeof globalThis.fetch,
  url: string,
  { timeout, maxBytes }: FetchLimits,
): Promise<{ readonly status: number; readonly text: string }> {
  const response = await fetch(url, { redirect: 'error', signal: AbortSignal.timeout(timeout) });
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of response.body ?? []) {
    size += chunk.length;
    if (size > maxBytes) throw new Error(`the answer is larger than ${maxBytes} bytes`);
    chunks.push(chunk);
  }
  return { status: response.status, text: Buffer.concat(chunks).toString('utf8') };
}
