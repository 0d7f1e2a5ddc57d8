import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { Account, type AccountOptions } from './account.ts';
import { type Fault, Faults } from './faults.ts';
import { Mailbox, type MailboxOptions } from './mailbox.ts';
import { OPERATIONS, type Operation } from './operations.ts';
import { SesError } from './ses-error.ts';
import { CREDENTIALS, SignatureVerifier } from './sigv4.ts';
import { ASSUMED, assumeRole } from './sts.ts';

export interface FakeSesOptions extends Partial<MailboxOptions & AccountOptions> {
  /** On 127.0.0.1; 0 or none for any free one. */
  readonly port?: number;
  /** Milliseconds that each answer takes at least. */
  readonly latency?: number;
  /** Secret access keys by access key id; that of `CREDENTIALS` unless given. */
  readonly secrets?: Readonly<Record<string, string>>;
  /** Milliseconds by which its clock is ahead of this machine's. */
  readonly clockOffset?: number;
  /** PEM texts; with them it speaks HTTPS, as SES does. */
  readonly tls?: { readonly cert: string; readonly key: string };
}

const MAX_BODY = 64 * 1024 * 1024;
const THROTTLED = { status: 429, name: 'TooManyRequestsException', message: 'Maximum sending rate exceeded.' };
const SECRETS = {
  [CREDENTIALS.accessKeyId]: CREDENTIALS.secretAccessKey,
  [ASSUMED.accessKeyId]: ASSUMED.secretAccessKey,
};

/**
 * A stand-in for Amazon SES: the SES API v2 over HTTP (REST JSON 1), with signatures checked. It keeps what it takes, and
 * goes wrong when it is told to.
 */
export class FakeSes {
  readonly faults = new Faults();
  readonly mailbox: Mailbox;
  readonly account: Account;
  /** Calls by operation, refused and failed ones included. */
  readonly calls: Record<string, number> = {};
  latency: number;
  readonly #scheme: 'http' | 'https';
  readonly #server: Server;
  readonly #verifier: SignatureVerifier;
  readonly #now: () => number;

  constructor(options: FakeSesOptions = {}) {
    this.mailbox = new Mailbox({ keep: options.keep ?? 10_000 });
    this.account = new Account({
      maxSendRate: options.maxSendRate ?? 100_000,
      enforceRate: options.enforceRate ?? false,
      sandbox: options.sandbox ?? false,
      configurationSets: options.configurationSets ?? null,
      verifyAtOnce: options.verifyAtOnce ?? false,
      strict: options.strict ?? true,
    });
    this.latency = options.latency ?? 0;
    const now = () => Date.now() + (options.clockOffset ?? 0);
    this.#now = now;
    this.#verifier = new SignatureVerifier(options.secrets ?? SECRETS, now);
    this.#scheme = options.tls ? 'https' : 'http';
    const onRequest = (request: IncomingMessage, response: ServerResponse) => {
      this.#handle(request, response).catch(() => request.socket.destroy());
    };
    const settings = { keepAliveTimeout: 60_000 };
    this.#server = options.tls
      ? createTlsServer({ ...settings, ...options.tls }, onRequest)
      : createServer(settings, onRequest);
  }

  async listen(port = 0, host = '127.0.0.1'): Promise<void> {
    this.#server.listen(port, host);
    await once(this.#server, 'listening');
  }

  /** For `AWS_ENDPOINT_URL_SESV2`. */
  get endpoint(): string {
    return `${this.#scheme}://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async close(): Promise<void> {
    const closed = new Promise(resolve => this.#server.close(resolve));
    this.#server.closeAllConnections();
    await closed;
  }

  /** Answers a request that is none of SES's API; a process of its own overrides it (main.ts). */
  control: ((request: IncomingMessage, body: Buffer) => object | null) | null = null;

  async #handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    response.setHeader('date', new Date(this.#now()).toUTCString());
    const path = (request.url ?? '').split('?', 1)[0] as string;
    if (this.control && path.startsWith('/_control/')) {
      const answer = this.control(request, await readBody(request));
      return reply(response, answer ? 200 : 404, answer ?? {});
    }
    const operation = OPERATIONS.find(candidate => candidate.method === request.method && candidate.path.test(path));
    const fault = operation ? this.faults.next(operation.name) : null;
    if (operation) this.calls[operation.name] = (this.calls[operation.name] ?? 0) + 1;
    if (fault?.kind === 'drop') return void request.socket.destroy();
    const body = await readBody(request);
    if (fault?.kind === 'timeout') return;
    const role = path === '/' ? assumeRole(body) : null;
    if (role) return void response.writeHead(200, { 'content-type': 'text/xml' }).end(role);
    const pause = this.latency + (fault?.delayMs ?? 0);
    if (pause > 0) await delay(pause);
    await fault?.until;
    try {
      const answer = this.#answer(request, operation, path, body, fault);
      if (fault?.kind === 'drop-after') return void request.socket.destroy();
      reply(response, 200, answer);
    } catch (error) {
      if (!(error instanceof SesError)) throw error;
      replyError(response, error);
    }
  }

  #answer(
    request: IncomingMessage,
    operation: Operation | undefined,
    path: string,
    body: Buffer,
    fault: Fault | null,
  ): object {
    const { method = '', url = '', headers } = request;
    const verified = this.#verifier.verify({ method, url, headers, body });
    if ('name' in verified) throw new SesError(403, verified.name, verified.message);
    const sessionToken = verified.accessKeyId === ASSUMED.accessKeyId ? ASSUMED.sessionToken : undefined;
    if (headers['x-amz-security-token'] !== sessionToken) {
      throw new SesError(403, 'InvalidClientTokenId', 'The security token included in the request is invalid.');
    }
    if (!operation) throw new SesError(404, 'UnknownOperationException', '');
    if (fault?.kind === 'error') {
      throw new SesError(fault.status ?? 500, fault.name ?? 'InternalServiceError', fault.message ?? 'Told to fail.');
    }
    if (fault?.kind === 'throttle') {
      throw new SesError(THROTTLED.status, fault.name ?? THROTTLED.name, fault.message ?? THROTTLED.message);
    }
    const name = decodeURIComponent(operation.path.exec(path)?.[1] ?? '');
    const { searchParams: query } = new URL(url, this.endpoint);
    return operation.run({ account: this.account, mailbox: this.mailbox, caller: verified, name, query, body });
  }
}

/** By events, which take half the time of an async iterator. */
function readBody(request: IncomingMessage): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let length = 0;
    request.on('data', (chunk: Buffer) => {
      chunks.push(chunk);
      length += chunk.length;
      if (length > MAX_BODY) reject(new Error('the body is too large'));
    });
    request.once('error', reject);
    request.once('end', () => resolve(chunks.length === 1 ? (chunks[0] as Buffer) : Buffer.concat(chunks, length)));
  });
}

function reply(response: ServerResponse, status: number, answer: object): void {
  const text = JSON.stringify(answer);
  response.writeHead(status, {
    'content-type': 'application/json',
    'content-length': Buffer.byteLength(text),
    'x-amzn-requestid': randomUUID(),
  });
  response.end(text);
}

/** Without a name the answer is not one of SES's own, but what a proxy before it would say. */
function replyError(response: ServerResponse, { status, name, message }: SesError): void {
  if (name === '') return void response.writeHead(status, { 'content-type': 'text/html' }).end(`<h1>${message}</h1>`);
  response.setHeader('x-amzn-errortype', name);
  reply(response, status, { message });
}
