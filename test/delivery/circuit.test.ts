import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { TurnAnswer } from '../../src/delivery/schedule/circuit.ts';
import { Circuit, verdictOf } from '../../src/delivery/schedule/circuit.ts';
import type { Outcome, RouteFault } from '../../src/delivery/transport/contract.ts';
import { MovedClock, settle } from './support/moved-clock.ts';

const PAUSES = { firstPause: 15_000, longestPause: 3_600_000 };

function newCircuit() {
  const clock = new MovedClock();
  const changes: (RouteFault | null)[] = [];
  const circuit = new Circuit({
    now: () => clock.now(),
    pauses: PAUSES,
    random: () => 1,
    onChange: ({ reason }) => changes.push(reason),
  });
  /** One call from its beginning to its end. */
  const call = (verdict: RouteFault | 'works' | null) => {
    const passage = circuit.begin();
    circuit.tell(verdict, passage);
    circuit.end(passage);
  };
  return { clock, circuit, changes, call };
}

describe('the circuit of a way out', () => {
  for (const reason of ['credentials', 'paused', 'quota'] as const) {
    it(`opens at once where the account is said to be at fault: ${reason}`, () => {
      const { circuit, changes, call } = newCircuit();
      call(reason);
      assert.deepEqual([circuit.state, circuit.reason, changes], ['open', reason, [reason]]);
    });
  }

  for (const reason of ['connect', 'throttled'] as const) {
    it(`opens when three in a row came to the same: ${reason}`, () => {
      const { circuit, call } = newCircuit();
      for (const verdict of [reason, reason, 'works', reason, reason] as const) call(verdict);
      assert.equal(circuit.state, 'closed');
      call(reason);
      assert.equal(circuit.state, 'open');
    });
  }

  it('lets one call at a time try, after pauses that double up to five minutes', async () => {
    const { clock, circuit, changes, call } = newCircuit();
    call('paused');
    const pauses: number[] = [];
    for (let nth = 0; nth < 8; nth += 1) {
      pauses.push(circuit.wait / 1000);
      await clock.move(circuit.wait);
      const probe = circuit.begin();
      assert.deepEqual([probe.isProbe, circuit.state, circuit.wait], [true, 'half-open', Number.POSITIVE_INFINITY]);
      circuit.tell('paused', probe);
      circuit.end(probe);
    }
    assert.deepEqual(pauses, [15, 30, 60, 120, 240, 300, 300, 300]);
    assert.deepEqual(changes, ['paused'], 'it is told of once');
  });

  it('closes when a probe works, and begins anew', async () => {
    const { clock, circuit, changes, call } = newCircuit();
    call('credentials');
    await clock.move(15_000);
    call('credentials');
    await clock.move(30_000);
    call('works');
    assert.deepEqual([circuit.state, circuit.wait, changes], ['closed', 0, ['credentials', null]]);
    call('credentials');
    assert.equal(circuit.wait, 15_000);
  });

  it('lets the next one try where a probe told nothing', async () => {
    const { clock, circuit, call } = newCircuit();
    call('paused');
    await clock.move(15_000);
    call(null);
    assert.deepEqual([circuit.state, circuit.wait], ['open', 0]);
  });

  it('hears nothing of what began before it opened', async () => {
    const { clock, circuit, call } = newCircuit();
    const early = circuit.begin();
    const other = circuit.begin();
    call('paused');
    circuit.tell('works', early);
    assert.equal(circuit.state, 'open');
    await clock.move(15_000);
    const probe = circuit.begin();
    circuit.tell('connect', other);
    circuit.tell('works', probe);
    assert.equal(circuit.state, 'closed');
  });

  it('bears few calls until some have worked, and few again when one did not', () => {
    const { circuit, call } = newCircuit();
    const first = circuit.calls;
    assert.ok(first >= 1 && first <= 8);
    for (let nth = 0; nth < 20; nth += 1) call('works');
    assert.equal(circuit.calls, first + 20);
    call('connect');
    assert.ok(circuit.calls < first);
  });

  it('is held while there is no quota, whatever a call says', async () => {
    const { clock, circuit, call } = newCircuit();
    circuit.hold('quota');
    await clock.move(3_600_000);
    assert.deepEqual([circuit.reason, circuit.wait], ['quota', Number.POSITIVE_INFINITY]);
    circuit.release();
    assert.equal(circuit.state, 'closed');
    call('works');
    circuit.release();
    assert.equal(circuit.state, 'closed');
  });
});

