import { Agent, type ClientRequest, request as httpRequest, type IncomingMessage } from 'node:http';
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https';
import { Readable } from 'node:stream';
import { MessageUnread, UNREAD_TEXT } from '../../outgoing/bytes.ts';
import type { SesFault } from './classify.ts';

/** A request as the AWS SDK hands it to its request handler, signed. */
export interface SesHttpRequest {
  readonly protocol: string;
  readonly hostname: string;
  readonly port?: number | undefined;
  readonly method: string;
  readonly path: string;
  readonly query?: Readonly<Record<string, string | readonly string[] | null>> | undefined;
  readonly headers: Readonly<Record<string, string>>;
  /** Strings and buffers are sent as they are; a stream is sent piece by piece. */
  readonly body?: unknown;
}

export interface SesHttpResponse {
  readonly statusCode: number;
  readonly headers: Record<string, string>;
  readonly body: Buffer;
}

export interface SesHttpOptions {
  /** Milliseconds for a whole call, from its beginning to the last byte of the answer. */
  readonly timeout: number;
  /** Milliseconds until the connection stands. */
  readonly connectTimeout: number;
}

/**
 * A connection that was idle is closed from here, before the other side does: one that it closes at the moment when a request
 * is written leaves the outcome of that request unknown.
 */
const IDLE_TIMEOUT = 10_000;
const MAX_ANSWER = 1024 * 1024;

/**
 * The request handler of the AWS SDK's client. Its own cannot tell a request that failed before all of it was written from
 * one that failed later; to a message, that is the difference between "not sent" and "nobody knows".
 */
export class SesHttpHandler {
  readonly metadata = { handlerProtocol: 'http/1.1' };
  readonly #options: SesHttpOptions;
  readonly #http = new Agent({ keepAlive: true, timeout: IDLE_TIMEOUT });
  readonly #https = new HttpsAgent({ keepAlive: true, timeout: IDLE_TIMEOUT });

  constructor(options: SesHttpOptions) {
    this.#options = options;
  }

