/** A receiver of webhooks in a process of its own: paths under /dead are never answered. Ends with its parent. */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

process.on('SIGINT', () => {});
process.on('disconnect', () => process.exit(0));
const server = createServer((request, response) => {
  if (request.url?.startsWith('/dead')) return;
  request.resume().on('end', () => response.end('ok'));
});
server.listen(0, '127.0.0.1', () => process.send?.({ port: (server.address() as AddressInfo).port }));
