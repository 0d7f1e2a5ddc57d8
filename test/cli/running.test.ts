import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { runUntilAborted } from '../../src/cli/servers.ts';

function createApp(parts: { start?: () => Promise<unknown>; stop?: () => Promise<void> } = {}) {
  const calls: string[] = [];
  return {
    calls,
    start: async () => {
      calls.push('start');
      await parts.start?.();
    },
    stop: async () => {
      calls.push('stop');
      await parts.stop?.();
    },
  };
}

describe('runUntilAborted', () => {
  it('starts, waits, stops', async () => {
    const app = createApp();
    const stopping = new AbortController();
    const running = runUntilAborted(app, stopping.signal, () => 60_000);
    await new Promise(setImmediate);
    assert.deepEqual(app.calls, ['start']);
    stopping.abort();
    await running;
    assert.deepEqual(app.calls, ['start', 'stop']);
  });

  it('stops what is still starting', async () => {
    const app = createApp({ start: () => new Promise(() => {}) });
    const stopping = new AbortController();
    const running = runUntilAborted(app, stopping.signal, () => 60_000);
    stopping.abort();
    await running;
    assert.deepEqual(app.calls, ['start', 'stop']);
  });

  it('stops what could not start, and tells why it could not', async () => {
    const app = createApp({ start: () => Promise.reject(new Error('port taken')) });
    await assert.rejects(
      runUntilAborted(app, new AbortController().signal, () => 60_000),
      /port taken/,
    );
    assert.deepEqual(app.calls, ['start', 'stop']);
  });

  it('does not wait for ever for the stop', async () => {
    const app = createApp({ stop: () => new Promise(() => {}) });
    await assert.rejects(
      runUntilAborted(app, AbortSignal.abort(), () => 50),
      /did not stop within 50 ms/,
    );
  });
});
