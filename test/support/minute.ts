import { setTimeout as sleep } from 'node:timers/promises';

/** Waits for the next minute where this one is nearly over: what is counted by the minute then falls into one. */
export async function earlyInMinute(spare = 15_000): Promise<void> {
  const left = 60_000 - (Date.now() % 60_000);
  if (left < spare) await sleep(left + 50);
}
