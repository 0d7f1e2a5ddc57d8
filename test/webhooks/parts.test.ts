import assert from 'node:assert/strict';
import { createCipheriv, createHash, randomBytes } from 'node:crypto';
import { describe, it } from 'node:test';
import { pauseAfter, RETRY_PAUSES } from '../../src/webhooks/attempt.ts';
import { parseEndpointUrl, parseEventTypes } from '../../src/webhooks/endpoint.ts';
import { createSecretBox, newSecret, SecretError, signatureHeaders } from '../../src/webhooks/signing.ts';

const ID = '0b8f7a52-3c1e-4d8e-9a5e-2f1f6f3f7c11';
const OTHER_ID = '5d2a1f0e-8b1d-4a57-9f63-0c1e7d2b6a94';
const newKey = () => randomBytes(32).toString('base64');

describe('signing secrets', () => {
  it('are whsec_ and 32 random bytes in Base64', () => {
    const secret = newSecret();
    assert.match(secret, /^whsec_[A-Za-z0-9+/]{43}=$/);
    assert.notEqual(secret, newSecret());
  });

  it('are encrypted with the first key, and read with any', () => {
    const [old, fresh] = [newKey(), newKey()];
    const sealed = createSecretBox([old]).seal('whsec_abc', ID);
    const both = createSecretBox([fresh, old]);
    assert.equal(both.open(sealed, ID), 'whsec_abc');
    const again = both.seal('whsec_abc', ID);
    assert.equal(createSecretBox([fresh]).open(again, ID.toUpperCase()), 'whsec_abc');
    assert.throws(() => createSecretBox([old]).open(again, ID), /^SecretError: the key [0-9a-f]{8} that encrypts/);
    assert.notEqual(both.seal('whsec_abc', ID), again);
    assert.ok(!again.includes('abc'));
  });

  it('are AES-256-GCM in a text with version, key id, nonce and tag', () => {
    const key = newKey();
    const bytes = Buffer.from(key, 'base64');
    const nonce = Buffer.alloc(12, 7);
    const cipher = createCipheriv('aes-256-gcm', bytes, nonce);
    cipher.setAAD(Buffer.from(`webhook:${ID}`));
    const ciphertext = Buffer.concat([cipher.update('whsec_abc'), cipher.final()]);
    const keyId = createHash('sha256').update(bytes).digest('hex').slice(0, 8);
    const parts = [nonce, cipher.getAuthTag(), ciphertext].map(part => part.toString('base64url'));
    assert.equal(createSecretBox([key]).open(['v1', keyId, ...parts].join('.'), ID), 'whsec_abc');
  });

  it('cannot be altered, moved to another webhook, or read as what they are not', () => {
    const box = createSecretBox([newKey()]);
    const sealed = box.seal('whsec_abc', ID);
    assert.throws(() => box.open(sealed, OTHER_ID), SecretError);
    const parts = sealed.split('.');
    for (const index of [2, 3, 4]) {
      const bytes = Buffer.from(parts[index] as string, 'base64url');
      bytes[0] = (bytes[0] as number) ^ 1;
      const altered = parts.with(index, bytes.toString('base64url')).join('.');
      assert.throws(() => box.open(altered, ID), SecretError, altered);
      assert.throws(() => box.open(parts.with(index, '').join('.'), ID), SecretError);
    }
    for (const other of ['', 'whsec_abc', 'v2.a.b.c.d', `${sealed}.x`])
      assert.throws(() => box.open(other, ID), SecretError);
  });

  it('need a key, and say how to make one', () => {
    assert.throws(
      () => createSecretBox([]).seal('whsec_abc', ID),
      /openssl rand -base64 32.*SMTP_RELAY_WEBHOOKS_SECRET_KEYS/,
    );
  });
});

describe('a signature', () => {
  it('is that of the example in the specification', () => {
    const headers = signatureHeaders({
      id: 'msg_p5jXN8AQM9LWM0D4loKWxJek',
      timestamp: new Date(1_614_265_330_999),
      body: Buffer.from('{"test": 2432232314}'),
      secrets: ['whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw'],
    });
    assert.equal(headers['webhook-signature'], 'v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=');
    assert.equal(headers['webhook-timestamp'], '1614265330');
    for (const name of ['id', 'timestamp', 'signature'])
      assert.equal(headers[`svix-${name}`], headers[`webhook-${name}`]);
  });
});

describe('the pause after a failure', () => {
  it('is at least the one of its turn, and at most a fifth more', () => {
    for (const [index, pause] of RETRY_PAUSES.entries()) {
      assert.equal(
        pauseAfter(index + 1, undefined, () => 0, new Date()),
        pause,
      );
      assert.equal(
        pauseAfter(index + 1, undefined, () => 0.5, new Date()),
        Math.round(pause * 1.1),
      );
    }
    assert.equal(
      pauseAfter(RETRY_PAUSES.length + 1, '5', () => 0, new Date()),
      null,
    );
  });
});

describe('what a person gives', () => {
  it('is read as a list of events', () => {
    assert.deepEqual(parseEventTypes('email.sent, Email.Bounced,email.sent'), ['email.sent', 'email.bounced']);
    assert.deepEqual(parseEventTypes('email.sent,all'), ['*']);
    assert.deepEqual(parseEventTypes('*'), ['*']);
    for (const wrong of ['', 'sent', 'email.sent,', 'email.*', 'email.unknown']) {
      assert.throws(() => parseEventTypes(wrong), RangeError, wrong);
    }
  });

  it('is read as a URL', () => {
    assert.equal(parseEndpointUrl(' HTTPS://Example.com:443/a?b#c '), 'https://example.com/a?b');
    assert.equal(parseEndpointUrl('http://[::1]:8080'), 'http://[::1]:8080/');
    for (const wrong of [
      '',
      'example.com',
      'ftp://example.com/',
      'file:///etc/passwd',
      'https://a:b@example.com/',
      'https://a@example.com',
    ]) {
      assert.throws(() => parseEndpointUrl(wrong), RangeError, wrong);
    }
  });
});
