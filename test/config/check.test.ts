import 'reflect-metadata';
import assert from 'node:assert/strict';
import { webcrypto } from 'node:crypto';
import { join } from 'node:path';
import { before, describe, it, type TestContext } from 'node:test';
import * as x509 from '@peculiar/x509';
import { load, loadError, onlyProblem, writeFiles } from './support/fixtures.ts';

interface PemPair {
  readonly cert: string;
  readonly key: string;
}

const DAY = 86_400_000;
const ALGORITHM = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };

/** A self-signed pair, valid for a day from `notBefore`. */
async function createPair(notBefore: number): Promise<PemPair> {
  const keys = await webcrypto.subtle.generateKey(ALGORITHM, true, ['sign', 'verify']);
  const cert = await x509.X509CertificateGenerator.createSelfSigned({
    name: 'CN=relay.test',
    keys,
    signingAlgorithm: ALGORITHM,
    notBefore: new Date(notBefore),
    notAfter: new Date(notBefore + DAY),
  });
  const key = await webcrypto.subtle.exportKey('pkcs8', keys.privateKey);
  return { cert: cert.toString('pem'), key: x509.PemConverter.encode(key, 'PRIVATE KEY') };
}

describe('the TLS files', () => {
  let pair: PemPair;
  let other: PemPair;
  before(async () => {
    [pair, other] = await Promise.all([createPair(Date.now() - 1000), createPair(Date.now() - 1000)]);
  });

  function tls(
    t: TestContext,
    cert: string | Buffer,
    key: string | Buffer,
  ): { SMTP_RELAY_TLS_CERT_PATH: string; SMTP_RELAY_TLS_KEY_PATH: string } {
    const directory = writeFiles(t, { 'tls.crt': cert, 'tls.key': key });
    return {
      SMTP_RELAY_TLS_CERT_PATH: join(directory, 'tls.crt'),
      SMTP_RELAY_TLS_KEY_PATH: join(directory, 'tls.key'),
    };
  }

  it('are accepted as a pair, also with intermediates behind the certificate', t => {
    assert.deepEqual(load(tls(t, pair.cert, pair.key)).warnings, []);
    assert.deepEqual(load(tls(t, `${pair.cert}\n${other.cert}\n`, pair.key)).warnings, []);
  });

  for (const [set, missing] of [
    ['CERT', 'keyPath'],
    ['KEY', 'certPath'],
  ] as const) {
    it(`are refused as half a pair: only the ${set.toLowerCase()} path`, t => {
      const name = `SMTP_RELAY_TLS_${set}_PATH` as const;
      const problem = onlyProblem({ [name]: tls(t, pair.cert, pair.key)[name] });
      assert.equal(problem.source, `env:${name}`);
      assert.match(problem.why, new RegExp(`tls\\.${missing} is not`));
      assert.match(problem.fix, /^set tls\.\w+ \(SMTP_RELAY_TLS_\w+_PATH\) too/);
    });
  }

  it('are refused where they cannot be read, both at once', t => {
    const { problems } = loadError({
      SMTP_RELAY_TLS_CERT_PATH: '/nonexistent/tls.crt',
      SMTP_RELAY_TLS_KEY_PATH: writeFiles(t, {}),
    });
    assert.deepEqual(
      problems.map(({ setting }) => setting),
      ['tls.certPath', 'tls.keyPath'],
    );
    assert.equal(problems[0]?.why, '/nonexistent/tls.crt does not exist');
    assert.match(problems[1]?.why ?? '', /is a directory$/);
  });

  it('are refused where they do not belong together', t => {
    const problem = onlyProblem(tls(t, pair.cert, other.key));
    assert.equal(problem.setting, 'tls.keyPath');
    assert.match(problem.why, /tls\.key does not belong to the certificate in .*tls\.crt$/);
  });

  it('are refused where they are swapped, empty or not PEM', t => {
    const swapped = loadError(tls(t, pair.key, pair.cert)).problems;
    assert.match(swapped[0]?.why ?? '', /is not a certificate in PEM/);
    assert.match(swapped[1]?.why ?? '', /is not a private key in PEM/);
    assert.equal(loadError(tls(t, '', '')).problems.length, 2);
    assert.match(onlyProblem(tls(t, Buffer.from([0x30, 0x82, 0xff]), pair.key)).why, /is not a text file/);
  });

  it('are refused where they are damaged, without a word of the key', t => {
    const damagedCert = pair.cert.replace(/\n[^\n]{20}/, '\nAAAAAAAAAAAAAAAAAAAA');
    assert.match(onlyProblem(tls(t, damagedCert, pair.key)).why, /certificate that is damaged/);
    const { why, fix } = onlyProblem(tls(t, pair.cert, pair.key.replace(/\n[^\n]{20}/, '\nAAAAAAAAAAAAAAAAAAAA')));
    assert.match(why, /private key that is damaged/);
    const body = pair.key.split('\n')[1] ?? assert.fail('no key');
    assert.ok(!`${why}${fix}`.includes(body.slice(-20)));
  });

  it('are refused where an intermediate is damaged', t => {
    const damaged = other.cert.replace(/\n[^\n]{20}/, '\nAAAAAAAAAAAAAAAAAAAA');
    assert.match(onlyProblem(tls(t, `${pair.cert}\n${damaged}`, pair.key)).why, /refused by OpenSSL/);
  });

  it('are refused where the key has a passphrase', t => {
    const encrypted = pair.key.replaceAll('PRIVATE KEY', 'ENCRYPTED PRIVATE KEY');
    assert.match(onlyProblem(tls(t, pair.cert, encrypted)).why, /encrypted with a passphrase/);
  });

  it('are warned of where the certificate is out of its time', async t => {
    const [expired, early] = await Promise.all([createPair(Date.now() - 2 * DAY), createPair(Date.now() + DAY)]);
    assert.match(load(tls(t, expired.cert, expired.key)).warnings.join(), /^tls\.certPath: .* expired on \d{4}-/);
    assert.match(load(tls(t, early.cert, early.key)).warnings.join(), /is not valid before \d{4}-/);
  });

  it('are not looked at for commands that do not listen', () => {
    const env = { SMTP_RELAY_TLS_CERT_PATH: '/nonexistent/a', SMTP_RELAY_TLS_KEY_PATH: '/nonexistent/b' };
    assert.equal(load(env, { checkTlsFiles: false }).config.tls.certPath, '/nonexistent/a');
  });

  it('are needed for the implicit TLS port, which must be another one', t => {
    assert.match(onlyProblem({ SMTP_RELAY_TLS_IMPLICIT_PORT: '2465' }).why, /needs a certificate and a key/);
    const files = tls(t, pair.cert, pair.key);
    assert.equal(load({ ...files, SMTP_RELAY_TLS_IMPLICIT_PORT: '2465' }).config.tls.implicitPort, 2465);
    assert.match(
      onlyProblem({ ...files, SMTP_RELAY_TLS_IMPLICIT_PORT: '2587' }).why,
      /port 2587 is also the value of port/,
    );
  });
});

