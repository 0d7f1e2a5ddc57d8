/** The SQS emulator in a process of its own, so that its work is not counted as the generator's. Ends with its parent. */
import { startSqs } from '../../dev/sqs.ts';

// Ctrl-C in a terminal reaches every process of the run; the parent still needs this one to clean up.
process.on('SIGINT', () => {});
process.on('disconnect', () => process.exit(0));
const server = await startSqs({ port: 0 });
process.send?.({ endpoint: server.endpoint });
