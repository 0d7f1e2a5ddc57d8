import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { generate, type MeasureOptions } from './measure.ts';
import { SCENARIOS } from './scenarios.ts';

const SERVER = fileURLToPath(new URL('../processes/bare-server.ts', import.meta.url));
const SECONDS = 4;
const WARM_UP_SECONDS = 1;

/**
 * How many 1 KB messages a second smtp-server takes on 64 connections when it throws them away. Shared machines are now
 * faster and now slower; the share of this that the relay reaches says more than its messages a second.
 */
export async function measureYardstick({ pipelining }: MeasureOptions): Promise<number> {
  const load = SCENARIOS.find(({ name }) => name === '1k-64')?.loads[0];
  if (!load) throw new Error('the scenario of the yardstick is gone');
  const server = fork(SERVER);
  try {
    const [port] = (await once(server, 'message')) as [number];
    const target = { host: '127.0.0.1', port, key: 'none' };
    const { measured, seconds } = await generate(
      { ...load, name: 'yardstick', target, pipelining, seconds: SECONDS, warmUpSeconds: WARM_UP_SECONDS },
      () => {},
    );
    return measured / seconds;
  } finally {
    server.disconnect();
  }
}
