import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { createServer } from 'node:net';
import { env } from 'node:process';
import { after, beforeEach, describe, it, type TestContext } from 'node:test';
import { getCACertificates, setDefaultCACertificates } from 'node:tls';
import type { Outcome, OutgoingMessage, SendingDomain } from '../../src/delivery/transport/contract.ts';
import { createSesMetrics } from '../../src/delivery/transport/ses/metrics.ts';
import type { SesTransport } from '../../src/delivery/transport/ses/transport.ts';
import { EMAIL_ID_TAG } from '../../src/events/ses/notification.ts';
import { createRegistry } from '../../src/observability/metrics.ts';
import { eventually } from '../support/eventually.ts';
import type { ReceivedMessage } from '../support/ses/mailbox.ts';
import { SesError } from '../support/ses/ses-error.ts';
import { startFakeSes } from '../support/ses/start.ts';
import { ASSUMED } from '../support/ses/sts.ts';
import { openSesTransport, outgoing } from '../support/ses/transport.ts';
import { makeCertificate } from '../support/tls.ts';

const ses = await startFakeSes({ after }, { configurationSets: { strict: 'REQUIRE', lax: 'OPTIONAL' } });
const transport = openSesTransport({ after }, ses.endpoint);
const NEVER = new AbortController().signal;
const ACME: SendingDomain = { name: 'acme.test', region: 'ap-southeast-2', configurationSet: 'lax', tls: null };

beforeEach(() => {
  ses.faults.clear();
  ses.mailbox.clear();
});

async function send(message: Partial<OutgoingMessage> = {}, by: SesTransport = transport): Promise<Outcome> {
  const outcomes = await by.send(outgoing(message), NEVER);
  assert.equal(outcomes.length, 1);
  return outcomes[0]?.outcome as Outcome;
}

function onlyMessage(): ReceivedMessage {
  assert.equal(ses.mailbox.messages.length, 1);
  return ses.mailbox.messages[0] as ReceivedMessage;
}

/** Kind and code; for outcomes that are not `sent`. */
function brief(outcome: Outcome): readonly [string, string | undefined] {
  return [outcome.kind, outcome.kind === 'sent' ? undefined : outcome.code];
}

