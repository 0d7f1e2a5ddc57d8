import assert from 'node:assert/strict';
import { randomBytes, randomUUID } from 'node:crypto';
import { env } from 'node:process';
import { after, before, describe, it } from 'node:test';
import { SendMessageCommand } from '@aws-sdk/client-sqs';
import { freePort } from '../../dev/ports.ts';
import { sqsClient } from '../../dev/sqs.ts';
import { createLogger } from '../../src/observability/log.ts';
import { startTracing, type Tracing } from '../../src/observability/start-tracing.ts';
import { createWebhook } from '../../src/store/webhooks/webhooks.ts';
import { createSecretBox, newSecret } from '../../src/webhooks/signing.ts';
import { ses } from '../events/support/ses.ts';
import { shared } from '../support/environment.ts';
import { eventually } from '../support/eventually.ts';
import { createQueue } from '../support/queue.ts';
import { startRelay } from '../support/relay.ts';
import { startFakeSes } from '../support/ses/start.ts';
import { emailIdOf, SmtpClient } from '../support/smtp-client.ts';
import { startWorker } from '../support/worker.ts';
import { startReceiver } from '../webhooks/receiver.ts';
import { found } from '../webhooks/system.ts';
import { type Collector, type ExportedSpan, startCollector } from './support/otlp.ts';

const SERVER = 2;
const CLIENT = 3;
const PRODUCER = 4;
const CONSUMER = 5;

/** What nobody may read in a trace: as words that stand nowhere else. */
const SECRETS = {
  subject: 'secretsubject',
  body: 'secretbody',
  localPart: 'secretlocalpart',
  path: 'secretpath',
} as const;

async function send(queueUrl: string, body: object): Promise<void> {
  const client = sqsClient(shared('sqsEndpoint'));
  await client.send(new SendMessageCommand({ QueueUrl: queueUrl, MessageBody: JSON.stringify(body) }));
  client.destroy();
}

