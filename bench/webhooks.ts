/** Measures how long due webhook deliveries take where some endpoints never answer; see README.md beside this file. */

import { fork } from 'node:child_process';
import { randomBytes, randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import pg from 'pg';
import { INSERT_DUE_DELIVERIES } from '../src/store/webhooks/deliveries.ts';
import { createWebhook } from '../src/store/webhooks/webhooks.ts';
import { createSecretBox, newSecret } from '../src/webhooks/signing.ts';
import { startWorker } from './processes/worker.ts';
import { startSystem } from './support/system.ts';

const HELP = 'node bin/node24.js bench/webhooks.ts [--deliveries 10000] [--endpoints 50] [--dead 5]';

const { values } = parseArgs({
  options: {
    help: { type: 'boolean', default: false },
    deliveries: { type: 'string', default: '10000' },
    endpoints: { type: 'string', default: '50' },
    dead: { type: 'string', default: '5' },
  },
});

const OWNER = 'bench';
const LIMIT_MS = 300_000;
const RECEIVER = fileURLToPath(new URL('./processes/receiver.ts', import.meta.url));

const INSERT_EVENTS = `
  with new_events as (
    insert into email_events (id, type, payload, user_id)
    select gen_random_uuid(), 'sent', jsonb_build_object('subject', repeat('s', 500)), $1 from generate_series(1, $2)
    returning id, type, user_id
  ), due as (${INSERT_DUE_DELIVERIES} returning webhook_id)
  select count(*) from due`;

const COUNT = `
  select count(*) filter (where status = 'success')::integer as done from webhook_deliveries`;

async function main(): Promise<void> {
  const [deliveries, endpoints, dead] = [values.deliveries, values.endpoints, values.dead].map(Number) as [
    number,
    number,
    number,
  ];
  const system = await startSystem();
  const receiver = fork(RECEIVER);
  try {
    const [{ port }] = (await once(receiver, 'message')) as [{ port: number }];
    const stage = await system.prepare('bench webhooks', 'standalone');
    const db = new pg.Pool({ connectionString: stage.databaseUrl, max: 2 });
    const key = randomBytes(32).toString('base64');
    const box = createSecretBox([key]);
    for (let index = 0; index < endpoints; index += 1) {
      const id = randomUUID();
      const url = `http://127.0.0.1:${port}/${index < dead ? 'dead' : 'live'}/${index}`;
      await createWebhook(db, { id, url, owner: OWNER, events: ['email.sent'], secret: box.seal(newSecret(), id) });
    }
    await db.query(INSERT_EVENTS, [OWNER, Math.ceil(deliveries / endpoints)]);
    const live = Math.ceil(deliveries / endpoints) * (endpoints - dead);
    const worker = await startWorker({
      system,
      stage,
      // Nobody listens there: nothing is sent.
      ses: { endpoint: 'http://127.0.0.1:9' },
      directory: join(tmpdir(), `smtp-relay-bench-${process.pid}`),
      profile: false,
      env: { SMTP_RELAY_WEBHOOKS_SECRET_KEYS: key, SMTP_RELAY_WEBHOOKS_ALLOWED_NETWORKS: '127.0.0.0/8' },
    });
    const began = performance.now();
    let done = 0;
    while (done < live && performance.now() - began < LIMIT_MS) {
      await sleep(100);
      done = (await db.query<{ done: number }>(COUNT)).rows[0]?.done ?? 0;
    }
    const seconds = (performance.now() - began) / 1000;
    const { cpuSeconds, peakBytes } = worker.usage();
    console.log(
      `${done} of ${live} deliveries to ${endpoints - dead} live endpoints, ${dead} dead ones beside them: ${seconds.toFixed(1)} s ` +
        `(${Math.round(done / seconds)}/s); CPU ${cpuSeconds.toFixed(1)} s, peak RSS ${Math.round(peakBytes / 1e6)} MB`,
    );
    await worker.stop();
    await db.end();
    await stage.remove();
  } finally {
    receiver.disconnect();
    await system.stop();
  }
}

if (values.help) process.stdout.write(`${HELP}\n`);
else await main();
