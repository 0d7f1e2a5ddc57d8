import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { decideTracking, type TrackingSettings } from '../../src/tracking/settings.ts';

const domain = { name: 'acme.test', trackOpens: true, trackClicks: false, trackingSubdomain: null };
const ASKED_BY_DOMAIN: TrackingSettings = {
  message: { trackOpens: null, trackClicks: null },
  domain,
  baseUrl: 'https://track.example.com',
  canSign: true,
};

function decide(changes: Partial<TrackingSettings> = {}) {
  return decideTracking({ ...ASKED_BY_DOMAIN, ...changes });
}

suite('whether a message is tracked', () => {
  test('as the domain is set up', () => {
    assert.deepEqual(decide(), { kind: 'on', opens: true, clicks: false, baseUrl: 'https://track.example.com' });
    assert.deepEqual(decide({ domain: { ...domain, trackOpens: false } }), { kind: 'off' });
  });

  test('the message decides where it says something', () => {
    const message = { trackOpens: false, trackClicks: true };
    assert.deepEqual(decide({ message }), {
      kind: 'on',
      opens: false,
      clicks: true,
      baseUrl: 'https://track.example.com',
    });
    assert.deepEqual(decide({ message: { trackOpens: false, trackClicks: null } }), { kind: 'off' });
  });

  test('a domain that is nobody’s is tracked only where the message says so', () => {
    assert.deepEqual(decide({ domain: null }), { kind: 'off' });
    assert.equal(decide({ domain: null, message: { trackOpens: true, trackClicks: null } }).kind, 'on');
  });
});

suite('where links lead', () => {
  const hosts = {
    links: 'https://links.acme.test',
    'links.acme.test': 'https://links.acme.test',
    ' Links.Elsewhere.Test. ': 'https://links.elsewhere.test',
    '': 'https://track.example.com',
  };
  for (const [trackingSubdomain, baseUrl] of Object.entries(hosts)) {
    test(`tracking_subdomain "${trackingSubdomain}"`, () => {
      assert.partialDeepStrictEqual(decide({ domain: { ...domain, trackingSubdomain } }), { kind: 'on', baseUrl });
    });
  }

  test('nowhere: no tracking, and why', () => {
    assert.deepEqual(decide({ baseUrl: '' }), { kind: 'impossible', reason: 'no_base_url' });
    assert.deepEqual(decide({ canSign: false }), { kind: 'impossible', reason: 'no_secret' });
    assert.deepEqual(decide({ baseUrl: '', domain: { ...domain, trackOpens: false } }), { kind: 'off' });
  });
});