describe('a message', () => {
  it('arrives byte for byte, for the envelope recipients, with its id as a tag', async () => {
    const raw = Buffer.concat([outgoing().raw as Buffer, Buffer.from([0, 0xff, 0x0d, 0x0a, 0x80])]);
    const recipients = ['bob@example.com', 'not-in-the-header@example.org'];
    const outcome = await send({ raw, recipients });
    const received = onlyMessage();
    assert.deepEqual(outcome, { kind: 'sent', providerMessageId: received.messageId });
    assert.ok(received.raw.equals(raw));
    assert.deepEqual(received.recipients, recipients);
    assert.deepEqual(received.tags, { [EMAIL_ID_TAG]: outgoing().emailId });
    assert.equal(received.fromEmailAddress, null);
  });

  for (const size of [256 * 1024, 256 * 1024 + 1, 3 * 1024 * 1024 + 1, 3 * 1024 * 1024 + 2]) {
    it(`of ${size} bytes arrives byte for byte`, async () => {
      const raw = Buffer.alloc(size, 'From: a@acme.test\r\n\r\n0123456789\r\n');
      assert.equal((await send({ raw })).kind, 'sent');
      const hashes = [raw, onlyMessage().raw].map(bytes => createHash('sha256').update(bytes).digest('hex'));
      assert.equal(hashes[1], hashes[0]);
    });
  }

  it('goes through the region and the configuration set of its domain', async () => {
    await send({ domain: ACME });
    const { region, configurationSet } = onlyMessage();
    assert.deepEqual([region, configurationSet], ['ap-southeast-2', 'lax']);
  });

  it('without a domain goes through the configured ones', async t => {
    const configured = openSesTransport(t, ses.endpoint, { configurationSet: 'strict' });
    await send({}, configured);
    const { region, configurationSet } = onlyMessage();
    assert.deepEqual([region, configurationSet], ['eu-west-1', 'strict']);
  });

  it('carries its tags, the first of each name, at most fifty, and never another id', async () => {
    const tags = [
      { name: 'campaign', value: 'may' },
      { name: 'campaign', value: 'june' },
      { name: EMAIL_ID_TAG, value: 'forged' },
      { name: 'not allowed', value: 'x' },
      ...Array.from({ length: 60 }, (_, index) => ({ name: `n${index}`, value: 'v' })),
    ];
    assert.equal((await send({ tags })).kind, 'sent');
    const received = onlyMessage().tags;
    assert.equal(Object.keys(received).length, 50);
    assert.equal(received['campaign'], 'may');
    assert.equal(received[EMAIL_ID_TAG], outgoing().emailId);
  });

  it('has notices sent to its reverse-path where the domain covers that', async () => {
    for (const reversePath of ['bounce+1@mail.acme.test', 'bounce@other.test', '', 'hello@acme.test']) {
      await send({ reversePath, domain: ACME });
    }
    const addresses = ses.mailbox.messages.map(({ feedbackAddress }) => feedbackAddress);
    assert.deepEqual(addresses, ['bounce+1@mail.acme.test', null, null, null]);
  });

  it('is signed with the credentials of the role to assume', async t => {
    const assuming = openSesTransport(t, ses.endpoint, { roleArn: 'arn:aws:iam::123456789012:role/sender' });
    await send({}, assuming);
    await send({}, assuming);
    assert.deepEqual(
      ses.mailbox.messages.map(({ accessKeyId }) => accessKeyId),
      [ASSUMED.accessKeyId, ASSUMED.accessKeyId],
    );
  });

  for (const clockOffset of [-360_000, 360_000]) {
    it(`goes out though this machine's clock is ${clockOffset / 60_000} minutes from that of SES, also beside others`, async t => {
      const server = await startFakeSes(t, { clockOffset });
      const by = openSesTransport(t, server.endpoint, { sendRate: 100_000 });
      const raw = Buffer.concat([outgoing().raw as Buffer, Buffer.alloc(300_000, 'Hello, Bob.\r\n')]);
      const sent = await Promise.all([send({}, by), send({}, by), send({ raw }, by)]);
      assert.deepEqual(
        sent.map(({ kind }) => kind),
        ['sent', 'sent', 'sent'],
      );
      assert.equal((await send({}, by)).kind, 'sent');
      assert.equal(server.mailbox.count, 4);
      assert.ok((server.calls['SendEmail'] ?? 0) <= 7, 'what is learnt is kept');
    });
  }

  it('is tried once where SES refuses it whatever its time', async () => {
    ses.faults.plan({ kind: 'error', status: 403, name: 'SignatureDoesNotMatch', message: 'No.', times: 2 });
    const before = ses.calls['SendEmail'] ?? 0;
    assert.equal((await send()).kind, 'transient');
    assert.equal(ses.calls['SendEmail'], before + 1);
    ses.faults.clear();
  });

  it('is not held back by one bad address among fifty', async () => {
    const recipients = Array.from({ length: 50 }, (_, index) => `user${index}@example.com`);
    const bad = 'user23@example.com';
    const account = ses.account;
    const admit = account.admit.bind(account);
    account.admit = request => {
      if (request.Destination?.ToAddresses?.includes(bad)) {
        throw new SesError(400, 'BadRequestException', 'Illegal address');
      }
      admit(request);
    };
    const outcomes = await transport.send(outgoing({ recipients }), NEVER);
    account.admit = admit;
    const failed = outcomes.filter(({ outcome }) => outcome.kind !== 'sent');
    assert.deepEqual(
      failed.map(({ recipients: about, outcome }) => [about, outcome.kind]),
      [[[bad], 'permanent']],
    );
    assert.deepEqual(
      outcomes.flatMap(outcome => outcome.recipients),
      recipients,
    );
    assert.deepEqual(ses.mailbox.messages.flatMap(message => message.recipients).length, 49);
  });
});

