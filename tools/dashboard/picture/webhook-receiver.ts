import { randomBytes, randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import type pg from 'pg';
import { createWebhook } from '../../../src/store/webhooks/webhooks.ts';
import { createSecretBox, newSecret } from '../../../src/webhooks/signing.ts';

/** An endpoint that hears of all events of an owner. */
export interface WebhookReceiver {
  /** What workers need to deliver to it. */
  readonly workerEnv: NodeJS.ProcessEnv;
  /** Answers 503 from now on, or 200 again. */
  setBroken(isBroken: boolean): void;
  stop(): Promise<void>;
}

export async function startWebhookReceiver(db: pg.Pool, owner: string): Promise<WebhookReceiver> {
  let status = 200;
  const server = createServer((request, response) => {
    request.resume().on('end', () => response.writeHead(status).end());
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const key = randomBytes(32).toString('base64');
  const id = randomUUID();
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/hooks`;
  const secret = createSecretBox([key]).seal(newSecret(), id);
  await createWebhook(db, { id, owner, url, events: ['*'], secret });
  return {
    workerEnv: { SMTP_RELAY_WEBHOOKS_SECRET_KEYS: key, SMTP_RELAY_WEBHOOKS_ALLOWED_NETWORKS: '127.0.0.0/8' },
    setBroken: isBroken => {
      status = isBroken ? 503 : 200;
    },
    stop: async () => {
      const closed = once(server, 'close');
      server.close();
      server.closeAllConnections();
      await closed;
    },
  };
}
