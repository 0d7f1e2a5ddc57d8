import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { describe, it } from 'node:test';
import type { EventIntake } from '../../src/events/intake.ts';
import { createEventsMetrics } from '../../src/events/metrics.ts';
import { createSnsReceiver } from '../../src/events/sns/receiver.ts';
import { createRegistry } from '../../src/observability/metrics.ts';
import { ses } from './support/ses.ts';
import { CERT_URL, confirmation, makeSigner, SUBSCRIBE_URL, TOPIC } from './support/sns.ts';
import { SILENT, startEventSystem } from './support/system.ts';

const signer = await makeSigner();
const stranger = await makeSigner();
const HOUR = 3_600_000;
const MINUTE = 60_000;

interface Setting {
  readonly topics?: readonly string[];
  /** What is behind URLs; anything else cannot be reached. */
  readonly web?: Readonly<Record<string, () => Response>>;
  readonly intake?: EventIntake;
  readonly fetch?: typeof globalThis.fetch;
}

function open(setting: Setting = {}) {
  const fetched: string[] = [];
  const recorded: string[] = [];
  const clock = { now: new Date() };
  const web = setting.web ?? {
    [CERT_URL]: () => new Response(signer.certificate),
    [SUBSCRIBE_URL]: () => new Response('<ConfirmSubscriptionResponse/>'),
  };
  const registry = createRegistry();
  const receiver = createSnsReceiver({
    topics: () => setting.topics ?? [TOPIC],
    metrics: createEventsMetrics(registry),
    logger: SILENT,
    now: () => clock.now,
    intake: setting.intake ?? {
      record: async ([text = '']) => {
        recorded.push(text);
        return [text !== 'garbage'];
      },
    },
    fetch:
      setting.fetch ??
      (async (url, init) => {
        fetched.push(String(url));
        assert.equal(init?.redirect, 'error');
        assert.ok(init?.signal, 'it is bounded in time');
        return web[String(url)]?.() ?? Promise.reject(new TypeError('fetch failed'));
      }),
  });
  return { receive: receiver.receive, fetched, recorded, clock, registry };
}