describe('a call for fifty that SES refuses', () => {
  const recipients = Array.from({ length: 50 }, (_, index) => `user${index}@example.com`);

  /** Refuses calls for as long as the test lasts. */
  function refuse(t: TestContext, text: (addresses: readonly string[]) => string | null): void {
    const { account } = ses;
    const admit = account.admit.bind(account);
    t.after(() => Object.assign(account, { admit }));
    account.admit = request => {
      const message = text(request.Destination?.ToAddresses ?? []);
      if (message !== null) throw new SesError(400, 'BadRequestException', message);
      admit(request);
    };
  }

  it('for what it says of the sender is soon given up', async t => {
    refuse(t, () => 'Domain of the sender is not allowed');
    const before = ses.calls['SendEmail'] ?? 0;
    const outcomes = await transport.send(outgoing({ recipients }), NEVER);
    assert.deepEqual(
      outcomes.flatMap(outcome => outcome.recipients),
      recipients,
    );
    assert.ok(outcomes.every(({ outcome }) => outcome.kind === 'permanent'));
    assert.ok((ses.calls['SendEmail'] ?? 0) - before <= 5);
  });

  for (const bad of [
    ['user3@example.com', 'user40@example.com'],
    ['user0@example.com', 'user1@example.com', 'user49@example.com'],
    ['user24@example.com', 'user25@example.com'],
  ]) {
    it(`for ${bad.join(' and ')} is taken for all others`, async t => {
      refuse(t, addresses => (addresses.some(address => bad.includes(address)) ? 'Illegal address' : null));
      const outcomes = await transport.send(outgoing({ recipients }), NEVER);
      assert.deepEqual(outcomes.flatMap(outcome => outcome.recipients).toSorted(), recipients.toSorted());
      const failed = outcomes.filter(({ outcome }) => outcome.kind !== 'sent').flatMap(outcome => outcome.recipients);
      assert.deepEqual(failed.toSorted(), bad);
    });
  }

  it('waits for the send rate with each part', async t => {
    refuse(t, addresses => (addresses.includes('user5@example.com') ? 'Illegal address' : null));
    const rate = 100;
    const slow = openSesTransport(t, ses.endpoint, { sendRate: rate });
    const began = performance.now();
    await slow.admit(50, NEVER, { domain: null });
    await slow.send(outgoing({ recipients }), NEVER);
    // 50 in the call and in its halves, and then 25, 13, 7, 4 and 2 of them; one second's worth is there at the start.
    const recipientsCalled = 50 + 50 + 25 + 13 + 7 + 4;
    assert.ok(performance.now() - began > ((recipientsCalled - rate) / rate) * 1_000 * 0.8);
  });

  it('tries no part any more when the worker stops', async t => {
    refuse(t, () => 'Illegal address');
    const outcomes = await transport.send(outgoing({ recipients }), AbortSignal.abort());
    assert.ok(outcomes.every(({ outcome }) => outcome.kind !== 'sent'));
  });
});

describe('a domain that demands TLS', () => {
  const tls = 'enforced';

  it('is sent for where its configuration set enforces it', async () => {
    assert.equal((await send({ domain: { ...ACME, configurationSet: 'strict', tls } })).kind, 'sent');
  });

  it('is not sent for otherwise, and the error says why', async () => {
    const outcome = await send({ domain: { ...ACME, tls } });
    assert.deepEqual(brief(outcome), ['transient', 'TlsNotEnforced']);
    assert.match(outcome.kind === 'sent' ? '' : outcome.message, /"lax".*REQUIRE/);
    assert.deepEqual(brief(await send({ domain: { ...ACME, configurationSet: null, tls } })), [
      'transient',
      'TlsNotEnforced',
    ]);
    const gone = { ...ACME, configurationSet: 'gone', tls };
    assert.deepEqual(brief(await send({ domain: gone })), ['transient', 'TlsPolicyUnknown']);
    assert.equal(ses.mailbox.count, 0);
  });

  it('asks once for many messages', async t => {
    const fresh = openSesTransport(t, ses.endpoint);
    const before = ses.calls['GetConfigurationSet'] ?? 0;
    const domain = { ...ACME, configurationSet: 'strict', tls };
    await Promise.all(Array.from({ length: 20 }, () => send({ domain }, fresh)));
    assert.equal(ses.calls['GetConfigurationSet'], before + 1);
    assert.equal(ses.mailbox.count, 20);
  });
});

