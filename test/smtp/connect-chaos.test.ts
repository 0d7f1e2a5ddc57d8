import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ApiKey } from '../../src/intake/submission.ts';
import { ConnectChaos } from '../../src/smtp/session/connect-chaos.ts';

const HOUR = 3_600_000;
const ADDRESS = '192.0.2.7';
const REAL = { id: 'real', sandbox: false } as ApiKey;
const TEST = {
  id: 'test',
  sandbox: true,
  chaos: { replies: [{ stage: 'connect', code: 421, percent: 100 }] },
} as unknown as ApiKey;

describe('chaos at the connection', () => {
  it('leaves an address alone for a day behind the last time, not the first, that a real key sends from it', async t => {
    let now = HOUR;
    t.mock.method(performance, 'now', () => now);
    const chaos = new ConnectChaos({ findById: async () => TEST }, { chaos: { inc() {} } } as never);
    const later = async (hours: number) => {
      now += hours * HOUR;
      // The cache looks at the clock once a millisecond.
      await sleep(5);
    };
    chaos.seen(ADDRESS, REAL);
    await later(20);
    chaos.seen(ADDRESS, REAL);
    await later(20);
    chaos.seen(ADDRESS, TEST);
    assert.equal(await chaos.refusalOf(ADDRESS), null);
    await later(5);
    chaos.seen(ADDRESS, TEST);
    assert.equal((await chaos.refusalOf(ADDRESS))?.code, 421);
  });
});
