import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { env } from 'node:process';
import { after, describe, it } from 'node:test';
import { createSqsQueue } from '../../src/queue/sqs/queue.ts';
import { createQueue, sqsEnv } from '../support/queue.ts';

Object.assign(env, sqsEnv());
const queue = await createQueue({ after });
const endpoint = sqsEnv().AWS_ENDPOINT_URL_SQS;

/** Whether SQS at an address answers for a queue. */
async function look(t: { after(fn: () => void): void }, queueUrl: string, at: string): Promise<void> {
  const queue = createSqsQueue({ queueUrl, region: 'us-east-1', endpoint: at, connections: 1, fairQueue: true });
  t.after(() => queue.close());
  await queue.check();
}

describe('the check of a queue', () => {
  it('finds a queue that is there, and not one that is not', async t => {
    await look(t, queue.url, endpoint);
    await assert.rejects(look(t, `${queue.url}-other`, endpoint), { name: 'QueueDoesNotExist' });
  });

  it('is content with an SQS that says it may not ask', async t => {
    const server = createServer((_request, response) => {
      const body = { __type: 'com.amazon.coral.service#AccessDeniedException', message: 'no' };
      response.writeHead(403, { 'content-type': 'application/x-amz-json-1.0' }).end(JSON.stringify(body));
    });
    t.after(() => server.close());
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    await look(t, queue.url, `http://127.0.0.1:${(server.address() as AddressInfo).port}`);
  });
});
