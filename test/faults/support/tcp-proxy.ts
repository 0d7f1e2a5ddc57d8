import { once } from 'node:events';
import net from 'node:net';
import type { TestContext } from '../../support/relay.ts';

export interface Target {
  readonly host: string;
  readonly port: number;
}

export interface TcpProxy {
  /** `url` with the proxy's address in place of the server's. */
  through(url: string): string;
  /**
   * Lets the next chunk for the server that holds `text` through, and cuts that connection's client off before any
   * answer; the server is not told. @returns resolves when that has happened
   */
  cutAfter(text: string): Promise<void>;
  /** New connections go to this server from now on; those that are open stay where they are. */
  switchTo(target: Target): void;
  /** Connections so far. */
  readonly connections: number;
}

/** Stands between the relay and a server, and loses connections on demand. */
export async function startTcpProxy(t: TestContext, first: Target): Promise<TcpProxy> {
  const sockets = new Set<net.Socket>();
  let trap: { readonly text: string; readonly sprung: () => void } | null = null;
  let connections = 0;
  let target = first;

  const server = net.createServer(client => {
    connections += 1;
    const upstream = net.connect(target.port, target.host);
    for (const socket of [client, upstream]) {
      sockets.add(socket);
      socket.setNoDelay();
      socket.on('error', () => {});
      socket.on('close', () => sockets.delete(socket));
    }
    client.on('data', chunk => {
      upstream.write(chunk);
      if (!trap || !chunk.includes(trap.text)) return;
      trap.sprung();
      trap = null;
      client.resetAndDestroy();
    });
    client.on('end', () => upstream.end());
    // A client that was cut off gets nothing any more, but its server goes on undisturbed.
    upstream.on('data', chunk => void (client.writable && client.write(chunk)));
    upstream.on('close', () => client.destroy());
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as net.AddressInfo;
  t.after(async () => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });

  return {
    through: url => Object.assign(new URL(url), { host: `127.0.0.1:${port}` }).href,
    cutAfter: text => new Promise(resolve => (trap = { text, sprung: resolve })),
    switchTo: next => {
      target = next;
    },
    get connections() {
      return connections;
    },
  };
}
