import assert from 'node:assert/strict';
import { it } from 'node:test';
import { createAllowList } from '../../src/intake/facts.ts';

it('an empty allow list lets everybody in', () => {
  assert.equal(createAllowList([])('anyone@example.com'), true);
});

it('an allow list has addresses, domains, and domains below one', () => {
  const isAllowed = createAllowList(['QA@acme.com', 'staging.test', '*.dev.test', 'bücher.example']);
  const cases: Record<string, boolean> = {
    'qa@acme.com': true,
    'Qa@ACME.com': true,
    'other@acme.com': false,
    'anyone@staging.test': true,
    'anyone@sub.staging.test': false,
    'anyone@notstaging.test': false,
    'anyone@a.dev.test': true,
    'anyone@a.b.dev.test': true,
    'anyone@dev.test': false,
    'anyone@evildev.test': false,
    'anyone@xn--bcher-kva.example': true,
    '"staging.test"@example.com': false,
  };
  for (const [address, expected] of Object.entries(cases)) assert.equal(isAllowed(address), expected, address);
});