describe('a trace', () => {
  const ending: (() => Promise<void>)[] = [];
  const file = { after: (fn: () => Promise<void>) => void ending.push(fn) };
  let collector: Collector;
  let tracing: Tracing;

  before(async () => {
    collector = await startCollector(file);
    Object.assign(env, {
      OTEL_EXPORTER_OTLP_ENDPOINT: collector.endpoint,
      OTEL_EXPORTER_OTLP_PROTOCOL: 'http/json',
      OTEL_BSP_SCHEDULE_DELAY: '50',
    });
    tracing = await startTracing({ env, role: 'relay', logger: createLogger({ level: 'silent', format: 'json' }) });
  });
  after(async () => {
    await tracing[Symbol.asyncDispose]();
    for (const end of ending.reverse()) await end();
  });

  it('goes from the SMTP transaction over SQS and SES to the event and the webhook', async t => {
    const { tracer } = tracing;
    const events = await createQueue(t);
    const fakeSes = await startFakeSes(t);
    const receiver = await startReceiver(t);
    const key = randomBytes(32).toString('base64');
    const relay = await startRelay(t, { tracer, settings: { pipeline: 'standalone', transport: 'ses' } });
    const worker = await startWorker(t, {
      tracer,
      databaseUrl: relay.databaseUrl,
      queue: relay.queue,
      settings: {
        transport: 'ses',
        'ses.endpoint': fakeSes.endpoint,
        'events.queueUrl': events.url,
        'webhooks.secretKeys': [key],
        'webhooks.allowedNetworks': ['127.0.0.1/32'],
      },
    });
    const webhook = randomUUID();
    await createWebhook(relay.db, {
      id: webhook,
      owner: relay.owner.userId,
      url: `${receiver.url}/${SECRETS.path}?token=${SECRETS.path}`,
      events: ['*'],
      secret: createSecretBox([key]).seal(newSecret(), webhook),
    });

    const client = await SmtpClient.loggedIn(t, relay);
    const to = `${SECRETS.localPart}@example.com`;
    const data = `From: hello@acme.test\r\nTo: ${to}\r\nSubject: ${SECRETS.subject}\r\n\r\n${SECRETS.body}\r\n`;
    const emailId = emailIdOf(await client.transact({ from: 'bounces@acme.test', to: [to], data }, '250 '));
    await eventually(() => receiver.received.length >= 1);
    const messageId = fakeSes.mailbox.messages[0]?.messageId;
    assert.ok(messageId);
    await send(events.url, ses.bounce({ messageId, emailId, destination: [to] }));
    await eventually(() => receiver.received.length >= 2);

    const mine = () => collector.spans.filter(({ attributes }) => attributes['smtp_relay.email_id'] === emailId);
    const root = await found(() => mine().find(({ name }) => name === 'smtp receive'));
    const inTrace = () => collector.spans.filter(({ traceId }) => traceId === root.traceId);
    const find = (name: string | RegExp) => inTrace().filter(span => span.name.match(name));
    await eventually(() => find(/^POST$/).length >= 2 && find(/^settle$/).length === 1);

    const only = (name: string | RegExp): ExportedSpan => {
      const [first, ...others] = find(name);
      assert.ok(first, `no span ${name} in ${inTrace().map(span => span.name)}`);
      assert.equal(others.length, 0, `${name} more than once`);
      return first;
    };
    assert.equal(root.kind, SERVER);
    assert.ok(!root.parentSpanId);
    for (const step of ['data', 'key', 'header', 'parse', 'facts', 'decide', 'row', 'store']) {
      assert.equal(only(new RegExp(`^${step}$`)).parentSpanId, root.spanId);
    }
    const queueName = relay.queue?.url.split('/').at(-1);
    const sent = only(`^send ${queueName}$`);
    const processed = only(`^process ${queueName}$`);
    for (const [span, kind, type] of [
      [sent, PRODUCER, 'send'],
      [processed, CONSUMER, 'process'],
    ] as const) {
      assert.equal(span.kind, kind);
      assert.equal(span.parentSpanId, root.spanId);
      assert.equal(span.attributes['messaging.system'], 'aws_sqs');
      assert.equal(span.attributes['messaging.destination.name'], queueName);
      assert.equal(span.attributes['messaging.operation.type'], type);
    }
    assert.equal(processed.attributes['smtp_relay.standing'], 'sent');
    const call = only(/^send ses$/);
    assert.equal(call.parentSpanId, processed.spanId);
    assert.equal(call.kind, CLIENT);
    assert.equal(call.attributes['rpc.method'], 'SendEmail');
    assert.equal(Number(call.attributes['http.response.status_code']), 200);
    for (const step of ['compose', 'settle']) assert.equal(only(`^${step}$`).parentSpanId, processed.spanId);
    const bounce = only(/^process ses bounced$/);
    assert.equal(bounce.kind, CONSUMER);
    assert.equal(bounce.parentSpanId, root.spanId);
    const posts = find(/^POST$/);
    assert.deepEqual(
      new Set(posts.map(({ attributes }) => attributes['smtp_relay.event'])),
      new Set(['sent', 'bounced']),
    );
    for (const post of posts) {
      assert.equal(post.kind, CLIENT);
      assert.equal(post.attributes['http.request.method'], 'POST');
      assert.equal(Number(post.attributes['http.response.status_code']), 200);
    }
    // Whoever gets the webhook can go on with the trace.
    const continued = receiver.received.map(({ headers }) => headers['traceparent']).sort();
    assert.deepEqual(continued, posts.map(({ spanId }) => `00-${root.traceId}-${spanId}-01`).sort());
    // The log leads to it.
    for (const logs of [relay.logs, worker.logs]) assert.ok(logs.some(line => line['traceId'] === root.traceId));

    // Nothing of the message, of an address or of a key is in any span, name or attribute.
    const exported = collector.bodies.map(({ body }) => String(body)).join('\n');
    for (const word of [
      ...Object.values(SECRETS),
      relay.owner.apiKey,
      relay.owner.apiKey.slice(0, 12),
      key,
      'acme.test',
    ])
      assert.ok(!exported.includes(word), word);
    // Nor of the message and the key in any line of the log; one line a message says what became of it, in each process.
    for (const { logs } of [relay, worker]) {
      const lines = logs.map(line => JSON.stringify(line)).join('\n');
      for (const word of [SECRETS.subject, SECRETS.body, SECRETS.path, relay.owner.apiKey, key])
        assert.ok(!lines.includes(word), word);
      const told = logs.filter(({ level, traceId }) => level === 30 && traceId === root.traceId);
      assert.equal(told.length, 1);
      assert.equal(told[0]?.['emailId'], emailId);
    }
    assert.ok(relay.logs.some(({ session, traceId }) => session && traceId === root.traceId));
  });

  it('is begun by requests of the world, which cannot say where it belongs', async t => {
    const publicPort = await freePort();
    const settings = { publicPort, 'tracking.secrets': ['a secret of the tests'] };
    const worker = await startWorker(t, { tracer: tracing.tracer, settings });
    const traceparent = `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01`;
    await fetch(`http://127.0.0.1:${worker.publicPort}/t/o/${SECRETS.path}`, { headers: { traceparent } });
    const span = await found(() => collector.spans.find(({ attributes }) => attributes['http.route']));
    assert.equal(span.kind, SERVER);
    assert.equal(span.name, `GET ${span.attributes['http.route']}`);
    assert.notEqual(span.traceId, 'a'.repeat(32));
    assert.ok(Number(span.attributes['http.response.status_code']) >= 200);
    assert.ok(!JSON.stringify(collector.spans).includes(SECRETS.path));
  });

  it('goes on where a message is tried again', async t => {
    const { tracer } = tracing;
    const fakeSes = await startFakeSes(t);
    fakeSes.faults.plan({ kind: 'error', status: 500, name: 'InternalFailure' });
    const relay = await startRelay(t, { tracer, queue: false, settings: { pipeline: 'standalone', transport: 'ses' } });
    await startWorker(t, {
      tracer,
      databaseUrl: relay.databaseUrl,
      settings: { transport: 'ses', 'ses.endpoint': fakeSes.endpoint, 'retries.firstPause': 100 },
    });
    const client = await SmtpClient.loggedIn(t, relay);
    const data = 'From: hello@acme.test\r\nTo: a@example.com\r\nSubject: Hi\r\n\r\nHi\r\n';
    const to = ['a@example.com'];
    const emailId = emailIdOf(await client.transact({ from: 'bounces@acme.test', to, data }, '250 '));
    const tries = () =>
      collector.spans.filter(
        ({ name, attributes }) => name === 'process outbox' && attributes['smtp_relay.email_id'] === emailId,
      );
    await eventually(() => tries().length === 2);
    assert.equal(new Set(tries().map(({ traceId }) => traceId)).size, 1);
    assert.equal(new Set(tries().map(({ parentSpanId }) => parentSpanId)).size, 1);
    assert.deepEqual(
      tries()
        .map(({ attributes }) => attributes['smtp_relay.standing'])
        .sort(),
      ['retry', 'sent'],
    );
  });
});