describe('a call that goes wrong', () => {
  it('is transient where nothing listens', async t => {
    const nothing = openSesTransport(t, `http://127.0.0.1:${await freePort()}`);
    assert.deepEqual(brief(await send({}, nothing)), ['transient', 'ECONNREFUSED']);
  });

  it('is transient where the host has no address', async t => {
    const nowhere = openSesTransport(t, 'http://ses.invalid');
    const [kind, code] = brief(await send({}, nowhere));
    assert.equal(kind, 'transient');
    assert.match(code ?? '', /^(ENOTFOUND|EAI_AGAIN)$/);
  });

  it('is transient where nothing listens on IPv6', async t => {
    const nothing = openSesTransport(t, 'http://[::1]:1');
    const [kind, code] = brief(await send({}, nothing));
    assert.equal(kind, 'transient');
    // Or no IPv6 on this machine; in any case no look-up of a name in brackets.
    assert.match(code ?? '', /^(ECONNREFUSED|EADDRNOTAVAIL|EAFNOSUPPORT|ENETUNREACH)$/);
  });

  it('is transient for a region that is none', async () => {
    for (const region of ['evil.example/', 'here', 'us-east-1@evil']) {
      await transport.admit(1, NEVER, { domain: { ...ACME, region } });
      assert.deepEqual(brief(await send({ domain: { ...ACME, region } })), ['transient', 'UnknownRegion']);
    }
  });

  it('is transient where the other side goes before it has the whole message', async t => {
    const deaf = await startDeafServer(t);
    const raw = Buffer.alloc(20 * 1024 * 1024, 'x');
    const transportToIt = openSesTransport(t, deaf.endpoint, { timeout: 1_000 });
    assert.deepEqual(brief(await send({ raw }, transportToIt)), ['transient', 'ETIMEDOUT']);
  });

  it('is unknown where the connection breaks after the request', async () => {
    ses.faults.plan({ kind: 'drop' });
    assert.deepEqual(brief(await send()), ['unknown', 'ECONNRESET']);
    assert.equal(ses.mailbox.count, 0);
    ses.faults.plan({ kind: 'drop-after' });
    assert.deepEqual(brief(await send()), ['unknown', 'ECONNRESET']);
    assert.equal(ses.mailbox.count, 1);
  });

  it('is unknown where no answer comes in time', async t => {
    const hasty = openSesTransport(t, ses.endpoint, { timeout: 5_000 });
    ses.faults.plan({ kind: 'timeout' });
    assert.deepEqual(brief(await send({}, hasty)), ['unknown', 'ETIMEDOUT']);
  });

  it('is unknown where the worker stops during it, and transient where it stops before', async () => {
    ses.faults.plan({ kind: 'timeout' });
    const stopping = new AbortController();
    const before = ses.calls['SendEmail'] ?? 0;
    const sending = transport.send(outgoing(), stopping.signal);
    await eventually(() => (ses.calls['SendEmail'] ?? 0) > before);
    stopping.abort();
    assert.deepEqual(brief((await sending)[0]?.outcome as Outcome), ['unknown', 'Aborted']);
    const late = await transport.send(outgoing(), stopping.signal);
    assert.deepEqual(brief(late[0]?.outcome as Outcome), ['transient', 'Aborted']);
  });

  it('is transient without credentials, and with wrong ones', async t => {
    const { AWS_SECRET_ACCESS_KEY: secret } = env;
    const wrong = openSesTransport(t, ses.endpoint);
    env['AWS_SECRET_ACCESS_KEY'] = 'wrong';
    assert.deepEqual(brief(await send({}, wrong)), ['transient', 'SignatureDoesNotMatch']);
    const without = openSesTransport(t, ses.endpoint);
    delete env['AWS_SECRET_ACCESS_KEY'];
    Object.assign(env, {
      AWS_EC2_METADATA_DISABLED: 'true',
      AWS_SHARED_CREDENTIALS_FILE: '/dev/null',
      AWS_CONFIG_FILE: '/dev/null',
    });
    assert.deepEqual(brief(await send({}, without)), ['transient', 'CredentialsProviderError']);
    assert.equal(ses.mailbox.count, 0);
    env['AWS_SECRET_ACCESS_KEY'] = secret;
    // Nothing of that stays: they are there now.
    assert.equal((await send({}, without)).kind, 'sent');
  });
});

describe('HTTPS, as SES is called in production', async () => {
  const certificate = await makeCertificate({ after });
  const secure = await startFakeSes({ after }, { tls: certificate });

  it('sends nothing to a server that is not to be trusted', async t => {
    const distrustful = openSesTransport(t, secure.endpoint);
    const [kind, code] = brief(await send({}, distrustful));
    assert.equal(kind, 'transient');
    assert.match(code ?? '', /^(UNABLE_TO_|SELF_SIGNED_|DEPTH_ZERO_)/);
    assert.equal(secure.calls['SendEmail'], undefined);
  });

  it('is transient where the other side speaks no TLS', async t => {
    const mistaken = openSesTransport(t, ses.endpoint.replace('http:', 'https:'));
    assert.equal((await send({}, mistaken)).kind, 'transient');
  });

  it('carries small and large messages, and knows whether they were sent', async t => {
    trust(t, certificate.ca);
    const trusting = openSesTransport(t, secure.endpoint);
    const raw = Buffer.concat([outgoing().raw as Buffer, Buffer.alloc(5_000_000, '0123456789\r\n')]);
    assert.equal((await send({}, trusting)).kind, 'sent');
    assert.equal((await send({ raw }, trusting)).kind, 'sent');
    assert.ok(secure.mailbox.messages[1]?.raw.equals(raw));
    secure.faults.plan({ kind: 'drop-after', times: 2 });
    assert.deepEqual(brief(await send({}, trusting)), ['unknown', 'ECONNRESET']);
    assert.deepEqual(brief(await send({ raw }, trusting)), ['unknown', 'ECONNRESET']);
  });
});

