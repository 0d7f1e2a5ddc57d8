/** Sends one owner's small messages one after the other, in a thread of its own: who sends the others' must not hold it up. */
import { parentPort, workerData } from 'node:worker_threads';
import { Connection, type Target } from '../support/connection.ts';
import { sendMessage, smallMessage } from '../support/hostile-messages.ts';

export interface OtherData {
  readonly target: Target;
  readonly domain: string;
}

export interface OtherResult {
  /** Milliseconds from MAIL to the reply, of each message. */
  readonly times: readonly number[];
  readonly codes: readonly number[];
}

const { target, domain } = workerData as OtherData;
let isOver = false;
parentPort?.once('message', () => {
  isOver = true;
});
const connection = await Connection.open(target);
const times: number[] = [];
const codes = new Set<number>();
while (!isOver) {
  const began = performance.now();
  codes.add(await sendMessage(connection, `a@${domain}`, smallMessage(domain)));
  times.push(performance.now() - began);
}
connection.close();
parentPort?.postMessage({ times, codes: [...codes] } satisfies OtherResult);
