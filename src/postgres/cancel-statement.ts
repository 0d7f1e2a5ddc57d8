import { isIP } from 'node:net';
import pg from 'pg';
import { rest } from '../flow/loop.ts';

type Ssl = boolean | Readonly<Record<string, unknown>>;

/** What the driver knows of a connection and does not declare. */
interface Wire {
  readonly host: string;
  readonly port: number;
  readonly ssl: Ssl;
  readonly sslNegotiation?: string;
  readonly processID: number | null;
  readonly secretKey: number | null;
  readonly connection: { readonly stream: { readonly remoteAddress?: string } };
}

/** The driver's connection below its client, as far as a cancel request needs it. */
interface RequestConnection extends NodeJS.EventEmitter {
  connect(port: number | string, host?: string): void;
  requestSsl(): void;
  cancel(processID: number, secretKey: number): void;
  readonly stream: { destroy(): void };
}

/** Milliseconds between two requests: one that comes before its statement has begun is lost. */
const PAUSE = 250;
/** Milliseconds for one request. */
const PATIENCE = 2_000;

/** What came of watching a statement. */
export interface Watched {
  /** Whether the server was asked to cancel it. */
  readonly asked: boolean;
  /** Whether the server warned of something since. */
  readonly warned: boolean;
}

/** warning: PostgreSQL, appendix A. */
const WARNING = '01000';

/**
 * Cancels what a connection has under way once the signal is aborted, again and again until the watch ends: by the protocol's
 * own request, on a connection of its own, which a pooler hands on too.
 *
 * @returns ends the watch; resolves when no request is on its way any more
 */
export function cancelOnAbort(client: pg.ClientBase, signal: AbortSignal): () => Promise<Watched> {
  let work: Promise<void> | null = null;
  let warned = false;
  const ended = new AbortController();
  const note = ({ code }: { readonly code?: string | undefined }): void => {
    warned ||= code === WARNING;
  };
  const begin = (): void => {
    client.on('notice', note);
    work = requestUntil(client as unknown as Wire, ended.signal);
  };
  if (signal.aborted) begin();
  else signal.addEventListener('abort', begin, { once: true });
  return async () => {
    signal.removeEventListener('abort', begin);
    if (work === null) return { asked: false, warned };
    ended.abort();
    await work;
    client.off('notice', note);
    return { asked: true, warned };
  };
}

/** Asks the server once to give up what a connection has under way. Resolves when it has been asked, or cannot be. */
export function requestCancel(client: pg.ClientBase): Promise<void> {
  return request(client as unknown as Wire);
}

async function requestUntil(wire: Wire, ended: AbortSignal): Promise<void> {
  while (!ended.aborted) {
    await request(wire);
    await rest(PAUSE, ended);
  }
}

/** @returns when the server has done what was asked, or cannot be asked */
async function request({ host, port, ssl, sslNegotiation, processID, secretKey, connection }: Wire): Promise<void> {
  if (processID === null || secretKey === null) return;
  const { Connection } = pg as unknown as { Connection: new (options: object) => RequestConnection };
  const own = new Connection({ ssl: named(ssl, host), sslNegotiation });
  const done = Promise.withResolvers<void>();
  const timer = setTimeout(done.resolve, PATIENCE);
  const ask = (): void => own.cancel(processID, secretKey);
  own.on('connect', () => {
    if (!ssl) ask();
    else if (sslNegotiation !== 'direct') own.requestSsl();
  });
  own.on('sslconnect', ask);
  // The server closes the connection once it has passed the request on. It says nothing else.
  own.on('end', () => done.resolve());
  own.on('error', () => done.resolve());
  try {
    if (host.startsWith('/')) own.connect(`${host}/.s.PGSQL.${port}`);
    // A name may stand for several poolers, of which one has the connection.
    else own.connect(port, connection.stream.remoteAddress ?? host);
    await done.promise;
  } finally {
    clearTimeout(timer);
    own.stream.destroy();
  }
}

/** The driver's TLS options, with the name that the certificate has to have where an address is connected to. */
function named(ssl: Ssl, host: string): Ssl {
  if (!ssl) return false;
  // The driver hides the key from those who look through the options.
  const options = ssl === true ? {} : { ...ssl, key: ssl['key'] };
  return { host, ...(isIP(host) === 0 && { servername: host }), ...options };
}
