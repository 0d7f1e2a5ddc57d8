import assert from 'node:assert/strict';
import { it } from 'node:test';
import { pino } from 'pino';
import { createRegistry } from '../../src/observability/metrics.ts';
import { createDatabaseClock } from '../../src/postgres/clock.ts';
import { startReceiver } from './receiver.ts';
import { createSystem, found } from './system.ts';

const SIX_MINUTES = 360_000;

it("signs by the database's clock where that of the machine is minutes off, and warns of it", async t => {
  const system = await createSystem(t);
  const receiver = await startReceiver(t);
  await system.endpoint(receiver.url);
  const lines: string[] = [];
  const registry = createRegistry();
  let local = () => Date.now() + SIX_MINUTES;
  let isAway = false;
  const query = (text: string) => (isAway ? Promise.reject(new Error('away')) : system.pool.query(text));
  const clock = createDatabaseClock({
    db: { query } as unknown as typeof system.pool,
    logger: pino({ level: 'warn' }, { write: line => void lines.push(line) }),
    registry,
    interval: 10,
    local: () => local(),
  });
  await clock.start();
  t.after(() => clock.stop());
  await system.events();
  system.dispatcher({}, { now: clock.now });
  const { headers } = await found(() => receiver.received[0]);
  const stamped = Number(headers['webhook-timestamp']) * 1000;
  assert.ok(Math.abs(stamped - Date.now()) < 60_000, `${stamped - Date.now()} ms off`);
  assert.match(await registry.metrics(), /smtp_relay_clock_offset_seconds 3(59|60)/);
  await new Promise(resolve => setTimeout(resolve, 100));
  assert.equal(lines.length, 1);
  assert.match(lines[0] ?? '', /"seconds":360,.*clock is wrong/);
  // Without the database the difference stays, and it follows a clock that was set.
  isAway = true;
  assert.ok(Math.abs(clock.now().getTime() - Date.now()) < 60_000);
  local = Date.now;
  isAway = false;
  await found(() => Math.abs(clock.now().getTime() - Date.now()) < 60_000);
});
