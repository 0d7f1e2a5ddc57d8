import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Circuit } from '../../src/delivery/schedule/circuit.ts';
import { type Permit, Scheduler, type SchedulerOptions } from '../../src/delivery/schedule/scheduler.ts';
import type { Waiting } from '../../src/delivery/schedule/way-queue.ts';
import type { Way } from '../../src/delivery/schedule/ways.ts';
import type { SendAllowance } from '../../src/delivery/transport/contract.ts';
import { MovedClock, numbers, settle } from './support/moved-clock.ts';

const PAUSES = { firstPause: 15_000, longestPause: 3_600_000 };

const OPTIONS: SchedulerOptions = { concurrency: 16, callsPerWay: 12, bytes: { small: 1_000, large: 1_000 } };

interface Message extends Waiting {
  readonly nth: number;
  /** Milliseconds of its call; Infinity: it hangs. */
  readonly time: number;
  /** What its call tells. */
  readonly verdict: Parameters<Circuit['tell']>[0];
}

type Given = Partial<Omit<Message, 'nth' | 'way'>> & Pick<Message, 'owner' | 'way'>;

function stage(options: Partial<SchedulerOptions> = {}) {
  const clock = new MovedClock();
  const begun: (Message & { readonly at: number; readonly isProbe: boolean })[] = [];
  const ended: Message[] = [];
  const putOff: Message[] = [];
  const underway = new Set<Message>();
  const most = { all: 0, byWay: new Map<Way, number>() };
  let nth = 0;
  const scheduler = new Scheduler<Message>({
    options: { ...OPTIONS, ...options },
    clock,
    mayBegin: () => true,
    putOff: items => void putOff.push(...items),
    start: async (message, permit: Permit) => {
      begun.push({ ...message, at: clock.now(), isProbe: permit.passage.isProbe });
      underway.add(message);
      most.all = Math.max(most.all, underway.size);
      const byWay = [...underway].filter(({ way }) => way === message.way).length;
      most.byWay.set(message.way, Math.max(most.byWay.get(message.way) ?? 0, byWay));
      await new Promise<void>(resolve => {
        if (message.time < Number.POSITIVE_INFINITY) clock.after(message.time, resolve);
      });
      permit.way.circuit.tell(message.verdict, permit.passage);
      underway.delete(message);
      ended.push(message);
    },
  });
  const newWay = (more: Partial<Way> = {}): Way => {
    const circuit = new Circuit({
      now: () => clock.now(),
      pauses: PAUSES,
      random: () => 1,
      onChange: () => scheduler.pump(),
    });
    const way = { kind: 'ses', name: 'default', calls: 1_000, maxRecipients: 50, allowance: null, circuit };
    return { ...way, ...more } as Way;
  };
  const add = (given: Given, count = 1): void => {
    for (let left = count; left > 0; left -= 1) {
      nth += 1;
      const usual = { recipients: 1, bytes: 1, isLarge: false, time: 10, verdict: 'works' as const };
      scheduler.add({ ...usual, ...given, nth });
    }
  };
  /** Tokens: so many a second, one second's worth of them at most. */
  const allowanceOf = (rate: number): SendAllowance => {
    let tokens = 1;
    let at = 0;
    const refill = (): void => {
      tokens = Math.min(rate, tokens + ((clock.now() - at) / 1000) * rate);
      at = clock.now();
    };
    return {
      waitFor: recipients => {
        refill();
        const missing = Math.min(recipients, rate) - tokens;
        return missing <= 1e-9 ? 0 : (missing / rate) * 1000;
      },
      take: recipients => {
        tokens -= recipients;
      },
      throttled: () => {},
      quotaLeft: null,
    };
  };
  return { clock, scheduler, begun, ended, putOff, underway, most, newWay, add, allowanceOf };
}

