import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import type { Pod } from './pod.ts';

/** What a Service of Kubernetes does: new connections go to pods that are ready, in turn; open ones stay where they are. */
export interface Service {
  readonly port: number;
  add(pod: Pod): void;
  remove(pod: Pod): void;
  close(): Promise<void>;
}

/** Milliseconds from one look at all pods to the next; Kubernetes takes about as long to tell its nodes. */
const PROBE_INTERVAL = 250;
const HOST = '127.0.0.1';

export async function startService(): Promise<Service> {
  const pods = new Set<Pod>();
  let ready: readonly Pod[] = [];
  let turn = 0;
  const look = async (): Promise<void> => {
    const all = [...pods];
    const states = await Promise.all(all.map(pod => pod.isReady()));
    ready = all.filter((pod, index) => states[index] && pods.has(pod));
  };
  const timer = setInterval(() => void look(), PROBE_INTERVAL);
  const sockets = new Set<Socket>();
  const server = createServer({ allowHalfOpen: true, noDelay: true }, client => {
    const pod = ready[turn++ % ready.length];
    // As a node answers for a Service without endpoints.
    if (!pod) return void client.resetAndDestroy();
    const upstream = connect({ port: pod.port, host: HOST, allowHalfOpen: true, noDelay: true });
    join(client, upstream);
    for (const socket of [client, upstream]) {
      sockets.add(socket);
      socket.on('close', () => sockets.delete(socket));
    }
  });
  server.listen(0, HOST);
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    add(pod) {
      pods.add(pod);
      ready = [...ready, pod];
    },
    remove: pod => void pods.delete(pod),
    async close() {
      clearInterval(timer);
      const closed = once(server, 'close');
      server.close();
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}

/** Bytes and ends pass in both directions, and so does a reset. */
function join(one: Socket, other: Socket): void {
  for (const [from, to] of [
    [one, other],
    [other, one],
  ] as const) {
    from.pipe(to);
    from.on('error', () => to.resetAndDestroy());
    from.on('close', () => to.destroySoon());
  }
}
