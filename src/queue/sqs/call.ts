import { hash } from 'node:crypto';
import { addAbortSignal, type Readable } from 'node:stream';
import type { SQSClient, SQSClientConfig } from '@aws-sdk/client-sqs';
import { type AwsAnswer, awsErrorOf, jsonOf } from '../../platform/aws/answer.ts';
import { AwsSigner } from '../../platform/aws/signer.ts';

/** SQS answered a call, and not with a success. */
export class SqsCallError extends Error {
  /** HTTP's. */
  readonly status: number;

  /** @param name SQS's own; null where the answer was not SQS's, but a proxy's for instance */
  constructor(status: number, name: string | null, message: string) {
    super(message || `SQS answered ${status}`);
    this.name = name ?? `Http${status}`;
    this.status = status;
  }
}

/**
 * Calls an operation of SQS. A connection that turns out to be closed is replaced, and what SQS refuses for this machine's
 * clock, or for credentials that have ended, is signed anew.
 *
 * @param operation as the API reference names it
 * @param input what it is given, as JSON has it
 * @param timeLimit milliseconds after which the call is given up, if before its `requestTimeout`
 * @returns what is answered
 * @throws SqsCallError; an `AbortError` where the time is over; the error of the connection, or of the SDK's credentials
 */
export type CallSqs = (operation: string, input: object, timeLimit?: number) => Promise<Record<string, unknown>>;

export interface SqsCallerOptions {
  readonly queueUrl: string;
  readonly region: string;
  /** Where SQS is, if not where the queue's URL says. */
  readonly endpoint: string | null;
  /** Calls that may be under way at once. */
  readonly connections: number;
  /** Milliseconds that one call may take. */
  readonly requestTimeout: number;
  /** How often a call is tried that SQS answers with a fault of its own (5xx). */
  readonly attempts: number;
  /** Left out, they come from the AWS SDK's own chain (`AWS_ACCESS_KEY_ID`, instance and pod roles). */
  readonly credentials?: SQSClientConfig['credentials'];
}

export interface SqsCaller {
  readonly call: CallSqs;
  close(): void;
}

type SdkRequest = Parameters<SQSClient['config']['requestHandler']['handle']>[0];

/** The connection was closed by the other side, perhaps while it was idle. */
const CLOSED = new Set(['ECONNRESET', 'EPIPE']);

/**
 * Makes calls in the place of the AWS SDK's middleware, which takes several times as much processor time for each
 * (docs/performance.md). Credentials, connections and their time limits are still the SDK's, and so is where calls go: to the
 * host of the queue's URL, unless there is an endpoint. The SDK is loaded with the first call: until then a process is smaller.
 */
export function createSqsCaller(options: SqsCallerOptions): SqsCaller {
  let ready: Promise<ReadyCaller> | undefined;
  return {
    async call(operation, input, timeLimit = options.requestTimeout) {
      ready ??= createClient(options).then(client => new ReadyCaller(client, options));
      return (await ready).call(
        operation,
        input,
        AbortSignal.timeout(Math.floor(Math.min(timeLimit, options.requestTimeout))),
      );
    },
    close: () => void ready?.then(caller => caller.close()),
  };
}

const SILENT = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };
const CONNECTION_TIMEOUT = 2_000;

/** Of which all is used but its middleware. */
async function createClient({
  region,
  connections,
  requestTimeout,
  credentials,
}: SqsCallerOptions): Promise<SQSClient> {
  const { SQSClient } = await import('@aws-sdk/client-sqs');
  const agent = { keepAlive: true, maxSockets: connections };
  return new SQSClient({
    region,
    ...(credentials && { credentials }),
    logger: SILENT,
    requestHandler: {
      connectionTimeout: CONNECTION_TIMEOUT,
      requestTimeout,
      throwOnRequestTimeout: true,
      httpAgent: agent,
      httpsAgent: agent,
    },
  });
}

class ReadyCaller {
  readonly #client: SQSClient;
  readonly #attempts: number;
  readonly #signer: AwsSigner;
  readonly #host: string;
  /** Of a request, what is the same for all. */
  readonly #target: Readonly<Record<'protocol' | 'hostname' | 'method' | 'path', string>> & { readonly port?: number };

  constructor(client: SQSClient, { queueUrl, region, endpoint, attempts }: SqsCallerOptions) {
    this.#client = client;
    this.#attempts = attempts;
    this.#signer = new AwsSigner({ identity: client.config, service: 'sqs', region });
    const { protocol, host, hostname, port, pathname } = new URL(endpoint ?? new URL(queueUrl).origin);
    this.#host = host;
    const path = `${pathname.replace(/\/$/, '')}/`;
    this.#target = { protocol, hostname, ...(port !== '' && { port: Number(port) }), method: 'POST', path };
  }

  async call(operation: string, input: object, signal: AbortSignal): Promise<Record<string, unknown>> {
    const body = Buffer.from(JSON.stringify(input));
    const signedAt = this.#signer.now;
    let answer = await this.#sendByAny(operation, body, signal);
    if (this.#signer.learnsFrom(answer, signedAt)) answer = await this.#sendByAny(operation, body, signal);
    for (let attempt = 1; answer.statusCode >= 500 && attempt < this.#attempts; attempt += 1)
      answer = await this.#sendByAny(operation, body, signal);
    if (answer.statusCode === 200) return jsonOf(answer);
    const { name, message } = awsErrorOf(answer);
    throw new SqsCallError(answer.statusCode, name, message);
  }

  close(): void {
    this.#client.destroy();
  }

  /** What has not come through by one connection goes by another; a job that came through all the same is there twice. */
  async #sendByAny(...request: [operation: string, body: Buffer, signal: AbortSignal]): Promise<AwsAnswer> {
    return this.#send(...request).catch((error: NodeJS.ErrnoException) => {
      if (!CLOSED.has(error.code ?? '')) throw error;
      return this.#send(...request);
    });
  }

  async #send(operation: string, body: Buffer, signal: AbortSignal): Promise<AwsAnswer> {
    const { method, path } = this.#target;
    const unsigned = {
      host: this.#host,
      'content-type': 'application/x-amz-json-1.0',
      'content-length': String(body.length),
      'x-amz-target': `AmazonSQS.${operation}`,
    };
    const sha256 = hash('sha256', body);
    const headers = await this.#signer.sign({ method, path, headers: unsigned, sha256 }, this.#signer.now);
    const request = { ...this.#target, headers, body } as SdkRequest;
    const { response } = await this.#client.config.requestHandler.handle(request, { abortSignal: signal });
    return { statusCode: response.statusCode, headers: response.headers, body: await read(response.body, signal) };
  }
}

function read(body: Readable, signal: AbortSignal): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    addAbortSignal(signal, body);
    body.on('data', (chunk: Buffer) => chunks.push(chunk));
    body.on('error', reject);
    body.once('end', () => resolve(Buffer.concat(chunks)));
  });
}