describe('the scheduler', () => {
  it('begins no more than there are places, nor more by one way than that bears', async () => {
    const { clock, begun, most, newWay, add } = stage();
    const [wide, narrow] = [newWay(), newWay({ calls: 2 })];
    add({ owner: 'a', way: wide }, 300);
    add({ owner: 'a', way: narrow }, 30);
    await clock.move(10_000);
    assert.equal(begun.length, 330);
    assert.ok(most.all <= OPTIONS.concurrency);
    assert.equal(most.byWay.get(wide), OPTIONS.callsPerWay);
    assert.equal(most.byWay.get(narrow), 2);
  });

  it("leaves places for others beside any number of ways where everything hangs, and holds few of each one's messages", async () => {
    const { clock, begun, newWay, add } = stage();
    for (const owner of ['a', 'b', 'c', 'd', 'e']) add({ owner, way: newWay(), time: Number.POSITIVE_INFINITY }, 100);
    await clock.move(1_000);
    const hanging = begun.length;
    assert.ok(hanging < OPTIONS.concurrency, `${hanging} hang`);
    const healthy = newWay();
    add({ owner: 'z', way: healthy }, 20);
    await clock.move(1_000);
    assert.equal(begun.length, hanging + 20);
  });

  it('gives owners equal shares of a slow way, counted in recipients, whoever came first', async () => {
    const { clock, begun, newWay, add, allowanceOf } = stage();
    const way = newWay({ allowance: allowanceOf(10) });
    add({ owner: 'a', way }, 1_000);
    add({ owner: 'b', way, recipients: 5 }, 200);
    await clock.move(60_000);
    const had = (owner: string) =>
      begun.filter(message => message.owner === owner).reduce((sum, { recipients }) => sum + recipients, 0);
    assert.ok(had('a') + had('b') >= 590, `${had('a')} and ${had('b')}`);
    assert.ok(Math.abs(had('a') - had('b')) <= 10, `${had('a')} and ${had('b')}`);
  });

  it('lets a newcomer wait for a token and no longer, behind whatever backlog', async () => {
    const { clock, begun, newWay, add, allowanceOf } = stage();
    const way = newWay({ allowance: allowanceOf(5) });
    add({ owner: 'a', way }, 1_000);
    await clock.move(10_000);
    const waits: number[] = [];
    for (let nth = 0; nth < 20; nth += 1) {
      const at = clock.now();
      add({ owner: 'b', way });
      await clock.move(1_050);
      const found = begun.filter(({ owner }) => owner === 'b').at(-1);
      waits.push((found?.at ?? Number.POSITIVE_INFINITY) - at);
    }
    assert.ok(Math.max(...waits) <= 210, waits.join(' '));
  });

  it('takes nothing from an owner on a slow way for what he sends by another', async () => {
    const { clock, begun, newWay, add, allowanceOf } = stage();
    const [fast, slow] = [newWay(), newWay({ allowance: allowanceOf(2) })];
    add({ owner: 'a', way: fast }, 5_000);
    add({ owner: 'a', way: slow }, 100);
    add({ owner: 'b', way: slow }, 100);
    await clock.move(20_000);
    const bySlow = begun.filter(({ way }) => way === slow);
    const ofA = bySlow.filter(({ owner }) => owner === 'a').length;
    assert.ok(bySlow.length >= 40 && Math.abs(ofA - bySlow.length / 2) <= 1, `${ofA} of ${bySlow.length}`);
  });

  it('holds up no small message for large ones, and lets no large one starve', async () => {
    const { clock, begun, newWay, add } = stage();
    const way = newWay();
    add({ owner: 'a', way, bytes: 900, isLarge: true, time: 1_000 }, 5);
    add({ owner: 'a', way, bytes: 2_000, isLarge: true, time: 1_000 });
    add({ owner: 'b', way, bytes: 200, isLarge: true, time: 1_000 }, 60);
    add({ owner: 'c', way }, 300);
    await clock.move(900);
    assert.equal(begun.filter(({ owner }) => owner === 'c').length, 300);
    await clock.move(60_000);
    assert.equal(begun.length, 366, 'everything was sent, also what is larger than its lane');
    const huge = begun.findIndex(({ bytes }) => bytes === 2_000);
    assert.ok(huge < 360, 'it did not wait for all that is smaller');
  });

  it('probes a way that is shut with one message at a time, and puts the rest off', async () => {
    const { clock, begun, putOff, newWay, add } = stage();
    const way = newWay();
    add({ owner: 'a', way, verdict: 'paused' }, 200);
    await clock.move(100);
    const first = begun.length;
    assert.ok(first <= 12);
    assert.ok(putOff.length >= 150, `${putOff.length} are put off`);
    await clock.move(3_600_000);
    const probes = begun.slice(first);
    assert.ok(probes.length >= 5 && probes.length <= 10 && probes.every(({ isProbe }) => isProbe));
    const times = probes.map(({ at }) => at);
    for (const [index, at] of times.entries()) assert.ok(at - (times[index - 1] ?? 0) > 10_000, times.join(' '));
  });

  it('goes on at once with what waits when a probe works, beside what hangs since before', async () => {
    const { clock, begun, newWay, add } = stage();
    const way = newWay();
    add({ owner: 'a', way, time: Number.POSITIVE_INFINITY }, 2);
    add({ owner: 'a', way, verdict: 'paused' }, 1);
    await clock.move(100);
    add({ owner: 'a', way }, 5);
    await clock.move(15_000);
    assert.equal(begun.length, 8);
  });

  it("sends an owner's mail by one way while the other is shut", async () => {
    const { clock, begun, newWay, add } = stage();
    const [shut, open] = [newWay(), newWay()];
    add({ owner: 'a', way: shut, verdict: 'credentials' }, 100);
    await clock.move(100);
    add({ owner: 'a', way: open }, 50);
    await clock.move(100);
    assert.equal(begun.filter(({ way }) => way === open).length, 50);
  });

  it('begins nothing where nothing is left of the quota, until something is', async () => {
    const { clock, begun, newWay, add, allowanceOf } = stage();
    const allowance = { ...allowanceOf(100), quotaLeft: 0 as number | null };
    add({ owner: 'a', way: newWay({ allowance }) }, 5);
    await clock.move(60_000);
    assert.equal(begun.length, 0);
    allowance.quotaLeft = 10;
    await clock.move(2_000);
    assert.equal(begun.length, 5);
  });

  it('lets no further call of a message go before others who wait for the same tokens', async () => {
    const { clock, scheduler, newWay, allowanceOf } = stage();
    void scheduler;
    const permits: Permit[] = [];
    const own = new Scheduler<Waiting>({
      options: OPTIONS,
      clock,
      mayBegin: () => true,
      putOff: () => {},
      start: (_item, permit) => {
        permits.push(permit);
        return new Promise(() => {});
      },
    });
    const way = newWay({ allowance: allowanceOf(10) });
    const message = { way, recipients: 1, bytes: 1, isLarge: false };
    await clock.move(1_000);
    own.add({ ...message, owner: 'a' });
    const [first] = permits;
    assert.equal(await first?.goesOn(5), true, 'nobody waits');
    assert.equal(await first?.goesOn(5), false, 'no tokens');
    own.add({ ...message, owner: 'b', recipients: 8 });
    await clock.move(300);
    assert.equal(await first?.goesOn(1), false, 'b waits for more');
  });

  it('tries a message alone, beside nothing but what takes long, and nobody waits long for it', async () => {
    const { clock, scheduler, begun, underway, newWay, add } = stage();
    add({ owner: 'a', way: newWay(), time: Number.POSITIVE_INFINITY });
    add({ owner: 'b', way: newWay(), time: 100 }, 3);
    let beside = -1;
    const { promise, resolve } = Promise.withResolvers<void>();
    const done = scheduler.alone(async () => {
      beside = underway.size;
      await promise;
      return 'done';
    });
    add({ owner: 'c', way: newWay() });
    await clock.move(4_000);
    assert.equal(begun.length, 4, 'all else waits');
    await clock.move(2_000);
    assert.equal(beside, 1, 'what hangs is not waited for');
    assert.equal(begun.length, 4);
    await clock.move(11_000);
    assert.equal(begun.length, 5, 'nor is it, when it hangs itself');
    resolve();
    assert.equal(await done, 'done');
  });

  for (let seed = 1; seed <= 20; seed += 1) {
    it(`keeps its promises with whatever comes (${seed})`, async () => {
      const random = numbers(seed);
      const upTo = (most: number) => 1 + Math.floor(random() * most);
      const { clock, begun, ended, putOff, most, newWay, add, allowanceOf } = stage();
      const ways = Array.from({ length: upTo(5) }, (_, nth) =>
        newWay({ calls: upTo(20), allowance: nth % 2 === 1 ? allowanceOf(5 + upTo(50)) : null }),
      );
      let count = 0;
      for (let nth = 0; nth < 300; nth += 1) {
        const way = ways[upTo(ways.length) - 1] as Way;
        const isLarge = random() < 0.1;
        const verdict = random() < 0.05 ? 'connect' : random() < 0.01 ? 'paused' : 'works';
        const bytes = isLarge ? upTo(1_500) : upTo(50);
        add({ owner: `owner-${upTo(4)}`, way, recipients: upTo(5), isLarge, bytes, time: upTo(300), verdict });
        count += 1;
        await clock.move(upTo(30));
      }
      await clock.move(86_400_000);
      assert.equal(begun.length + putOff.length, count, 'each has begun or was put off, and once');
      assert.equal(ended.length, begun.length);
      assert.equal(new Set([...begun, ...putOff].map(({ nth }) => nth)).size, count);
      assert.ok(most.all <= OPTIONS.concurrency);
      for (const way of ways) assert.ok((most.byWay.get(way) ?? 0) <= Math.min(way.calls, OPTIONS.callsPerWay) + 1);
    });
  }

  it('forgets what it is told to forget', async () => {
    const { clock, scheduler, begun, newWay, add } = stage();
    add({ owner: 'a', way: newWay({ calls: 1 }) }, 5);
    await settle();
    assert.deepEqual(scheduler.clear().length, 5 - begun.length);
    await clock.move(10_000);
    assert.equal(begun.length, 1);
  });
});