describe('the circuit of a way out that other workers use too', () => {
  function newShared() {
    const clock = new MovedClock();
    const asked: number[] = [];
    const ended: unknown[] = [];
    const answers: TurnAnswer[] = [];
    let answered = 0;
    const turn = { begin: () => {}, end: (result: unknown) => void ended.push(result) };
    const circuit = new Circuit({
      now: () => clock.now(),
      pauses: PAUSES,
      random: () => 1,
      askForTurn: async shutForMs => {
        asked.push(shutForMs);
        return answers.shift() ?? turn;
      },
      onAnswer: () => (answered += 1),
    });
    /** One call from its beginning to its end. */
    const call = (verdict: RouteFault | 'works' | null) => {
      const passage = circuit.begin();
      circuit.tell(verdict, passage);
      circuit.end(passage);
    };
    /** As the scheduler does where there is something to try it with. */
    const seek = async () => {
      circuit.seekTurn();
      await settle();
      return circuit.wait;
    };
    return { clock, circuit, call, seek, asked, ended, answers, turn, answered: () => answered };
  }

  it('asks nobody while it is closed, or before it is time', async () => {
    const { circuit, call, seek, asked } = newShared();
    await seek();
    call('paused');
    assert.equal(await seek(), 15_000);
    assert.deepEqual([asked, circuit.state], [[], 'open']);
  });

  it('tries nothing before it is its turn, and says what came of it', async () => {
    const { clock, circuit, call, seek, asked, ended, answered } = newShared();
    call('paused');
    await clock.move(15_000);
    assert.equal(circuit.wait, Number.POSITIVE_INFINITY, 'not without the turn');
    circuit.seekTurn();
    circuit.seekTurn();
    assert.equal(await seek(), 0);
    assert.deepEqual([asked, answered()], [[15_000], 1], 'it is asked for once, since when it was shut');
    call('paused');
    assert.deepEqual(ended, [{ pauseMs: 30_000 }]);
    await clock.move(30_000);
    assert.equal(await seek(), 0);
    call(null);
    assert.deepEqual(ended[1], null);
    assert.equal(await seek(), 0);
    call('works');
    assert.deepEqual([ended[2], circuit.state], ['works', 'closed']);
  });

  it('waits for the others, looks again within seconds, and closes when they have found that it works', async () => {
    const { clock, circuit, call, seek, answers } = newShared();
    call('connect');
    call('connect');
    call('connect');
    answers.push({ waitMs: 200_000 }, { waitMs: 0 }, 'works');
    await clock.move(2_000);
    assert.equal(await seek(), 10_000);
    assert.equal(circuit.shutFor, 200_000);
    await clock.move(10_000);
    assert.ok((await seek()) > 0, 'it does not ask without a pause');
    await clock.move(1_000);
    await seek();
    assert.deepEqual([circuit.state, circuit.wait], ['closed', 0]);
  });

  it('gives the turn back where it has no use for it', async () => {
    const { clock, circuit, call, seek, ended, asked } = newShared();
    call('paused');
    await clock.move(15_000);
    circuit.seekTurn();
    circuit.hold('quota');
    await settle();
    assert.deepEqual([ended, circuit.wait], [[null], Number.POSITIVE_INFINITY]);
    circuit.release();
    call('paused');
    await clock.move(15_000);
    assert.equal(await seek(), 0);
    await clock.move(60_000);
    assert.equal(await seek(), 0);
    assert.deepEqual([ended, asked.length], [[null, null], 3], "one that is old may be another worker's by now");
  });
});

describe('what a call tells of its way out', () => {
  const sent: Outcome = { kind: 'sent', providerMessageId: null };
  const failed = (kind: 'transient' | 'permanent' | 'unknown', reason?: RouteFault): Outcome => {
    return { kind, code: 'X', message: 'x', ...(reason && { reason }) };
  };
  for (const [what, outcomes, verdict] of [
    ['some were sent', [failed('transient', 'connect'), sent], 'works'],
    ['the message was refused', [failed('permanent')], 'works'],
    ['the message is to come later', [failed('transient')], 'works'],
    ['the account is paused', [failed('transient', 'paused')], 'paused'],
    ['nobody answered', [failed('unknown')], 'connect'],
    ['nothing', [], null],
  ] as const) {
    it(`${what}: ${verdict}`, () => {
      assert.equal(verdictOf(outcomes.map(outcome => ({ recipients: ['a@b.test'], outcome }))), verdict);
    });
  }
});
