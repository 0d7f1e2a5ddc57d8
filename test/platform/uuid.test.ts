import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { isUuid, newOrderedId } from '../../src/platform/uuid.ts';

/** RFC 9562: the version is 4, and the variant its own. */
const VERSION_4 = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

describe('ids of what there are very many of', () => {
  it('are UUIDs as OpenSend knows them', () => {
    for (const now of [0, 1, Date.now(), 2 ** 48 - 1]) {
      const id = newOrderedId(now);
      assert.match(id, VERSION_4);
      assert.ok(isUuid(id));
    }
  });

  it('sort as the times at which they were made', () => {
    const times = [0, 1, 15, 16, 255, 65_536, Date.now(), Date.now() + 1, 2 ** 48 - 1];
    const ids = times.map(newOrderedId);
    assert.deepEqual(ids.toSorted(), ids);
  });

  it('are different within a millisecond, too', () => {
    const ids = Array.from({ length: 10_000 }, () => newOrderedId(1_800_000_000_000));
    assert.equal(new Set(ids).size, ids.length);
  });
});
