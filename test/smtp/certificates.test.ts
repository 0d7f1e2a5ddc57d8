import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { describe, it, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type tls from 'node:tls';
import { freePort } from '../../dev/ports.ts';
import { eventually } from '../support/eventually.ts';
import { MountedFolder } from '../support/mounted.ts';
import { startRelay, type TestRelay } from '../support/relay.ts';
import { messageFrom, SmtpClient } from '../support/smtp-client.ts';
import { type CertificateFiles, makeCertificate } from '../support/tls.ts';

type Pair = Pick<CertificateFiles, 'cert' | 'key'>;

/** A Secret of type kubernetes.io/tls. */
class MountedSecret {
  readonly #folder: MountedFolder;

  private constructor(folder: MountedFolder) {
    this.#folder = folder;
  }

  static async create(t: TestContext, pair: Pair): Promise<MountedSecret> {
    return new MountedSecret(await MountedFolder.create(t, filesOf(pair)));
  }

  replace(pair: Pair): Promise<void> {
    return this.#folder.replace(filesOf(pair));
  }

  get settings() {
    return { 'tls.certPath': this.#folder.file('tls.crt'), 'tls.keyPath': this.#folder.file('tls.key') };
  }
}

function filesOf({ cert, key }: Pair): Record<string, string> {
  return { 'tls.crt': cert, 'tls.key': key };
}

/** The serial number of the certificate that a new connection gets. */
async function presented(t: TestContext, relay: TestRelay, options = {}): Promise<string> {
  const client = await SmtpClient.secured(t, relay, { ...options, tls: { rejectUnauthorized: false } });
  const { serialNumber } = (client.socket as tls.TLSSocket).getPeerCertificate();
  client.destroy();
  return serialNumber;
}

async function logged(relay: TestRelay, msg: string): Promise<void> {
  await eventually(() => relay.logs.some(line => line.msg === msg));
}

describe('known defect: the certificate is read once: a renewed one is picked up from the mounted Secret', () => {
  it('by the next handshake on every port, and no connection is dropped', async t => {
    const [first, second] = [await makeCertificate(t), await makeCertificate(t)];
    const secret = await MountedSecret.create(t, first);
    const settings = { ...secret.settings, 'tls.implicitPort': await freePort() };
    const relay = { ...(await startRelay(t, { queue: false, settings })), ca: first.ca };
    const implicit = { port: relay.implicitTlsPort, implicitTls: true };
    const open = await SmtpClient.loggedIn(t, relay);
    const before = await presented(t, relay);
    assert.equal(await presented(t, relay, implicit), before);

    await secret.replace(second);
    await logged(relay, 'TLS certificate renewed');
    const after = await presented(t, relay);
    assert.notEqual(after, before);
    assert.equal(await presented(t, relay, implicit), after);
    await SmtpClient.secured(t, { ...relay, ca: second.ca });
    const data = messageFrom('a@acme.test');
    await open.transact({ from: 'a@acme.test', to: ['b@example.com'], data }, '250 2.0.0');

    // A watch on a file would have ended with the first renewal.
    await secret.replace(first);
    await eventually(async () => (await presented(t, relay)) === before);
  });

  it('keeps TLS 1.2 as the oldest version', async t => {
    const [first, second] = [await makeCertificate(t), await makeCertificate(t)];
    const secret = await MountedSecret.create(t, first);
    const relay = { ...(await startRelay(t, { queue: false, settings: secret.settings })), ca: first.ca };
    await secret.replace(second);
    await logged(relay, 'TLS certificate renewed');
    const client = await SmtpClient.greeted(t, relay);
    const old = { minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT@SECLEVEL=0' } as const;
    await assert.rejects(client.startTls(old), /protocol version/i);
  });
});

describe('a new pair that cannot be used is refused and reported, and the old one stays', () => {
  for (const [name, spoil] of [
    [
      'a key that does not belong to the certificate',
      (first: Pair, second: Pair) => ({ cert: second.cert, key: first.key }),
    ],
    ['a certificate that is none', (_first: Pair, second: Pair) => ({ cert: 'nonsense', key: second.key })],
    ['an empty key', (_first: Pair, second: Pair) => ({ cert: second.cert, key: '' })],
  ] as const) {
    it(name, async t => {
      const [first, second] = [await makeCertificate(t), await makeCertificate(t)];
      const secret = await MountedSecret.create(t, first);
      const relay = { ...(await startRelay(t, { queue: false, settings: secret.settings })), ca: first.ca };
      await secret.replace(spoil(first, second));
      await logged(relay, 'new TLS certificate cannot be used; the old one stays');
      await SmtpClient.secured(t, relay);
      assert.ok(!JSON.stringify(relay.logs).includes(first.key.split('\n')[1] as string), 'the key is in the log');
      await secret.replace(second);
      await logged(relay, 'TLS certificate renewed');
      await SmtpClient.secured(t, { ...relay, ca: second.ca });
    });
  }
});

it('a key that comes a moment after its certificate is no failure', async t => {
  const [first, second] = [await makeCertificate(t), await makeCertificate(t)];
  const settings = { 'tls.certPath': first.certPath, 'tls.keyPath': first.keyPath };
  const relay = { ...(await startRelay(t, { queue: false, settings })), ca: first.ca };
  await writeFile(first.certPath, second.cert);
  await sleep(1_000);
  await writeFile(first.keyPath, second.key);
  await logged(relay, 'TLS certificate renewed');
  assert.ok(!relay.logs.some(({ msg }) => msg.startsWith('new TLS certificate cannot be used')));
  await SmtpClient.secured(t, { ...relay, ca: second.ca });
});

it('the start refuses such a pair', async t => {
  const [first, second] = [await makeCertificate(t), await makeCertificate(t)];
  const settings = { 'tls.certPath': first.certPath, 'tls.keyPath': second.keyPath };
  await assert.rejects(startRelay(t, { queue: false, settings }), /does not belong to the certificate/);
});
