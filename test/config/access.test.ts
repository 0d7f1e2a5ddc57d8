import assert from 'node:assert/strict';
import { it } from 'node:test';
import { allowList, trustedNetworks } from '../../src/config/formats/access.ts';
import { load, loadError } from './support/fixtures.ts';

const KEY = '7e1f3a52-9d0b-4c7e-8a64-2b8f5d1c9e03';

it('trustedNetworks are pairs of a network and the id of a key', () => {
  const text = `10.1.0.0/16=${KEY}, 2001:db8::/32=${KEY.toUpperCase()}`;
  assert.deepEqual(load({ SMTP_RELAY_TRUSTED_NETWORKS: text }).config.trustedNetworks, [
    { network: '10.1.0.0/16', keyId: KEY },
    { network: '2001:db8::/32', keyId: KEY },
  ]);
  assert.deepEqual(load({}).config.trustedNetworks, []);
});

for (const network of ['0.0.0.0/0', '::/0', '10.0.0.0/0', '2001:db8::/0', '::ffff:0.0.0.0/96', '::/64']) {
  it(`a start that trusts ${network} is refused`, () => {
    const { problems } = loadError({ SMTP_RELAY_TRUSTED_NETWORKS: `192.0.2.0/24=${KEY},${network}=${KEY}` });
    assert.deepEqual(
      problems.map(({ setting }) => setting),
      ['trustedNetworks'],
    );
    assert.match(problems[0]?.why ?? '', /all addresses/);
  });
}

for (const text of [
  '10.0.0.0/8',
  `10.0.0.0=${KEY}`,
  '10.0.0.0/8=os_live_secret',
  `10.0.0.0/33=${KEY}`,
  `=${KEY}`,
  `x/8=${KEY}`,
]) {
  it(`${text} is not an entry of trustedNetworks`, () => assert.throws(() => trustedNetworks.parse(text)));
}

it('recipientAllowList takes addresses, domains and all below one', () => {
  assert.deepEqual(allowList.parse('qa@acme.com, acme.com,*.acme.com'), ['qa@acme.com', 'acme.com', '*.acme.com']);
  for (const text of ['@acme.com', 'a@', '*', '*.', 'a b.com', '*@acme.com,', 'acme..com']) {
    assert.throws(() => allowList.parse(text), { name: 'FormatError' }, text);
  }
});

it('messages can be captured by our own worker only', () => {
  const env = { SMTP_RELAY_RECIPIENTS_ELSEWHERE: 'capture' };
  assert.match(loadError(env).problems[0]?.why ?? '', /OpenSend's worker cannot capture/);
  assert.equal(load({ ...env, SMTP_RELAY_PIPELINE: 'standalone' }).config.recipientsElsewhere, 'capture');
});
