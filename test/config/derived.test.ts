import assert from 'node:assert/strict';
import { hostname } from 'node:os';
import { describe, it } from 'node:test';
import { envelopeLimit, greetingName, hasTls, recipientLimit, senderDomainsMode } from '../../src/config/derived.ts';
import { load } from './support/fixtures.ts';

describe('what settings leave to the relay to choose', () => {
  it('recipientLimit follows the pipeline unless it is set', () => {
    assert.equal(recipientLimit(load({}).config), 50);
    assert.equal(recipientLimit(load({ SMTP_RELAY_PIPELINE: 'standalone' }).config), 1000);
    assert.equal(recipientLimit(load({ SMTP_RELAY_LIMITS_RECIPIENTS: '7' }).config), 7);
    const env = { SMTP_RELAY_PIPELINE: 'standalone', SMTP_RELAY_LIMITS_RECIPIENTS: '2000' };
    assert.equal(recipientLimit(load(env).config), 2000);
  });

  it('envelopeLimit is the same, but for where headers decide', () => {
    assert.equal(envelopeLimit(load({}).config), 50);
    assert.equal(envelopeLimit(load({ SMTP_RELAY_RECIPIENTS: 'headers' }).config), 1000);
  });

  it('senderDomainsMode follows the pipeline unless it is set', () => {
    assert.equal(senderDomainsMode(load({}).config), 'any');
    assert.equal(senderDomainsMode(load({ SMTP_RELAY_PIPELINE: 'standalone' }).config), 'owned');
    assert.equal(senderDomainsMode(load({ SMTP_RELAY_SENDER_DOMAINS: 'owned' }).config), 'owned');
    const env = { SMTP_RELAY_PIPELINE: 'standalone', SMTP_RELAY_SENDER_DOMAINS: 'any' };
    assert.equal(senderDomainsMode(load(env).config), 'any');
  });

  it('greetingName is the machine unless it is set', () => {
    assert.equal(greetingName(load({}).config), hostname());
    assert.equal(greetingName(load({ SMTP_RELAY_HOSTNAME: 'smtp.example.com' }).config), 'smtp.example.com');
  });

  it('hasTls asks for both files', () => {
    assert.equal(hasTls(load({}).config), false);
    const env = { SMTP_RELAY_TLS_CERT_PATH: '/c', SMTP_RELAY_TLS_KEY_PATH: '/k' };
    assert.equal(hasTls(load(env, { checkTlsFiles: false }).config), true);
  });
});
