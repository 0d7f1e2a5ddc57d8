import { Refusal } from '../message/refusal.ts';

export interface DataPace {
  /** Milliseconds from DATA to the end of the message at most. */
  readonly dataTimeout: number;
  /** Bytes a second on average, once `dataGrace` milliseconds are over; 0: however slow. */
  readonly dataRate: number;
  readonly dataGrace: number;
}

export type TooSlow = 'data_timeout' | 'data_rate';

/** How often the pace is looked at, once the grace is over. */
const INTERVAL = 1_000;

/**
 * Watches how a message arrives. A client that sends a byte now and then keeps a connection and memory for as long as it
 * likes: no time-out of silence ever ends it.
 *
 * @param received bytes so far
 * @param onTooSlow is called once, at most
 * @returns ends the watch
 */
export function watchPace(pace: DataPace, received: () => number, onTooSlow: (why: TooSlow) => void): () => void {
  const { dataTimeout, dataRate, dataGrace } = pace;
  const began = performance.now();
  let timer: NodeJS.Timeout;
  const lookIn = (milliseconds: number): void => {
    timer = setTimeout(look, milliseconds);
  };
  const look = (): void => {
    const elapsed = performance.now() - began;
    // Timers fire a little early.
    if (elapsed >= dataTimeout - 1) onTooSlow('data_timeout');
    else if (dataRate > 0 && elapsed >= dataGrace - 1 && received() < (dataRate * elapsed) / 1000)
      onTooSlow('data_rate');
    else lookIn(Math.min(dataTimeout - elapsed, INTERVAL));
  };
  lookIn(dataRate > 0 ? Math.min(dataGrace, dataTimeout) : dataTimeout);
  return () => clearTimeout(timer);
}

/** `421 4.4.2`, which ends the connection: the client would go on as slowly otherwise. */
export function tooSlowRefusal(rule: TooSlow): Refusal {
  const text = {
    data_timeout: 'The message took too long to arrive: try again',
    data_rate: 'The message arrives too slowly: try again on a better line',
  }[rule];
  return new Refusal({ code: 421, enhancedCode: '4.4.2', text, rule });
}
