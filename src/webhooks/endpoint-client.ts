import http from 'node:http';
import https from 'node:https';
import { isIP, type LookupFunction } from 'node:net';
import { type AddressGuard, guardedLookup, RefusedAddress } from './address-guard.ts';
import { hasBadPort } from './endpoint.ts';
import { cachedResolve, type Resolve } from './resolver.ts';

/** What an endpoint answered. */
export interface Answer {
  readonly statusCode: number;
  /** The beginning of the body, as UTF-8 text without NUL. */
  readonly body: string;
  /** The header `Retry-After` as it came. */
  readonly retryAfter: string | undefined;
}

/** There was no answer. The message is fit for the owner: it tells nothing of the network that the relay is in. */
export class NoAnswer extends Error {
  readonly reason: 'timeout' | 'refused' | 'unreachable';

  constructor(reason: NoAnswer['reason'], message: string, cause?: unknown) {
    super(message, { cause });
    this.name = 'NoAnswer';
    this.reason = reason;
  }
}

export interface EndpointClientOptions {
  /** Milliseconds for one whole exchange, from the look-up of the name to the end of the answer. */
  readonly timeout: number;
  /** Connections kept open to one endpoint between exchanges. */
  readonly connections: number;
  readonly guard: AddressGuard;
  readonly resolve: Resolve;
}

/** Posts to endpoints that strangers chose. Redirects are answers like any other. */
export interface EndpointClient {
  /** Rejects with `NoAnswer`, or with the signal's reason. */
  post(url: string, headers: Readonly<Record<string, string>>, body: Buffer, signal?: AbortSignal): Promise<Answer>;
  /** Closes idle connections. */
  close(): void;
}

const MAX_BODY_BYTES = 4096;
/** Milliseconds that an idle connection is kept; less, where the endpoint says so. */
const IDLE = 15_000;

interface Exchange {
  readonly url: URL;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer;
  readonly lookup: LookupFunction;
  readonly agent: http.Agent;
  readonly signal: AbortSignal;
}

export function createEndpointClient(options: EndpointClientOptions): EndpointClient {
  const { guard, timeout, connections } = options;
  const pool = { keepAlive: true, maxFreeSockets: connections, timeout: IDLE };
  const agents = { 'http:': new http.Agent(pool), 'https:': new https.Agent(pool) };
  const lookup = guardedLookup(cachedResolve(options.resolve), guard);

  return {
    async post(text, headers, body, signal) {
      const url = URL.parse(text);
      const agent = agents[url?.protocol as keyof typeof agents];
      if (!url || !agent) throw new NoAnswer('refused', 'the URL is not one of http or https');
      if (hasBadPort(url)) throw new NoAnswer('refused', `refused: port ${url.port} is one of another protocol`);
      const deadline = new AbortController();
      const timer = setTimeout(() => deadline.abort(), timeout);
      const stop = () => deadline.abort();
      signal?.addEventListener('abort', stop);
      try {
        signal?.throwIfAborted();
        const literal = url.hostname.replace(/^\[(.*)\]$/, '$1');
        if (isIP(literal) !== 0 && !guard(literal)) throw new RefusedAddress(literal);
        return await exchange({ url, headers, body, lookup, agent, signal: deadline.signal });
      } catch (error) {
        signal?.throwIfAborted();
        throw deadline.signal.aborted ? new NoAnswer('timeout', `no answer within ${timeout} ms`) : explain(error);
      } finally {
        clearTimeout(timer);
        signal?.removeEventListener('abort', stop);
      }
    },
    close() {
      for (const agent of Object.values(agents)) agent.destroy();
    },
  };
}

/** Tries again on another connection where the endpoint closed an idle one at the moment that it was used again. */
async function exchange(options: Exchange): Promise<Answer> {
  for (;;) {
    let request: http.ClientRequest | undefined;
    try {
      return await new Promise<Answer>((resolve, reject) => {
        request = begin(options, resolve, reject);
      });
    } catch (error) {
      if (!request?.reusedSocket || !isReset(error) || options.signal.aborted) throw error;
    }
  }
}

function begin(
  { url, headers, body, lookup, agent, signal }: Exchange,
  resolve: (answer: Answer) => void,
  reject: (error: unknown) => void,
): http.ClientRequest {
  const { request: start } = url.protocol === 'https:' ? https : http;
  const request = start(url, { method: 'POST', headers, agent, lookup, signal });
  let answered = false;
  request.on('error', reject);
  // An upgrade, for one, ends a connection without an error.
  request.on('close', () => answered || reject(new Error('the connection was closed')));
  request.on('response', response => {
    answered = true;
    const { statusCode = 0, headers: received } = response;
    readBody(response).then(
      text => resolve({ statusCode, body: text, retryAfter: received['retry-after'] }),
      error => reject(new NoAnswer('unreachable', 'the answer of the endpoint was cut off', error)),
    );
  });
  request.end(body);
  return request;
}

/** The first bytes. Where there are more, the connection is closed: reading on would let the endpoint say how much. */
async function readBody(response: http.IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of response) {
    chunks.push(chunk as Buffer);
    bytes += (chunk as Buffer).length;
    if (bytes > MAX_BODY_BYTES) break;
  }
  const kept = Buffer.concat(chunks).subarray(0, MAX_BODY_BYTES);
  // As a stream, so that half a character at the end is left out.
  return new TextDecoder().decode(kept, { stream: true }).replaceAll('\0', '');
}

function isReset(error: unknown): boolean {
  const { code } = error as NodeJS.ErrnoException;
  return code === 'ECONNRESET' || code === 'EPIPE';
}

function explain(error: unknown): NoAnswer {
  if (error instanceof NoAnswer) return error;
  const first = error instanceof AggregateError ? error.errors[0] : error;
  if (first instanceof RefusedAddress) {
    const rule = 'private, loopback, link-local and other special addresses are not delivered to';
    return new NoAnswer('refused', `refused: the address of the endpoint is not a public one; ${rule}`, error);
  }
  const { code } = first as NodeJS.ErrnoException;
  return new NoAnswer(
    'unreachable',
    `the endpoint could not be reached: ${code ?? 'the connection was closed'}`,
    error,
  );
}