  /** @throws SesCallError whose fault tells how far the request came */
  handle(request: SesHttpRequest, options: { abortSignal?: unknown } = {}): Promise<{ response: SesHttpResponse }> {
    const signal = options.abortSignal instanceof AbortSignal ? options.abortSignal : null;
    return new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(notCalled());
      const outgoing = this.#open(request);
      const call = new Call(outgoing, this.#options, signal);
      outgoing.once('response', incoming => {
        readAnswer(incoming).then(
          response => {
            call.end();
            // Whoever answers before the end wants no more of it, and nobody would watch over the rest.
            if (!outgoing.writableFinished) outgoing.destroy();
            resolve({ response });
          },
          error => call.fail(error),
        );
      });
      call.failed = error => reject(error);
      write(outgoing, request.body, error => call.fail(error));
    });
  }

  destroy(): void {
    this.#http.destroy();
    this.#https.destroy();
  }

  /** For the SDK, which would set what is set here already. */
  updateHttpClientConfig(): void {}

  httpHandlerConfigs(): object {
    return {};
  }

  #open({ protocol, hostname, port, method, path, query, headers }: SesHttpRequest): ClientRequest {
    const search = queryString(query);
    // An IPv6 address stands in brackets in URLs only.
    const host = hostname.replace(/^\[(.*)\]$/, '$1');
    const target = { host, port, method, path: search ? `${path}?${search}` : path, headers };
    return protocol === 'https:'
      ? httpsRequest({ ...target, agent: this.#https })
      : httpRequest({ ...target, agent: this.#http });
  }
}

/** The time limits, the abort and the first failure of one call. */
class Call {
  failed: (error: SesCallError) => void = () => {};
  readonly #outgoing: ClientRequest;
  readonly #signal: AbortSignal | null;
  readonly #timer: NodeJS.Timeout;
  #connectTimer: NodeJS.Timeout | undefined;
  #written = false;
  #over = false;
  readonly #onAbort = () => this.fail(abortedError());

  constructor(outgoing: ClientRequest, { timeout, connectTimeout }: SesHttpOptions, signal: AbortSignal | null) {
    this.#outgoing = outgoing;
    this.#signal = signal;
    this.#timer = setTimeout(() => this.fail(timeoutError(`no answer within ${timeout} ms`)), timeout);
    signal?.addEventListener('abort', this.#onAbort);
    outgoing.on('error', error => this.fail(error));
    outgoing.once('finish', () => {
      this.#written = true;
    });
    outgoing.once('socket', socket => {
      if (!socket.connecting) return;
      const late = timeoutError(`no connection within ${connectTimeout} ms`);
      this.#connectTimer = setTimeout(() => this.fail(late), connectTimeout);
      socket.once('connect', () => clearTimeout(this.#connectTimer));
    });
  }

  end(): void {
    if (this.#over) return;
    this.#over = true;
    clearTimeout(this.#timer);
    clearTimeout(this.#connectTimer);
    this.#signal?.removeEventListener('abort', this.#onAbort);
  }

  fail(error: Error): void {
    if (this.#over) return;
    this.end();
    const written = this.#written;
    this.#outgoing.destroy();
    this.failed(failure(error, written));
  }
}

function write(outgoing: ClientRequest, body: unknown, fail: (error: Error) => void): void {
  if (body instanceof Readable) {
    body.once('error', fail);
    outgoing.once('close', () => body.destroy());
    body.pipe(outgoing);
  } else if (body === undefined || body === null) {
    outgoing.end();
  } else {
    outgoing.end(body);
  }
}

function readAnswer(incoming: IncomingMessage): Promise<SesHttpResponse> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let length = 0;
    incoming.on('data', (chunk: Buffer) => {
      length += chunk.length;
      chunks.push(chunk);
      if (length > MAX_ANSWER) reject(Object.assign(new Error('the answer is too long'), { code: 'AnswerTooLong' }));
    });
    // Also where the connection breaks in the middle of the answer.
    incoming.once('error', reject);
    incoming.once('end', () => {
      const { statusCode = 0, headers } = incoming;
      resolve({ statusCode, headers: plain(headers), body: Buffer.concat(chunks) });
    });
  });
}

function plain(headers: IncomingMessage['headers']): Record<string, string> {
  const entries = Object.entries(headers).map(([name, value]) => [
    name,
    Array.isArray(value) ? value.join(', ') : value,
  ]);
  return Object.fromEntries(entries) as Record<string, string>;
}

function queryString(query: SesHttpRequest['query']): string {
  const pairs = Object.entries(query ?? {}).flatMap(([name, value]) => {
    const values = Array.isArray(value) ? (value as readonly string[]) : [value as string | null];
    return values.map(one => (one === null ? encode(name) : `${encode(name)}=${encode(one)}`));
  });
  return pairs.join('&');
}

/** RFC 3986's unreserved characters stay, all others are encoded: the form that is signed. */
function encode(text: string): string {
  return encodeURIComponent(text).replace(/[!'()*]/g, char => `%${char.charCodeAt(0).toString(16).toUpperCase()}`);
}

function failure(error: Error & { readonly code?: unknown }, written: boolean): SesCallError {
  // The body ends before the length that the request has told, and SES cannot take it for a whole one.
  if (error instanceof MessageUnread && !written) return new SesCallError(faultOf(error), { cause: error });
  const code = typeof error.code === 'string' ? error.code : error.name;
  const message = written
    ? 'Amazon SES was sent the message, and no answer came'
    : 'Amazon SES could not be reached, or the connection broke before it had the whole message';
  const reason = code === ABORTED ? {} : ({ reason: 'connect' } as const);
  return new SesCallError({ stage: written ? 'sent' : 'not-sent', code, message, ...reason }, { cause: error });
}

/** Of a call that the worker's stop has come before. */
export function notCalled(): SesCallError {
  return failure(abortedError(), false);
}

const ABORTED = 'Aborted';

function timeoutError(message: string): Error {
  return Object.assign(new Error(message), { code: 'ETIMEDOUT' });
}

function abortedError(): Error {
  return Object.assign(new Error('the worker was stopped during the call'), { code: ABORTED });
}

/** A call to SES that failed, with what is known of it. */
export class SesCallError extends Error {
  readonly fault: SesFault;

  constructor(fault: SesFault, options?: ErrorOptions) {
    super(fault.message, options);
    this.name = 'SesCallError';
    this.fault = fault;
  }
}

/**
 * What any error of a call says. One that is none of ours arose before the request was made, when the SDK looked for
 * credentials for instance; its text is for the log only.
 */
export function faultOf(error: unknown): SesFault {
  if (error instanceof SesCallError) return error.fault;
  if (error instanceof MessageUnread) return { stage: 'not-sent', code: error.code, message: UNREAD_TEXT };
  const code = error instanceof Error ? error.name : 'Error';
  const message = 'Amazon SES could not be called: the relay has no credentials for it, or could not use them';
  return { stage: 'not-sent', code, message, reason: 'credentials' };
}
