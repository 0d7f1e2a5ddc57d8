import {
  createServer,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type RequestListener,
  type ServerResponse,
} from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';

interface TestContext {
  after(fn: () => Promise<void>): void;
}

export interface Received {
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
}

/** What to do with a request that was read. */
export type Behaviour = (request: Received, response: ServerResponse) => void;

export interface Receiver {
  readonly url: string;
  readonly received: Received[];
  /** How many connections there were. */
  readonly connections: () => number;
  behave(behaviour: Behaviour): void;
}

export const answer =
  (status: number, body = '', headers: Record<string, string> = {}): Behaviour =>
  (_, response) =>
    void response.writeHead(status, headers).end(body);

export const hang: Behaviour = () => {};

export const reset: Behaviour = (_, response) => void response.socket?.resetAndDestroy();

/**
 * A webhook receiver on this machine, which takes everything until it is told to behave otherwise.
 *
 * @param tls certificate and key as PEM; without, it speaks plain HTTP
 */
export async function startReceiver(
  t: TestContext,
  tls?: { readonly cert: string; readonly key: string },
): Promise<Receiver> {
  const received: Received[] = [];
  let behave: Behaviour = answer(200, 'taken');
  let connections = 0;
  const listener: RequestListener = (request, response) => {
    read(request).then(
      body => {
        const seen = { path: request.url ?? '', headers: request.headers, body };
        received.push(seen);
        behave(seen, response);
      },
      () => response.destroy(),
    );
  };
  const server = tls ? createTlsServer(tls, listener) : createServer(listener);
  server.on('connection', () => {
    connections += 1;
  });
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  t.after(
    () =>
      new Promise<void>(resolve => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  );
  return {
    url: `${tls ? 'https' : 'http'}://127.0.0.1:${(server.address() as AddressInfo).port}/hook`,
    received,
    connections: () => connections,
    behave: behaviour => {
      behave = behaviour;
    },
  };
}

async function read(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}
