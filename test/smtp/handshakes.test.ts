import assert from 'node:assert/strict';
import { after, describe, it, type TestContext } from 'node:test';
import type tls from 'node:tls';
import { freePort } from '../../dev/ports.ts';
import { handshakeFailure } from '../../src/smtp/tls/handshakes.ts';
import { eventually } from '../support/eventually.ts';
import { scrape } from '../support/metrics.ts';
import { MountedFolder } from '../support/mounted.ts';
import { startRelay } from '../support/relay.ts';
import { messageFrom, SmtpClient } from '../support/smtp-client.ts';
import { makeCertificate } from '../support/tls.ts';

const relay = await startRelay(
  { after },
  {
    queue: false,
    settings: { 'tls.implicitPort': await freePort(), httpHost: '127.0.0.1', httpPort: await freePort() },
  },
);
const OLD = { minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT@SECLEVEL=0' } as const;
const CBC = { maxVersion: 'TLSv1.2', ciphers: 'ECDHE-ECDSA-AES128-SHA:ECDHE-RSA-AES128-SHA:AES128-SHA' } as const;
const STATIC_RSA = { maxVersion: 'TLSv1.2', ciphers: 'AES128-GCM-SHA256:AES256-GCM-SHA384' } as const;
const CLIENT_HELLO = Buffer.from(`1603010200010001fc0303${'00'.repeat(32)}`, 'hex');

/** A failed handshake of each kind, on the port with STARTTLS. */
async function startTls(t: TestContext, options: tls.ConnectionOptions): Promise<void> {
  const client = await SmtpClient.greeted(t, relay);
  await assert.rejects(client.startTls(options));
  client.destroy();
}

/** The same on the other. */
async function implicitTls(t: TestContext, options: tls.ConnectionOptions): Promise<void> {
  await assert.rejects(SmtpClient.connect(t, relay, { port: relay.implicitTlsPort, implicitTls: true, tls: options }));
}

async function failures(reason: string): Promise<number> {
  return (await scrape(relay)).get(`smtp_relay_tls_handshake_failures_total{reason="${reason}"}`) ?? 0;
}

function lines(reason: string) {
  return relay.logs.filter(line => line.msg === 'TLS handshake failed' && line['reason'] === reason);
}

describe('a TLS handshake that fails leaves a line and a count', () => {
  for (const [name, reason, fail] of [
    ['TLS 1.1 after STARTTLS', 'old_version', t => startTls(t, OLD)],
    ['TLS 1.1 on the implicit port', 'old_version', t => implicitTls(t, OLD)],
    ['ciphers without AEAD after STARTTLS', 'no_shared_cipher', t => startTls(t, CBC)],
    ['ciphers without forward secrecy', 'no_shared_cipher', t => startTls(t, STATIC_RSA)],
    ['ciphers without AEAD on the implicit port', 'no_shared_cipher', t => implicitTls(t, CBC)],
    [
      'a ClientHello where SMTP is due',
      'no_starttls',
      async t => {
        const client = await SmtpClient.connect(t, relay);
        await client.send(CLIENT_HELLO);
        await client.closed;
      },
    ],
    [
      'SMTP in clear after STARTTLS',
      'not_tls',
      async t => {
        const client = await SmtpClient.greeted(t, relay);
        await client.command('STARTTLS', '220 ');
        await client.send('EHLO client.test\r\n');
        await client.closed;
      },
    ],
    [
      'SMTP in clear on the implicit port',
      'not_tls',
      async t => {
        const client = await SmtpClient.connect(t, relay, { port: relay.implicitTlsPort });
        await client.send('EHLO client.test\r\n');
        await client.closed;
      },
    ],
    [
      'a client that hangs up halfway',
      'closed',
      async t => {
        const client = await SmtpClient.greeted(t, relay);
        await client.command('STARTTLS', '220 ');
        await client.send(CLIENT_HELLO);
        client.reset();
      },
    ],
  ] satisfies [string, string, (t: TestContext) => Promise<void>][]) {
    it(`${name}: ${reason}`, async t => {
      const [counted, logged] = [await failures(reason), lines(reason).length];
      await fail(t);
      await eventually(() => lines(reason).length > logged);
      assert.equal(await failures(reason), counted + 1);
      assert.equal(lines(reason).length, logged + 1);
      const line = lines(reason).at(-1);
      assert.deepEqual([line?.['client'], line?.level], ['127.0.0.1', 30]);
    });
  }

  it('a check whether the implicit port is open is counted, and logged for who debugs', async t => {
    const counted = await failures('closed');
    (await SmtpClient.connect(t, relay, { port: relay.implicitTlsPort })).destroy();
    await eventually(async () => (await failures('closed')) === counted + 1);
    assert.equal(lines('closed').at(-1)?.level, 20);
  });

  it('one that succeeds counts by its version', async t => {
    for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
      const name = `smtp_relay_tls_sessions_total{version="${version}"}`;
      const before = (await scrape(relay)).get(name) ?? 0;
      const options = { tls: { minVersion: version, maxVersion: version } };
      await SmtpClient.secured(t, relay, options);
      await SmtpClient.greeted(t, relay, { ...options, port: relay.implicitTlsPort, implicitTls: true });
      assert.equal((await scrape(relay)).get(name), before + 2);
    }
  });
});

