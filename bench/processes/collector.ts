/** An OTLP receiver in a process of its own: reads what comes and answers at once. Tells its endpoint to its parent. */
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

let bytes = 0;
const server = createServer((request, response) => {
  request.on('data', (chunk: Buffer) => {
    bytes += chunk.length;
  });
  request.on('end', () => response.writeHead(200, { 'content-type': 'application/x-protobuf' }).end());
});
server.listen(0, '127.0.0.1');
await once(server, 'listening');
process.on('message', () => process.send?.({ bytes }));
process.on('disconnect', () => process.exit());
process.send?.({ endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}` });
