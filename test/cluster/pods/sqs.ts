import { buildApp } from 'fauxqs';
import { createQueue } from '../../../dev/sqs.ts';

/*
 * node test/cluster/pods/sqs.ts <queue>…
 *
 * The SQS emulator on port 4566 of all addresses, with these queues. Its messages are gone with it.
 */
const PORT = 4566;

const app = buildApp({ logger: false });
await app.listen({ host: '0.0.0.0', port: PORT });
for (const name of process.argv.slice(2)) await createQueue(`http://127.0.0.1:${PORT}`, name);
process.on('SIGTERM', () => void app.close());
console.log('ready');
