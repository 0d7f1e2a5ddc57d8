import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type IncomingHttpHeaders } from 'node:http';
import { type AddressInfo, createServer as createTcpServer } from 'node:net';
import { env } from 'node:process';
import { buffer } from 'node:stream/consumers';
import { describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { createSqsCaller, SqsCallError, type SqsCallerOptions } from '../../src/queue/sqs/call.ts';
import { SignatureVerifier } from '../support/ses/sigv4.ts';

interface TestContext {
  after(fn: () => void): void;
}

interface Answer {
  readonly status: number;
  readonly body: string;
  readonly headers?: Readonly<Record<string, string>>;
}

interface Request {
  readonly url: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: Record<string, unknown>;
}

const SECRETS = { key: 'secret', renewed: 'other secret' };
const OK: Answer = { status: 200, body: '{"Successful":[]}' };
const refused = (type: string, status = 400, headers = {}): Answer => {
  return { status, headers, body: JSON.stringify({ __type: type, message: 'no' }) };
};

/** An SQS that takes no request whose signature is not right, at its own time, and then answers what it is told to. */
async function startSqs(t: TestContext, answers: readonly Answer[] = [OK], clockOffset = 0) {
  const now = () => Date.now() + clockOffset;
  const verifier = new SignatureVerifier(SECRETS, now);
  const requests: Request[] = [];
  const left = [...answers];
  const server = createServer(async (request, response) => {
    const { method = '', url = '', headers } = request;
    const body = await buffer(request);
    requests.push({ url, headers, body: JSON.parse(body.toString()) });
    const caller = verifier.verify({ method, url, headers, body });
    const answer = 'name' in caller ? refused(`com.amazon.coral.service#${caller.name}`) : (left.shift() ?? OK);
    const date = { date: new Date(now()).toUTCString() };
    response.writeHead(answer.status, { ...date, ...answer.headers }).end(answer.body);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => server.close());
  return { requests, server, endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}` };
}

type Credentials = NonNullable<SqsCallerOptions['credentials']>;

const KEY: Credentials = { accessKeyId: 'key', secretAccessKey: 'secret' };

/** @param credentials null for those of the SDK's chain */
function open(t: TestContext, endpoint: string, credentials: Credentials | null = KEY, attempts = 1) {
  const times = { connections: 2, requestTimeout: 5_000, attempts };
  const queueUrl = 'https://sqs.eu-west-1.amazonaws.com/1/jobs';
  const { call, close } = createSqsCaller({
    region: 'eu-west-1',
    endpoint,
    queueUrl,
    ...(credentials && { credentials }),
    ...times,
  });
  t.after(close);
  return (operation = 'SendMessageBatch', input: object = {}) => call(operation, input);
}

describe('a call of SQS', () => {
  it('is signed so that SQS takes it, whatever is in it', async t => {
    const { requests, endpoint } = await startSqs(t);
    const input = { QueueUrl: 'x', Entries: [{ MessageBody: 'Zoë "quoted"\n☃' }] };
    assert.deepEqual(await open(t, endpoint)('SendMessageBatch', input), { Successful: [] });
    assert.deepEqual(requests[0]?.body, input);
    assert.equal(requests[0]?.headers['x-amz-target'], 'AmazonSQS.SendMessageBatch');
    assert.equal(requests[0]?.headers['content-type'], 'application/x-amz-json-1.0');
  });

  it('is signed with the token of a session, and below a path that is written in an endpoint', async t => {
    const { requests, endpoint } = await startSqs(t);
    const credentials = { accessKeyId: 'key', secretAccessKey: 'secret', sessionToken: 'a+token/of==' };
    await open(t, `${endpoint}/behind%20a/proxy~(1)/`, credentials)();
    assert.equal(requests[0]?.url, '/behind%20a/proxy~(1)/');
    assert.equal(requests[0]?.headers['x-amz-security-token'], 'a+token/of==');
  });

  it('finds credentials by the chain of the SDK, and says so where there are none', async t => {
    const { endpoint } = await startSqs(t);
    const before = { ...env };
    t.after(() => Object.assign(env, before));
    Object.assign(env, { AWS_ACCESS_KEY_ID: 'renewed', AWS_SECRET_ACCESS_KEY: 'other secret' });
    assert.deepEqual(await open(t, endpoint, null)(), { Successful: [] });

    const none = async () => {
      throw Object.assign(new Error('none'), { name: 'CredentialsProviderError' });
    };
    await assert.rejects(open(t, endpoint, none)(), { name: 'CredentialsProviderError' });
  });

  for (const minutes of [-7, 7]) {
    it(`goes through though SQS is ${minutes} minutes from this machine's clock, and the next one at once`, async t => {
      const { requests, endpoint } = await startSqs(t, [OK, OK], minutes * 60_000);
      const call = open(t, endpoint);
      await call();
      assert.equal(requests.length, 2);
      await call();
      assert.equal(requests.length, 3);
    });
  }

  it('asks for other credentials once where SQS says that they have expired, and no more', async t => {
    const type = 'com.amazon.coral.service#ExpiredTokenException';
    const { requests, endpoint } = await startSqs(t, [refused(type, 403), OK, refused(type, 403), refused(type, 403)]);
    let asked = 0;
    const credentials = async () => {
      asked += 1;
      return asked > 1
        ? { accessKeyId: 'renewed', secretAccessKey: 'other secret' }
        : { accessKeyId: 'key', secretAccessKey: 'secret' };
    };
    const call = open(t, endpoint, credentials);
    await call();
    assert.equal(asked, 2);
    assert.match(String(requests[1]?.headers.authorization), /Credential=renewed\//);
    await assert.rejects(call(), { name: 'ExpiredTokenException', status: 403 });
    assert.equal(requests.length, 4);
  });

  const errors: readonly (readonly [name: string, answer: Answer])[] = [
    ['QueueDoesNotExist', refused('com.amazonaws.sqs#QueueDoesNotExist')],
    ['QueueDoesNotExist', refused('QueueDoesNotExist')],
    ['QueueDoesNotExist', refused('AWS.SimpleQueueService.NonExistentQueue')],
    ['QueueDoesNotExist', refused('com.amazonaws.sqs#AWS.SimpleQueueService.NonExistentQueue:http://internal/')],
    [
      'QueueDoesNotExist',
      { ...OK, status: 400, headers: { 'x-amzn-query-error': 'AWS.SimpleQueueService.NonExistentQueue;Sender' } },
    ],
    ['AccessDeniedException', refused('com.amazon.coral.service#AccessDeniedException', 403)],
    [
      'ThrottlingException',
      { status: 400, body: '', headers: { 'x-amzn-errortype': 'ThrottlingException:http://x/' } },
    ],
    ['BatchRequestTooLong', refused('com.amazonaws.sqs#BatchRequestTooLong')],
    ['InternalFailure', { status: 500, body: '{"code":"InternalFailure","Message":"sorry"}' }],
    ['Http413', { status: 413, body: '<html>Request Entity Too Large</html>' }],
    ['Http502', { status: 502, body: '"bad gateway"' }],
    ['Http302', { status: 302, body: '', headers: { location: 'http://elsewhere.invalid/' } }],
  ];
  for (const [name, answer] of errors) {
    it(`fails as ${name} where SQS answers ${answer.status} ${answer.body.slice(0, 60)}`, async t => {
      const { requests, endpoint } = await startSqs(t, [answer]);
      await assert.rejects(open(t, endpoint)(), error => {
        assert.ok(error instanceof SqsCallError);
        assert.deepEqual([error.name, error.status], [name, answer.status]);
        return true;
      });
      assert.equal(requests.length, 1);
    });
  }

  it('is tried as often as it may be where SQS has a fault of its own, and no more', async t => {
    const fault: Answer = { status: 503, body: '{"__type":"ServiceUnavailable"}' };
    const { requests, endpoint } = await startSqs(t, [fault, OK, fault, fault, OK]);
    const call = open(t, endpoint, KEY, 2);
    await call();
    assert.equal(requests.length, 2);
    await assert.rejects(call(), { name: 'ServiceUnavailable', status: 503 });
    assert.equal(requests.length, 4);
  });

  it('goes on by another connection where SQS has closed that which was idle', async t => {
    const { requests, server, endpoint } = await startSqs(t);
    const call = open(t, endpoint);
    for (let round = 1; round <= 3; round += 1) {
      await call();
      assert.equal(requests.length, round);
      server.closeIdleConnections();
      if (round === 2) await sleep(200);
    }
  });

  it('gives up where one connection after the other breaks', async t => {
    let connections = 0;
    const server = createTcpServer(socket => {
      connections += 1;
      socket.on('error', () => {});
      socket.once('data', () => socket.resetAndDestroy());
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    t.after(() => server.close());
    await assert.rejects(open(t, `http://127.0.0.1:${(server.address() as AddressInfo).port}`)(), {
      code: 'ECONNRESET',
    });
    assert.equal(connections, 2);
  });
});
