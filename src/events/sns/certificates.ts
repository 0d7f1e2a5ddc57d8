import { type KeyObject, X509Certificate } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import { snsUrl } from './aws-url.ts';
import { fetchText } from './fetch-text.ts';

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

const MAX_CACHED = 32;
/** Milliseconds. */
const CACHE_TIME = 60 * 60 * 1000;
const TIMEOUT = 5_000;
const MAX_BYTES = 65_536;
/** Anybody may name new URLs; each takes no more than a slot for the time-out. */
const MAX_UNDERWAY = 8;

/** The certificates with which SNS signs. Each is fetched once an hour at most, however many ask for it. */
export class Certificates {
  readonly #options: CertificatesOptions;
  readonly #cache: LRUCache<string, X509Certificate>;
  readonly #underway = new Map<string, Promise<X509Certificate | null>>();

  constructor(options: CertificatesOptions) {
    this.#options = options;
    this.#cache = new LRUCache({
      max: MAX_CACHED,
      ttl: CACHE_TIME,
      ttlResolution: 0,
      perf: { now: () => options.now().getTime() },
    });
  }

  /**
   * The public key of the certificate at that URL.
   *
   * @returns null where SNS does not sign with it: another host, no certificate, not valid now
   * @throws CertificateUnavailable
   */
  async key(signingCertUrl: string): Promise<KeyObject | null> {
    const url = snsUrl(signingCertUrl);
    if (url === null || !url.pathname.endsWith('.pem') || url.search !== '') return null;
    const certificate = await this.#certificate(url.href);
    return certificate !== null && this.#isValid(certificate) ? certificate.publicKey : null;
  }

  async #certificate(url: string): Promise<X509Certificate | null> {
    const cached = this.#cache.get(url);
    if (cached) return cached;
    const underway = this.#underway.get(url);
    if (underway) return underway;
    if (this.#underway.size >= MAX_UNDERWAY)
      throw new CertificateUnavailable('too many certificates are being fetched');
    const fetched = this.#fetch(url).finally(() => this.#underway.delete(url));
    this.#underway.set(url, fetched);
    return fetched;
  }

  async #fetch(url: string): Promise<X509Certificate | null> {
    const answer = await fetchText(this.#options.fetch, url, { timeout: TIMEOUT, maxBytes: MAX_BYTES }).catch(cause => {
      throw new CertificateUnavailable('the certificate cannot be fetched', { cause });
    });
    if (answer.status >= 500 || answer.status === 429) {
      throw new CertificateUnavailable(`the certificate cannot be fetched: HTTP ${answer.status}`);
    }
    const certificate = answer.status === 200 ? parse(answer.text) : null;
    if (certificate) this.#cache.set(url, certificate);
    return certificate;
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
