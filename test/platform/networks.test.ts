import assert from 'node:assert/strict';
import { it, test } from 'node:test';
import { clientNetwork, createNetworkMatcher } from '../../src/platform/networks.ts';

test('matches addresses inside the networks, and single addresses', () => {
  const matches = createNetworkMatcher(['10.0.0.0/8', '192.0.2.7', '2001:db8::/32', '::1']);
  for (const inside of ['10.0.0.0', '10.255.255.255', '192.0.2.7', '2001:db8:ffff::1', '2001:0DB8:0::1', '::1']) {
    assert.equal(matches(inside), true, inside);
  }
  for (const outside of ['9.255.255.255', '11.0.0.0', '192.0.2.8', '2001:db9::1', '::2', '', 'localhost', '10.0.0']) {
    assert.equal(matches(outside), false, outside);
  }
});

test('an IPv4-mapped IPv6 address is its IPv4 address, however it is spelt', () => {
  const matches = createNetworkMatcher(['192.0.2.0/24']);
  assert.equal(matches('::ffff:192.0.2.1'), true);
  assert.equal(matches('::FFFF:c000:0201'), true);
  assert.equal(matches('0:0:0:0:0:ffff:c000:201'), true);
  assert.equal(matches('::ffff:192.0.3.1'), false);
  const mapped = createNetworkMatcher(['::ffff:192.0.2.0/120']);
  assert.equal(mapped('192.0.2.200'), true);
  assert.equal(mapped('::ffff:192.0.2.200'), true);
  assert.equal(mapped('192.0.3.1'), false);
  assert.equal(createNetworkMatcher(['::/0'])('::ffff:192.0.2.1'), false);
});

test('whole address families, a zone, and no network at all', () => {
  assert.equal(createNetworkMatcher(['0.0.0.0/0'])('203.0.113.9'), true);
  assert.equal(createNetworkMatcher(['0.0.0.0/0'])('2001:db8::1'), false);
  assert.equal(createNetworkMatcher(['::/0'])('2001:db8::1'), true);
  assert.equal(createNetworkMatcher(['fe80::/10'])('fe80::1%eth0'), true);
  assert.equal(createNetworkMatcher([])('127.0.0.1'), false);
});

test('refuses what is not a network, naming it', () => {
  for (const bad of [
    '',
    '10.0.0.0/33',
    '10.0.0.0/-1',
    '10.0.0.0/8/8',
    '10.0.0.0/',
    '::/129',
    'example.com/8',
    '::ffff:0:0/95',
  ]) {
    assert.throws(
      () => createNetworkMatcher(['127.0.0.1', bad]),
      (error: Error) => error instanceof RangeError && error.message.endsWith(`: ${bad}`),
      bad,
    );
  }
});

for (const [address, network] of [
  ['192.0.2.7', '192.0.2.7'],
  ['::ffff:192.0.2.7', '192.0.2.7'],
  ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2::/64'],
  ['2001:0DB8:0001:0002::1', '2001:db8:1:2::/64'],
  ['2001:db8::1', '2001:db8:0:0::/64'],
  ['2001:db8:0:0:1::', '2001:db8:0:0::/64'],
  ['fe80::1%eth0', 'fe80:0:0:0::/64'],
  ['::1', '0:0:0:0::/64'],
] as const) {
  it(`${address} counts as ${network}`, () => assert.equal(clientNetwork(address), network));
}
