import { createPrivateKey, X509Certificate } from 'node:crypto';
import { readFile, realpath } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { Counter, Gauge } from 'prom-client';
import type { Logger } from '../../observability/log.ts';
import type { Registry } from '../../observability/metrics.ts';
import { watchFolders } from '../../platform/watch-folders.ts';

/** A certificate chain and its private key, PEM. */
export interface TlsPair {
  readonly cert: string;
  readonly key: string;
  readonly notAfter: Date;
}

export interface TlsPaths {
  readonly certPath: string;
  readonly keyPath: string;
}

/**
 * Reads certificate and key, and makes sure that they belong together.
 *
 * A Secret mounted by Kubernetes changes as a whole, by a new target of the folder's `..data` link; so both are read
 * from what it points to now, and never one old and one new.
 *
 * @throws Error that names what is wrong; never any of the key
 */
export async function readTlsPair({ certPath, keyPath }: TlsPaths): Promise<TlsPair> {
  const [cert, key] = (await Promise.all(
    (await oneGeneration([certPath, keyPath])).map(path => readFile(path, 'utf8')),
  )) as [string, string];
  const certificate = new X509Certificate(cert);
  if (!certificate.checkPrivateKey(createPrivateKey(key))) {
    throw new Error(`the private key in ${keyPath} does not belong to the certificate in ${certPath}`);
  }
  return { cert, key, notAfter: new Date(certificate.validTo) };
}

async function oneGeneration(paths: readonly string[]): Promise<string[]> {
  const folders = new Map<string, Promise<string>>();
  return Promise.all(
    paths.map(async path => {
      const folder = dirname(path);
      if (!folders.has(folder))
        folders.set(
          folder,
          realpath(join(folder, '..data')).catch(() => folder),
        );
      return join((await folders.get(folder)) as string, basename(path));
    }),
  );
}

export interface TlsMetrics {
  /** From the next handshake on, clients get this certificate. */
  inUse(pair: Pick<TlsPair, 'notAfter'>): void;
  /** A new pair could not be used. */
  refused(): void;
}

export interface TlsWatchOptions {
  readonly paths: TlsPaths;
  /** The pair that is in use. */
  readonly current: TlsPair;
  readonly onChange: (pair: TlsPair) => void;
  /** As in `watchFolders`. */
  readonly onRequest?: (look: () => void) => () => void;
  readonly metrics: TlsMetrics;
  readonly logger: Logger;
}

/** Milliseconds for which a pair may be wrong: two files that are copied one after the other do not belong together meanwhile. */
const GRACE = 3_000;

/**
 * Takes up a renewed certificate from its files while the relay runs. A pair that cannot be used, and still cannot a little
 * later, is reported; the one in use stays.
 *
 * @returns stops watching
 */
export function watchTlsPair({ paths, current, onChange, onRequest, metrics, logger }: TlsWatchOptions): () => void {
  let inUse = current;
  let reported = '';
  const stopped = new AbortController();

  async function look(): Promise<void> {
    try {
      const pair = await readPatiently(paths, stopped.signal);
      reported = '';
      if (pair.cert === inUse.cert && pair.key === inUse.key) return;
      onChange(pair);
      inUse = pair;
      metrics.inUse(pair);
      logger.info({ notAfter: pair.notAfter }, 'TLS certificate renewed');
    } catch (error) {
      const { message } = error as Error;
      if (message === reported || stopped.signal.aborted) return;
      reported = message;
      metrics.refused();
      logger.error({ err: error }, 'new TLS certificate cannot be used; the old one stays');
    }
  }

  const stop = watchFolders({
    folders: [dirname(paths.certPath), dirname(paths.keyPath)],
    look,
    ...(onRequest && { onRequest }),
    onFault: (error, folder) => logger.warn({ err: error, folder }, 'certificate cannot be watched; it is polled'),
  });
  return () => {
    stopped.abort();
    stop();
  };
}

async function readPatiently(paths: TlsPaths, signal: AbortSignal): Promise<TlsPair> {
  try {
    return await readTlsPair(paths);
  } catch {
    await delay(GRACE, undefined, { signal, ref: false });
    return readTlsPair(paths);
  }
}

export function createTlsMetrics(registry: Registry): TlsMetrics {
  const expiry = new Gauge({
    name: 'smtp_relay_tls_certificate_expiry_timestamp_seconds',
    help: 'When the certificate in use ends, as Unix time',
    registers: [registry],
  });
  const failures = new Counter({
    name: 'smtp_relay_tls_reload_failures_total',
    help: 'How often a new certificate or key could not be used',
    registers: [registry],
  });
  return {
    inUse: ({ notAfter }) => expiry.set(notAfter.getTime() / 1000),
    refused: () => failures.inc(),
  };
}
