import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { createRouteLimits, createRouteMatcher, transportLimits } from '../../src/routing/routes.ts';

describe('routes by domain', () => {
  const find = createRouteMatcher([
    { domains: ['a.test', '*.a.test'], name: 'first' },
    { domains: ['x.a.test', 'BÜCHER.test', '*.bücher.test'], name: 'second' },
  ]);
  const cases: Readonly<Record<string, string | undefined>> = {
    'a.test': 'first',
    'A.TEST': 'first',
    'x.a.test': 'first',
    'y.x.a.test': 'first',
    'xa.test': undefined,
    'a.test.x': undefined,
    '.a.test': undefined,
    'xn--bcher-kva.test': 'second',
    'bücher.test': 'second',
    'mail.xn--bcher-kva.test': 'second',
    '[192.0.2.1]': undefined,
    '': undefined,
  };
  for (const [domain, name] of Object.entries(cases)) {
    it(`${domain || 'none'}: ${name}`, () => assert.equal(find(domain)?.name, name));
  }
});

describe('limits by route', () => {
  const routes = [{ domains: ['a.test'], transport: 'smtp' as const }];

  it("are those of the route's transport, or of the default one", () => {
    const limits = createRouteLimits(routes, 'ses');
    assert.equal(limits.of('a.test'), transportLimits('smtp'));
    assert.equal(limits.of('b.test'), transportLimits('ses'));
  });

  it('let SMTPUTF8 in where any transport takes it', () => {
    assert.equal(createRouteLimits(routes, 'ses').anySmtpUtf8, true);
    assert.equal(createRouteLimits([], 'capture').anySmtpUtf8, true);
    assert.equal(createRouteLimits([{ domains: ['a.test'], transport: 'ses' }], 'ses').anySmtpUtf8, false);
  });
});