describe('settings together', () => {
  it("must not promise more recipients than OpenSend's worker can deliver to", () => {
    assert.equal(load({ SMTP_RELAY_LIMITS_RECIPIENTS: '50' }).config.limits.recipients, 50);
    assert.match(onlyProblem({ SMTP_RELAY_LIMITS_RECIPIENTS: '51' }).why, /no more than 50 recipients/);
    const standalone = { SMTP_RELAY_LIMITS_RECIPIENTS: '51', SMTP_RELAY_PIPELINE: 'standalone' };
    assert.equal(load(standalone).config.limits.recipients, 51);
  });

  it('are warned of where a tracking secret is short, which does not stop an installation that has one', () => {
    const given = { SMTP_RELAY_PIPELINE: 'standalone', TRACKING_SECRET: `short,${'a'.repeat(16)}` };
    const { config, warnings } = load(given);
    assert.deepEqual(config.tracking.secrets, ['short', 'a'.repeat(16)]);
    assert.match(warnings.join(), /^tracking\.secrets: .* fewer than 16 characters/);
    assert.doesNotMatch(warnings.join(), /short/);
    assert.deepEqual(load({ ...given, TRACKING_SECRET: 'a'.repeat(16) }).warnings, []);
    const beside = load({ TRACKING_SECRET: 'short' }).warnings.join();
    assert.doesNotMatch(beside, /fewer than/, 'nobody uses it beside OpenSend');
  });

  it('are refused where the largest message never finds room', () => {
    const { problems } = loadError({ SMTP_RELAY_LIMITS_BYTES_IN_FLIGHT: '1MiB' });
    assert.deepEqual(
      problems.map(({ setting, fix }) => [setting, fix]),
      [['limits.bytesInFlight', 'set limits.bytesInFlight to 47185920 at least, or maxMessageSizeBytes to less']],
    );
    load({ SMTP_RELAY_LIMITS_BYTES_IN_FLIGHT: '1MiB', SMTP_RELAY_MAX_MESSAGE_SIZE_BYTES: '1048576' });
  });

  it('are not checked with a value that is itself wrong', () => {
    const { problems } = loadError({ SMTP_RELAY_LIMITS_RECIPIENTS: '51', SMTP_RELAY_PIPELINE: 'alone' });
    assert.deepEqual(
      problems.map(({ setting }) => setting),
      ['pipeline'],
    );
  });
});