/** Only while the test runs. */
function trust(t: { after(fn: () => void): void }, ca: string): void {
  const before = getCACertificates('default');
  setDefaultCACertificates([...before, ca]);
  t.after(() => setDefaultCACertificates(before));
}

describe('the send rate', () => {
  it("is the account's, shared by the workers that live", async t => {
    const account = await startFakeSes(t, { maxSendRate: 400 });
    const shared = openSesTransport(t, account.endpoint, { liveWorkers: () => 2 });
    await shared.admit(1, NEVER, outgoing());
    const began = performance.now();
    // One second's share at once, and the next hundred take half a second; at the rate where SES does not say, 40 s.
    for (let taken = 0; taken < 300; taken += 1) await shared.admit(1, NEVER, outgoing());
    const took = performance.now() - began;
    assert.ok(took > 400 && took < 30_000, `${took} ms`);
    assert.equal(account.calls['GetAccount'], 1);
  });

  it('is one for all transports on an account', async t => {
    // What is taken is there again after a hundred seconds.
    const account = await startFakeSes(t, { maxSendRate: 0.01 });
    const sharedRates = new Map();
    const [one, other] = [{ timeout: 50_000 }, { timeout: 60_000 }].map(options =>
      openSesTransport(t, account.endpoint, { ...options, sharedRates }),
    ) as [SesTransport, SesTransport];
    await one.admit(1, NEVER, outgoing());
    for (const transport of [other, one]) {
      const impatient = AbortSignal.timeout(50);
      await assert.rejects(() => transport.admit(1, impatient, outgoing()), { name: 'TimeoutError' });
    }
    await other.admit(1, NEVER, outgoing({ domain: ACME }));
    assert.equal(account.calls['GetAccount'], 2, 'once for each region');
  });

  it('is lowered by throttling, which is counted', async t => {
    const registry = createRegistry();
    const busy = await startFakeSes(t, { maxSendRate: 100 });
    const measured = openSesTransport(t, busy.endpoint, { metrics: createSesMetrics(registry) });
    await measured.admit(1, NEVER, outgoing());
    busy.faults.plan({ kind: 'throttle' });
    await send({}, measured);
    await measured.admit(1, NEVER, outgoing());
    const text = await registry.metrics();
    assert.match(text, /^smtp_relay_ses_throttled_total\{region="eu-west-1"\} 1$/m);
    const rate = Number(/^smtp_relay_ses_send_rate_recipients\{region="eu-west-1"\} (.+)$/m.exec(text)?.[1]);
    // It comes back within a minute.
    assert.ok(rate >= 70 && rate < 100, String(rate));
  });

  it('is kept by the fake SES too, whose refusal is throttling', async t => {
    const strict = await startFakeSes(t, { maxSendRate: 5, enforceRate: true });
    const throttled = openSesTransport(t, strict.endpoint);
    const outcomes = await Promise.all(Array.from({ length: 100 }, () => throttled.send(outgoing(), NEVER)));
    const refused = outcomes.flat().filter(({ outcome }) => outcome.kind === 'transient' && outcome.throttled);
    assert.ok(refused.length > 0 && refused.length <= 95, `${refused.length} refused`);
    assert.equal(strict.mailbox.count, 100 - refused.length);
  });
});

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as { port: number };
  await new Promise(resolve => server.close(resolve));
  return port;
}

/** Takes connections and reads nothing. */
async function startDeafServer(t: { after(fn: () => Promise<void>): void }): Promise<{ readonly endpoint: string }> {
  const sockets = new Set<import('node:net').Socket>();
  const server = createServer({ pauseOnConnect: true }, socket => {
    sockets.add(socket);
    socket.on('error', () => {});
  });
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  t.after(async () => {
    for (const socket of sockets) socket.destroy();
    await new Promise(resolve => server.close(resolve));
  });
  const { port } = server.address() as { port: number };
  return { endpoint: `http://127.0.0.1:${port}` };
}
