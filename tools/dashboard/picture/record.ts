/** Records metrics of relays and workers under a load, for draw.ts; see README.md beside this file. */
import { mkdir, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { type System, startSystem } from '../../../bench/support/system.ts';
import { createQueue, sqsClient } from '../../../dev/sqs.ts';
import { createKey } from '../../../src/store/keys/api-keys.ts';
import { FakeSes } from '../../../test/support/ses/server.ts';
import { Client } from './clients.ts';
import { startPods } from './pods.ts';
import { Prometheus } from './prometheus.ts';
import { Recipients } from './recipients.ts';
import { LENGTH, play } from './scenario.ts';
import { startWebhookReceiver } from './webhook-receiver.ts';

const OWNER = 'bench';
/** Seconds before the picture begins: rates need some. */
const WARM_UP = 30;
/** Recipients a second that SES allows, and milliseconds that a call to it takes. */
const SES = { maxSendRate: 40, enforceRate: true, latency: 40 };

/** What is to be ended, in the reverse order. */
class Ending {
  readonly #steps: (() => unknown)[] = [];

  add<T extends { stop(): unknown }>(started: T): T {
    this.later(() => started.stop());
    return started;
  }

  later(step: () => unknown): void {
    this.#steps.push(step);
  }

  async run(): Promise<void> {
    for (const step of this.#steps.toReversed()) await step();
  }
}

async function record(system: System, directory: string, ending: Ending): Promise<void> {
  const stage = await system.prepare('picture', 'standalone');
  ending.later(() => stage.remove());
  const db = new pg.Pool({ connectionString: stage.databaseUrl, max: 2 });
  ending.later(() => db.end());
  await db.query('update domains set track_opens = true, track_clicks = true');
  const { key: newsletterKey } = await createKey(db, { name: 'newsletter', owner: OWNER });
  const receiver = ending.add(await startWebhookReceiver(db, OWNER));
  const ses = new FakeSes(SES);
  await ses.listen();
  ending.later(() => ses.close());
  const eventsQueueUrl = await createQueue(system.sqsEndpoint, 'events');
  const sqs = sqsClient(system.sqsEndpoint);
  ending.later(() => sqs.destroy());
  const tracking = { TRACKING_SECRET: 'a secret of this run only', TRACKING_BASE_URL: 'http://track.bench.test' };
  const workerEnv = { ...receiver.workerEnv, ...tracking };
  const pods = ending.add(await startPods({ system, stage, ses, eventsQueueUrl, workerEnv, directory }));
  ending.add(await Prometheus.start(directory, pods.targets));
  ending.add(new Recipients({ ses, sqs, eventsQueueUrl, workers: pods.workers }));
  const { ca } = system.tls;
  const options = { relays: pods.relays, ca, key: stage.key };
  const shop = ending.add(new Client(options));
  const newsletter = ending.add(new Client({ ...options, key: newsletterKey }));
  const from = Math.ceil(Date.now() / 1000) + WARM_UP;
  for (let second = -WARM_UP; second < LENGTH && !interrupted; second += 1) {
    play({ shop, newsletter, stranger: options, ses, receiver }, second);
    await sleep(Math.max(0, (from + second + 1) * 1000 - Date.now()));
  }
  if (!interrupted) await writeFile(join(directory, 'range.json'), JSON.stringify({ from, to: from + LENGTH }));
}

const [directory] = process.argv.slice(2);
if (!directory) {
  console.error('Usage: node tools/dashboard/picture/record.ts DIRECTORY');
  process.exit(2);
}
await mkdir(directory, { recursive: true });
const ending = new Ending();
let interrupted = false;
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => (interrupted = true));
try {
  const system = await startSystem();
  ending.add(system);
  await record(system, resolve(directory), ending);
} finally {
  await ending.run();
}
