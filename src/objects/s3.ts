import {
  AbortMultipartUploadCommand,
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  DeleteObjectsCommand,
  GetObjectCommand,
  HeadBucketCommand,
  PutObjectCommand,
  S3Client,
  type S3ClientConfig,
  UploadPartCommand,
} from '@aws-sdk/client-s3';
import { Blocks, freeMemory, type MessageBytes, sha256, wholeOf } from '../message/bytes.ts';
import { locationIn, type ObjectStoreOptions } from './location.ts';

/** Bytes of a part; all but the last one must have 5 MiB (Amazon S3 user guide, "Amazon S3 multipart upload limits"). */
export const PART = 8 * 1024 * 1024;
/** Parts of one object under way at once. */
const PARTS_AT_ONCE = 2;
/** Milliseconds. */
const CONNECTION_TIMEOUT = 2_000;
/** Milliseconds without a byte on a connection. */
const SILENCE = 10_000;
const ATTEMPTS = 2;
const SOCKETS = 64;
/** DeleteObjects takes no more keys. */
export const MAX_REMOVED = 1_000;
const SILENT = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };
/** Whoever may not ask has been answered all the same. */
const FORBIDDEN = 403;

/** Where an object is. */
interface Place {
  readonly Bucket: string;
  readonly Key: string;
}

interface Part {
  readonly PartNumber: number;
  readonly ETag: string | undefined;
  readonly ChecksumSHA256: string;
}

/** The calls to S3. Each has the hash of what it carries, which S3 compares, and keeps beside the object. */
export class S3Calls {
  readonly #client: S3Client;
  readonly #encryption: { ServerSideEncryption?: 'AES256' | 'aws:kms'; SSEKMSKeyId?: string };

  constructor({ region, endpoint, encryption, kmsKeyId }: ObjectStoreOptions) {
    this.#client = new S3Client(clientConfig(region, endpoint));
    signByChecksum(this.#client);
    this.#encryption = {
      ...(encryption !== 'bucket' && { ServerSideEncryption: encryption }),
      ...(encryption === 'aws:kms' && kmsKeyId !== '' && { SSEKMSKeyId: kmsKeyId }),
    };
  }