it('what OpenSSL says of a client that refuses the certificate is known', () => {
  for (const alert of ['unknown ca', 'bad certificate', 'certificate unknown', 'certificate expired']) {
    for (const said of [`tlsv1 alert ${alert}`, `sslv3 alert ${alert}`]) {
      const code = `ERR_SSL_${said.toUpperCase().replaceAll(' ', '_')}`;
      const error = Object.assign(new Error('Failed to establish TLS session'), { code, reason: said });
      assert.equal(handshakeFailure(error), 'certificate_refused', said);
    }
  }
  assert.equal(handshakeFailure(new Error('of a kind of its own')), 'other');
});

describe('tls.minVersion, tls.ciphers', () => {
  it('TLS 1.3 alone', async t => {
    const strict = await startRelay(t, { queue: false, settings: { 'tls.minVersion': 'TLSv1.3' } });
    await assert.rejects(SmtpClient.secured(t, strict, { tls: { maxVersion: 'TLSv1.2' } }));
    await SmtpClient.loggedIn(t, strict);
  });

  it('a list of ciphers of its own holds for TLS 1.2, and leaves TLS 1.3 on', async t => {
    const settings = { 'tls.ciphers': 'ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384' };
    const strict = await startRelay(t, { queue: false, settings });
    const two = await SmtpClient.secured(t, strict, { tls: { maxVersion: 'TLSv1.2' } });
    assert.match((two.socket as tls.TLSSocket).getCipher().name, /AES256-GCM-SHA384$/);
    const three = await SmtpClient.secured(t, strict);
    assert.equal((three.socket as tls.TLSSocket).getProtocol(), 'TLSv1.3');
  });
});

describe('tls.legacyPort', () => {
  const cbc = 'ECDHE-ECDSA-AES128-SHA:ECDHE-RSA-AES128-SHA:AES128-SHA:@SECLEVEL=0';

  it('takes what old devices have, and the other ports do not; a warning and a metric say that it is open', async t => {
    const settings = { httpHost: '127.0.0.1', httpPort: await freePort(), 'tls.legacyPort': await freePort() };
    const legacy = await startRelay(t, { queue: false, settings });
    for (const options of [OLD, { maxVersion: 'TLSv1.2', ciphers: cbc }, {}] as const) {
      const client = await SmtpClient.loggedIn(t, legacy, { port: legacy.legacyPort, tls: options });
      const data = messageFrom('a@acme.test');
      await client.transact({ from: 'a@acme.test', to: ['b@example.com'], data }, '250 2.0.0');
      if (options !== OLD) continue;
      assert.equal((client.socket as tls.TLSSocket).getProtocol(), 'TLSv1.1');
      await assert.rejects(SmtpClient.secured(t, legacy, { tls: options }));
    }
    // A log-in needs TLS there, too.
    const clear = await SmtpClient.greeted(t, legacy, { port: legacy.legacyPort });
    await clear.command('AUTH PLAIN', '538 5.7.11');
    assert.ok(legacy.logs.some(({ level, msg }) => level === 40 && msg.startsWith('a port for old devices is open')));
    assert.equal((await scrape(legacy)).get('smtp_relay_tls_legacy_port'), 1);
  });

  it('is off by default', async () => {
    assert.equal(relay.legacyPort, 0);
    assert.equal((await scrape(relay)).get('smtp_relay_tls_legacy_port'), undefined);
  });

  it('has a renewed certificate, and keeps its own versions', async t => {
    const pair = await makeCertificate(t);
    const folder = await MountedFolder.create(t, { 'tls.crt': pair.cert, 'tls.key': pair.key });
    const files = { 'tls.certPath': folder.file('tls.crt'), 'tls.keyPath': folder.file('tls.key') };
    const legacy = await startRelay(t, { queue: false, settings: { ...files, 'tls.legacyPort': await freePort() } });
    const next = await makeCertificate(t);
    await folder.replace({ 'tls.crt': next.cert, 'tls.key': next.key });
    await eventually(() => legacy.logs.some(({ msg }) => msg === 'TLS certificate renewed'));
    const renewed = { ...legacy, ca: next.ca };
    await SmtpClient.loggedIn(t, renewed, { port: legacy.legacyPort, tls: OLD });
    await SmtpClient.loggedIn(t, renewed);
    await assert.rejects(SmtpClient.secured(t, renewed, { tls: OLD }));
  });
});