describe('SNS receiver', () => {
  for (const version of ['1', '2'] as const) {
    it(`takes what is signed with version ${version}`, async () => {
      const { receive, recorded } = open();
      assert.deepEqual(await receive(signer.sign({ Message: '{"a":"b\\nc"}' }, version)), {
        status: 200,
        reason: 'taken',
      });
      assert.deepEqual(recorded, ['{"a":"b\\nc"}']);
    });
  }

  it('takes bytes as well as text, and messages without a subject', async () => {
    const { receive } = open();
    assert.equal((await receive(Buffer.from(signer.sign({ Subject: undefined, Message: 'é' })))).status, 200);
  });

  it('fetches the certificate once an hour, also when many ask at once', async () => {
    const { receive, fetched, clock } = open();
    await Promise.all(Array.from({ length: 5 }, () => receive(signer.sign())));
    await receive(signer.sign());
    assert.deepEqual(fetched, [CERT_URL]);
    clock.now = new Date(Date.now() + 2 * HOUR);
    assert.equal((await receive(signer.sign())).status, 200);
    assert.equal(fetched.length, 2);
  });

  for (const [name, change] of [
    ['another message', { Message: '{"eventType":"Complaint"}' }],
    ['another subject', { Subject: 'Hello' }],
    ['another time', { Timestamp: '2026-01-02T03:04:05.679Z' }],
    ['another id', { MessageId: '22b80b92-fdea-4c2c-8f9d-bdfb0c7bf325' }],
    ['another signature', { Signature: 'EXAMPLE' }],
    ['the version that it is not signed with', { SignatureVersion: '2' }],
    ['a version that does not exist', { SignatureVersion: '3' }],
  ] as const) {
    it(`refuses a message with ${name} than was signed`, async () => {
      const { receive, recorded } = open();
      const body = JSON.stringify({ ...JSON.parse(signer.sign()), ...change });
      assert.deepEqual(await receive(body), { status: 403, reason: 'signature' });
      assert.deepEqual(recorded, []);
    });
  }

  it('refuses what somebody else signed', async () => {
    const { receive, recorded, registry } = open();
    assert.equal((await receive(stranger.sign())).reason, 'signature');
    assert.deepEqual(recorded, []);
    assert.match(await registry.metrics(), /smtp_relay_sns_refusals_total\{reason="signature"\} 1/);
  });

  for (const url of [
    'https://sns.us-east-1.amazonaws.com.evil.test/SimpleNotificationService-0f.pem',
    'https://evil.test/SimpleNotificationService-0f.pem',
    'https://evil.test/sns.us-east-1.amazonaws.com/SimpleNotificationService-0f.pem',
    'https://evil.test#sns.us-east-1.amazonaws.com/SimpleNotificationService-0f.pem',
    'https://sns.us-east-1.amazonaws.com@evil.test/SimpleNotificationService-0f.pem',
    'https://user@sns.us-east-1.amazonaws.com/SimpleNotificationService-0f.pem',
    'https://sns.us-east-1.amazonaws.com:8443/SimpleNotificationService-0f.pem',
    'https://sns.a.b.amazonaws.com/SimpleNotificationService-0f.pem',
    'https://snsXus-east-1.amazonaws.com/SimpleNotificationService-0f.pem',
    'https://bucket.s3.amazonaws.com/SimpleNotificationService-0f.pem',
    'http://sns.us-east-1.amazonaws.com/SimpleNotificationService-0f.pem',
    'https://sns.us-east-1.amazonaws.com/x.pem',
    'https://sns.us-east-1.amazonaws.com/SimpleNotificationService-0f.txt',
    'https://sns.us-east-1.amazonaws.com/SimpleNotificationService-xyz.pem',
    'https://sns.us-east-1.amazonaws.com/SimpleNotificationService-.pem',
    'https://sns.us-east-1.amazonaws.com/a/SimpleNotificationService-0f.pem',
    'https://sns.us-east-1.amazonaws.com/SimpleNotificationService-0f.pem#x',
    'https://sns.eusc-de-east-1.amazonaws.eu.evil.test/SimpleNotificationService-0f.pem',
    'https://sns.us-east-1.amazonaws.eu.cn/SimpleNotificationService-0f.pem',
    'https://sns.us-east-1.amazonaws.com/?x.pem',
    'https://sns.us-east-1.amazonaws.com/SimpleNotificationService-0f.pem?Action=Publish',
    'file:///x.pem',
    'x.pem',
  ]) {
    it(`does not fetch a certificate from ${url}`, async () => {
      const { receive, fetched } = open({ web: { [url]: () => new Response(stranger.certificate) } });
      const body = JSON.stringify({ ...JSON.parse(stranger.sign()), SigningCertURL: url });
      assert.deepEqual(await receive(body), { status: 403, reason: 'signature' });
      assert.deepEqual(fetched, []);
    });
  }

  for (const [partition, host] of [
    ['China', 'sns.cn-north-1.amazonaws.com.cn'],
    ['the European Sovereign Cloud', 'sns.eusc-de-east-1.amazonaws.eu'],
  ] as const) {
    it(`knows the hosts of SNS in ${partition}`, async () => {
      const url = `https://${host}/SimpleNotificationService-0.pem`;
      const { receive } = open({ web: { [url]: () => new Response(signer.certificate) } });
      assert.equal((await receive(JSON.stringify({ ...JSON.parse(signer.sign()), SigningCertURL: url }))).status, 200);
    });
  }

  it('fetches nothing for a topic that is not allowed', async () => {
    for (const topics of [[], [`${TOPIC}2`]]) {
      const { receive, fetched } = open({ topics });
      assert.deepEqual(await receive(signer.sign()), { status: 403, reason: 'topic' });
      assert.deepEqual(await receive(signer.sign(confirmation())), { status: 403, reason: 'topic' });
      assert.deepEqual(fetched, []);
    }
  });

  for (const [name, validity] of [
    ['has expired', { notBefore: new Date(Date.now() - 2 * HOUR), notAfter: new Date(Date.now() - HOUR) }],
    ['is not valid yet', { notBefore: new Date(Date.now() + HOUR), notAfter: new Date(Date.now() + 2 * HOUR) }],
  ] as const) {
    it(`refuses a certificate that ${name}`, async () => {
      const signer = await makeSigner(validity);
      const { receive } = open({ web: { [CERT_URL]: () => new Response(signer.certificate) } });
      assert.deepEqual(await receive(signer.sign()), { status: 403, reason: 'signature' });
    });
  }

  it('checks the validity of a cached certificate too', async () => {
    const signer = await makeSigner({ notAfter: new Date(Date.now() + HOUR / 4) });
    const { receive, clock } = open({ web: { [CERT_URL]: () => new Response(signer.certificate) } });
    assert.equal((await receive(signer.sign())).status, 200);
    clock.now = new Date(Date.now() + HOUR / 2);
    assert.equal((await receive(signer.sign())).status, 403);
  });

  for (const [name, response, status] of [
    ['is missing', () => new Response('', { status: 404 }), 403],
    ['is none', () => new Response('hello'), 403],
    ['cannot be had just now', () => new Response('', { status: 503 }), 503],
    ['has no end', () => new Response('x'.repeat(100_000)), 503],
  ] as const) {
    it(`answers ${status} where the certificate ${name}, and asks again later, not for each request`, async () => {
      const { receive, fetched, clock } = open({ web: { [CERT_URL]: response } });
      for (let count = 0; count < 100; count += 1) assert.equal((await receive(signer.sign())).status, status);
      assert.equal(fetched.length, 1);
      clock.now = new Date(clock.now.getTime() + MINUTE + 1);
      await receive(signer.sign());
      assert.equal(fetched.length, 2);
    });
  }

  it('follows no redirect', async t => {
    const server = createServer((request, response) => {
      if (request.url === '/moved') response.writeHead(302, { location: '/here' }).end();
      else response.end(signer.certificate);
    });
    await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
    t.after(() => new Promise(resolve => server.close(resolve)));
    const { port } = server.address() as AddressInfo;
    const through = (path: string): typeof globalThis.fetch => {
      return (_, init) => fetch(`http://127.0.0.1:${port}${path}`, init);
    };
    assert.equal((await open({ fetch: through('/here') }).receive(signer.sign())).status, 200);
    assert.equal((await open({ fetch: through('/moved') }).receive(signer.sign())).status, 503);
  });

  /** A message of the topic that names another certificate than there is. */
  const forged = (index: number, region = 'us-east-1') => {
    const SigningCertURL = `https://sns.${region}.amazonaws.com/SimpleNotificationService-${index.toString(16)}.pem`;
    return JSON.stringify({ ...JSON.parse(signer.sign()), SigningCertURL });
  };
  /** A web that has the certificate, and leaves whatever else is asked for without an answer until it is told to give one. */
  function hangingWeb() {
    const web = { calls: 0, running: 0, most: 0, answer: Promise.withResolvers<void>() };
    const fetch: typeof globalThis.fetch = async url => {
      if (String(url) === CERT_URL) return new Response(signer.certificate);
      web.calls += 1;
      web.running += 1;
      web.most = Math.max(web.most, web.running);
      await web.answer.promise;
      web.running -= 1;
      return new Response('', { status: 403 });
    };
    return { web, fetch };
  }

  it('lets nobody make it fetch without bound', async () => {
    const { web, fetch } = hangingWeb();
    const { receive } = open({ fetch });
    const answers = Array.from({ length: 1_000 }, (_, index) => receive(forged(index)));
    await new Promise(setImmediate);
    assert.equal(web.calls, 8);
    web.answer.resolve();
    const statuses = (await Promise.all(answers)).map(({ status }) => status);
    assert.equal(web.most, 8);
    assert.ok(statuses.includes(503) && web.calls < 300, `${web.calls} calls`);
  });

  it('takes what is signed well while forged requests hold all fetches, once it has had the certificate', async () => {
    const { web, fetch } = hangingWeb();
    const { receive, clock } = open({ fetch });
    assert.equal((await receive(signer.sign())).status, 200);
    clock.now = new Date(Date.now() + 2 * HOUR);
    const answers = Array.from({ length: 20 }, (_, index) => receive(forged(index)));
    assert.equal((await receive(signer.sign())).status, 200);
    web.answer.resolve();
    await Promise.all(answers);
  });

  it('fetches a certificate that it does not know yet while forged requests hold the fetches', async () => {
    const { web, fetch } = hangingWeb();
    const { receive } = open({ fetch });
    const elsewhere = Array.from({ length: 50 }, (_, index) => receive(forged(index, `xx-east-${index}`)));
    assert.equal((await receive(signer.sign())).status, 200);
    const here = Array.from({ length: 50 }, (_, index) => receive(forged(index)));
    web.answer.resolve();
    assert.ok((await Promise.all([...elsewhere, ...here])).every(({ status }) => status === 403));
  });

  it('goes on with a certificate that cannot be fetched again, for a day', async () => {
    let up = true;
    let calls = 0;
    const fetch: typeof globalThis.fetch = async () => {
      calls += 1;
      return up ? new Response(lasting.certificate) : new Response('', { status: 503 });
    };
    const lasting = await makeSigner({ notAfter: new Date(Date.now() + 100 * HOUR) });
    const { receive, clock } = open({ fetch });
    const start = clock.now.getTime();
    assert.equal((await receive(lasting.sign())).status, 200);
    up = false;
    for (const [hours, status] of [
      [2, 200],
      [23, 200],
      [25, 503],
    ] as const) {
      clock.now = new Date(start + hours * HOUR);
      for (let count = 0; count < 10; count += 1)
        assert.equal((await receive(lasting.sign())).status, status, `${hours} h`);
    }
    assert.equal(calls, 4);
    up = true;
    clock.now = new Date(start + 26 * HOUR);
    assert.equal((await receive(lasting.sign())).status, 200);
  });

  it('confirms a subscription to an allowed topic, after verifying it', async () => {
    const { receive, fetched } = open();
    const forged = { ...JSON.parse(signer.sign(confirmation())), Token: 'another' };
    assert.equal((await receive(JSON.stringify(forged))).status, 403);
    assert.deepEqual(fetched, [CERT_URL]);
    assert.deepEqual(await receive(signer.sign(confirmation(), '2')), { status: 200, reason: 'confirmed' });
    assert.deepEqual(fetched, [CERT_URL, SUBSCRIBE_URL]);
  });

  it('calls nobody but SNS to confirm, whoever signed it', async () => {
    const { receive, fetched } = open();
    const body = signer.sign(confirmation({ SubscribeURL: 'https://169.254.169.254/latest/meta-data' }));
    assert.equal((await receive(body)).status, 400);
    assert.deepEqual(fetched, [CERT_URL]);
  });

  it('lets SNS try again where the confirmation fails', async () => {
    const web = {
      [CERT_URL]: () => new Response(signer.certificate),
      [SUBSCRIBE_URL]: () => new Response('', { status: 500 }),
    };
    assert.equal((await open({ web }).receive(signer.sign(confirmation()))).status, 503);
  });

  it('takes note of the end of a subscription, and does not subscribe again', async () => {
    const { receive, fetched } = open();
    const body = signer.sign(confirmation({ Type: 'UnsubscribeConfirmation' }));
    assert.deepEqual(await receive(body), { status: 200, reason: 'unsubscribed' });
    assert.deepEqual(fetched, [CERT_URL]);
  });

  for (const [name, body] of [
    ['nothing', ''],
    ['no JSON', 'hello'],
    ['null', 'null'],
    ['a list', '[]'],
    ['a record without its envelope', JSON.stringify(ses.send())],
    ['another type', signer.sign({ Type: 'Other' })],
    ['no signature', JSON.stringify({ ...JSON.parse(signer.sign()), Signature: undefined })],
    ['a message that is no text', JSON.stringify({ ...JSON.parse(signer.sign()), Message: {} })],
    ['a confirmation without its URL', signer.sign(confirmation({ SubscribeURL: undefined }))],
    ['more than SNS sends', signer.sign({ Message: 'x'.repeat(1_100_000) })],
  ] as const) {
    it(`answers 400 to ${name}`, async () => {
      const { receive, fetched } = open();
      const headers = { 'x-amz-sns-rawdelivery': 'true' };
      assert.deepEqual(await receive(body, headers), { status: 400, reason: 'malformed' });
      assert.deepEqual(fetched, []);
    });
  }

  it('answers 400 to a signed message that cannot be read, and 503 where it cannot be recorded', async () => {
    assert.equal((await open().receive(signer.sign({ Message: 'garbage' }))).status, 400);
    const intake = { record: () => Promise.reject(new Error('the database is away')) };
    assert.deepEqual(await open({ intake }).receive(signer.sign()), { status: 503, reason: 'unavailable' });
  });

  it('writes a bounce into the database, once, though SNS sends it twice', async t => {
    const system = await startEventSystem(t);
    const emailId = await system.addEmail();
    const { receive } = open({ intake: system.intake });
    const body = signer.sign({ Message: JSON.stringify(ses.bounce({ emailId })) }, '2');
    for (let time = 0; time < 2; time += 1) assert.equal((await receive(body)).status, 200);
    assert.equal(await system.statusOf(emailId), 'bounced');
    assert.equal((await system.rows('select from email_events')).length, 1);
  });
});