  /** @param hash SHA-256 of the bytes */
  async put(url: string, bytes: MessageBytes, hash: Buffer, signal: AbortSignal): Promise<void> {
    const place = locationIn(url);
    if (bytes.length > PART) return this.#putInParts(place, bytes, signal);
    const input = { ...place, ...this.#encryption, Body: wholeOf(bytes), ChecksumSHA256: hash.toString('base64') };
    await this.#client.send(new PutObjectCommand(input), { abortSignal: signal });
  }

  async #putInParts(place: Place, bytes: MessageBytes, signal: AbortSignal): Promise<void> {
    const begin = new CreateMultipartUploadCommand({ ...place, ...this.#encryption, ChecksumAlgorithm: 'SHA256' });
    const { UploadId } = await this.#client.send(begin, { abortSignal: signal });
    const failed = new AbortController();
    try {
      const parts = await this.#putParts({ ...place, UploadId }, bytes, AbortSignal.any([signal, failed.signal]));
      const end = new CompleteMultipartUploadCommand({ ...place, UploadId, MultipartUpload: { Parts: parts } });
      await this.#client.send(end, { abortSignal: signal });
    } catch (error) {
      failed.abort(error);
      // What is left of it costs as much as an object. Where this fails too, a rule of the bucket removes it.
      const giveUp = new AbortMultipartUploadCommand({ ...place, UploadId });
      await this.#client.send(giveUp, { abortSignal: AbortSignal.timeout(SILENCE) }).catch(() => {});
      throw error;
    }
  }

  async #putParts(
    upload: Place & { UploadId: string | undefined },
    bytes: MessageBytes,
    signal: AbortSignal,
  ): Promise<Part[]> {
    const count = Math.ceil(bytes.length / PART);
    const parts: Part[] = [];
    let next = 0;
    const putNext = async (): Promise<void> => {
      while (next < count) {
        const index = next++;
        const [start, end] = [index * PART, (index + 1) * PART];
        const Body = bytes instanceof Blocks ? bytes.slice(start, end) : bytes.subarray(start, end);
        const sum = { PartNumber: index + 1, ChecksumSHA256: (await sha256(Body)).toString('base64') };
        const command = new UploadPartCommand({ ...upload, ...sum, Body });
        const { ETag } = await this.#client.send(command, { abortSignal: signal });
        if (bytes instanceof Blocks) freeMemory(Body);
        parts[index] = { ...sum, ETag };
      }
    };
    await Promise.all(Array.from({ length: Math.min(PARTS_AT_ONCE, count) }, putNext));
    return parts;
  }

  /** @returns as many bytes as there are, `length` at most; null where there is no such object */
  async read(url: string, start: number, length: number, signal: AbortSignal): Promise<Buffer | null> {
    const command = new GetObjectCommand({ ...locationIn(url), Range: `bytes=${start}-${start + length - 1}` });
    try {
      const { Body } = await this.#client.send(command, { abortSignal: signal });
      return Body === undefined ? null : await gather(Body as AsyncIterable<Buffer>, length);
    } catch (error) {
      if (nameOf(error) === 'NoSuchKey') return null;
      if (nameOf(error) === 'InvalidRange') return Buffer.alloc(0);
      throw error;
    }
  }

  /** @returns those that are there no more. @param urls `MAX_REMOVED` at most, of one bucket */
  async remove(urls: readonly string[], signal: AbortSignal): Promise<string[]> {
    const places = urls.map(url => ({ url, ...locationIn(url) }));
    const [first] = places;
    if (!first) return [];
    const Objects = places.map(({ Key }) => ({ Key }));
    const command = new DeleteObjectsCommand({ Bucket: first.Bucket, Delete: { Objects, Quiet: true } });
    const { Errors = [] } = await this.#client.send(command, { abortSignal: signal });
    const kept = new Set(Errors.map(({ Key }) => Key));
    if (kept.size === urls.length) throw new Error(`S3 removes nothing: ${Errors[0]?.Code}: ${Errors[0]?.Message}`);
    return places.filter(({ Key }) => !kept.has(Key)).map(({ url }) => url);
  }

  /** Resolves where S3 answers for the bucket. */
  async check(bucket: string, signal: AbortSignal): Promise<void> {
    try {
      await this.#client.send(new HeadBucketCommand({ Bucket: bucket }), { abortSignal: signal });
    } catch (error) {
      const { $metadata } = error as { $metadata?: { httpStatusCode?: number } };
      if ($metadata?.httpStatusCode !== FORBIDDEN) throw error;
    }
  }

  close(): void {
    this.#client.destroy();
  }
}

function clientConfig(region: string, endpoint: string | null): S3ClientConfig {
  const agent = { keepAlive: true, maxSockets: SOCKETS };
  return {
    region,
    // What is not AWS has no name for each bucket.
    ...(endpoint !== null && { endpoint, forcePathStyle: true }),
    maxAttempts: ATTEMPTS,
    logger: SILENT,
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
    requestHandler: {
      connectionTimeout: CONNECTION_TIMEOUT,
      socketTimeout: SILENCE,
      httpAgent: agent,
      httpsAgent: agent,
    },
  };
}

/** Spares the SDK making a hash, on the main thread, to sign what has one already. */
function signByChecksum({ middlewareStack }: S3Client): void {
  middlewareStack.add(
    next => args => {
      const { ChecksumSHA256: sum } = args.input as { ChecksumSHA256?: string };
      const { headers } = args.request as { headers: Record<string, string> };
      if (sum !== undefined) headers['x-amz-content-sha256'] = Buffer.from(sum, 'base64').toString('hex');
      return next(args);
    },
    { step: 'build', name: 'signByChecksum' },
  );
}

async function gather(body: AsyncIterable<Buffer>, length: number): Promise<Buffer> {
  const bytes = Buffer.allocUnsafeSlow(length);
  let at = 0;
  for await (const chunk of body) at += chunk.copy(bytes, at);
  return bytes.subarray(0, at);
}

function nameOf(error: unknown): string {
  return error instanceof Error ? error.name : '';
}
