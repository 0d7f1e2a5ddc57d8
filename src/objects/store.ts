import { Histogram } from 'prom-client';
import type { Config } from '../config/schema.ts';
import type { MessageBytes } from '../message/bytes.ts';
import type { Registry } from '../observability/metrics.ts';
import { locationIn, type ObjectStoreOptions, urlFor } from './location.ts';
import type { S3Calls } from './s3.ts';

/** Milliseconds that a call may take in all: what is larger is stored in parts, at whatever pace. */
const PUT_TIME = 120_000;
const READ_TIME = 30_000;
const CHECK_TIME = 2_000;

const OPERATIONS = ['put', 'read', 'remove'] as const;
type Operation = (typeof OPERATIONS)[number];

/** Bytes that are kept outside of the database, by their URL (`s3://bucket/key`). */
export class ObjectStore {
  readonly #options: ObjectStoreOptions;
  readonly #metrics: ObjectMetrics;
  #calls: Promise<S3Calls> | undefined;

  constructor(options: ObjectStoreOptions, metrics: ObjectMetrics) {
    this.#options = options;
    this.#metrics = metrics;
  }

  /** Where something new is to be. */
  urlFor(id: string, at: Date): string {
    return urlFor(this.#options, id, at);
  }

  /**
   * Stores bytes. When it resolves they are durable.
   *
   * @param hash SHA-256 of them
   * @param signal calls it off; then nothing of it stays that costs, unless S3 is away
   * @throws the SDK's error, which has S3's name for it
   */
  put(url: string, bytes: MessageBytes, hash: Buffer, signal: AbortSignal): Promise<void> {
    return this.#call('put', PUT_TIME, (calls, either) => calls.put(url, bytes, hash, either), signal);
  }

  /** Some of an object: as many bytes as there are, `length` at most; null where there is no such object. */
  read(url: string, start: number, length: number): Promise<Buffer | null> {
    return this.#call('read', READ_TIME, (calls, signal) => calls.read(url, start, length, signal));
  }

  /** @param urls a thousand at most. @returns those that are there no more */
  async remove(urls: readonly string[]): Promise<string[]> {
    const removed: string[] = [];
    for (const together of Map.groupBy(urls, url => locationIn(url).Bucket).values()) {
      removed.push(...(await this.#call('remove', READ_TIME, (calls, signal) => calls.remove(together, signal))));
    }
    return removed;
  }

  /** Resolves where S3 answers for the bucket, within two seconds or not at all. */
  async check(): Promise<void> {
    await (await this.#ready()).check(this.#options.bucket, AbortSignal.timeout(CHECK_TIME));
  }

  close(): void {
    void this.#calls?.then(calls => calls.close());
  }

  async #call<T>(
    operation: Operation,
    time: number,
    work: (calls: S3Calls, signal: AbortSignal) => Promise<T>,
    callOff?: AbortSignal,
  ): Promise<T> {
    const timeUp = AbortSignal.timeout(time);
    const calls = await this.#ready();
    const stop = this.#metrics.calls.startTimer({ operation });
    try {
      const result = await work(calls, callOff ? AbortSignal.any([callOff, timeUp]) : timeUp);
      stop({ outcome: 'ok' });
      return result;
    } catch (error) {
      stop({ outcome: callOff?.aborted ? 'called_off' : 'failed' });
      callOff?.throwIfAborted();
      throw error;
    }
  }

  /** The SDK is loaded with the first call: a process that keeps everything in Postgres is smaller. */
  #ready(): Promise<S3Calls> {
    this.#calls ??= import('./s3.ts').then(({ S3Calls }) => new S3Calls(this.#options));
    return this.#calls;
  }
}

/** As the configuration has it. What was put there before is found also where new originals go to Postgres. */
export function createConfiguredObjects({ originals, awsRegion }: Config, registry: Registry): ObjectStore {
  const { bucket, prefix, region, endpoint, encryption, kmsKeyId } = originals.s3;
  const options = { bucket, prefix, encryption, kmsKeyId, region: region || awsRegion, endpoint: endpoint || null };
  return new ObjectStore(options, createObjectMetrics(registry));
}

export interface ObjectMetrics {
  readonly calls: Histogram<'operation' | 'outcome'>;
}

export function createObjectMetrics(registry: Registry): ObjectMetrics {
  return {
    calls: new Histogram({
      name: 'smtp_relay_object_call_duration_seconds',
      help: `Calls to object storage; operation is one of ${OPERATIONS.join(', ')}, outcome one of ok, failed, called_off.`,
      labelNames: ['operation', 'outcome'] as const,
      buckets: [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 30],
      registers: [registry],
    }),
  };
}
