import { Refusal } from '../../message/refusal.ts';

export interface DataPace {
  /** Milliseconds from DATA to the end of the message at most. */
  readonly dataTimeout: number;
  /** Bytes a second on average over the last `dataGrace` milliseconds; 0: however slow. */
  readonly dataRate: number;
  readonly dataGrace: number;
}

export type TooSlow = 'data_timeout' | 'data_rate';

/** Milliseconds between two looks at least, where the grace is longer. */
const INTERVAL = 1_000;
/** Looks in the time of the grace at most, so that no long memory is needed. */
const LOOKS = 60;

/** How much had arrived when it was looked at. */
interface Look {
  readonly at: number;
  readonly bytes: number;
}

/**
 * Watches how a message arrives. A client that sends a byte now and then keeps a connection and memory for as long as it
 * likes: no time-out of silence ever ends it. What came before the last `dataGrace` does not count, or a burst would buy it
 * the time that it saved.
 *
 * @param received bytes so far
 * @param onTooSlow is called once, at most
 * @param clock milliseconds, of `ReadingTime` where the client is not always read
 * @returns ends the watch
 */
export function watchPace(
  pace: DataPace,
  received: () => number,
  onTooSlow: (why: TooSlow) => void,
  clock: () => number = () => performance.now(),
): () => void {
  const { dataTimeout, dataRate, dataGrace } = pace;
  const began = clock();
  const interval = Math.min(dataGrace, Math.max(INTERVAL, dataGrace / LOOKS));
  const looks: Look[] = [{ at: began, bytes: received() }];
  let timer: NodeJS.Timeout;
  const lookIn = (milliseconds: number): void => {
    timer = setTimeout(look, milliseconds);
  };
  const look = (): void => {
    const now = clock();
    // Timers fire a little early.
    if (now - began >= dataTimeout - 1) onTooSlow('data_timeout');
    else if (dataRate > 0 && isTooSlow(looks, { at: now, bytes: received() }, pace)) onTooSlow('data_rate');
    else lookAgain(now);
  };
  const lookAgain = (now: number): void => {
    const left = began + dataTimeout - now;
    lookIn(dataRate > 0 ? Math.min(interval, left) : left);
  };
  lookAgain(began);
  return () => clearTimeout(timer);
}

/** Milliseconds: clients give a block of a message three minutes to be taken (RFC 5321 section 4.5.3.2.5). */
const LONGEST_PAUSE = 30_000;

/** The time for which a message is read: no other is its client's. */
export class ReadingTime {
  /** Since when it is not read; null where it is. */
  #pausedAt: number | null = null;
  /** Milliseconds for which it was not, before that. */
  #paused = 0;

  get isPaused(): boolean {
    return this.#pausedAt !== null;
  }

  /** Milliseconds; only differences count. */
  now(): number {
    return (this.#pausedAt ?? performance.now()) - this.#paused;
  }

  /**
   * Stands still until more of the message is wanted, but no longer than half a minute: so that no client gives up, and one that has
   * gone is noticed, a piece is read now and then all the same.
   */
  async pause(wanted: Promise<void>): Promise<void> {
    const began = performance.now();
    this.#pausedAt = began;
    const { promise: isLong, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, LONGEST_PAUSE).unref();
    await Promise.race([wanted, isLong]);
    clearTimeout(timer);
    this.#pausedAt = null;
    this.#paused += performance.now() - began;
  }
}

/** @param looks those of the last `dataGrace`, and the one before; `now` is added to them */
function isTooSlow(looks: Look[], now: Look, { dataRate, dataGrace }: DataPace): boolean {
  looks.push(now);
  const isBefore = (look: Look | undefined): boolean => look !== undefined && now.at - look.at >= dataGrace - 1;
  while (isBefore(looks[1])) looks.shift();
  const [first] = looks;
  return first !== undefined && isBefore(first) && now.bytes - first.bytes < (dataRate * (now.at - first.at)) / 1000;
}

/** `421 4.4.2`, which ends the connection: the client would go on as slowly otherwise. */
export function tooSlowRefusal(rule: TooSlow): Refusal {
  const text = {
    data_timeout: 'The message took too long to arrive: try again',
    data_rate: 'The message arrives too slowly: try again on a better line',
  }[rule];
  return new Refusal({ code: 421, enhancedCode: '4.4.2', text, rule });
}
