/** Times in milliseconds. */
export interface SessionTimes {
  readonly loginTimeout: number;
  readonly idleTimeout: number;
  readonly sessionTimeout: number;
}

export type TimeLimit = 'login_timeout' | 'idle_timeout' | 'session_timeout';

/** What the clock looks at. Moments are those of `performance.now()`. */
export interface WatchedSession {
  /** Whether the relay owes the client an answer, or to read on, so that no silence is the client's. */
  readonly owesAnswer: boolean;
  /** Whether it receives a message, whose end has a deadline of its own. */
  readonly isReceiving: boolean;
  readonly needsLogIn: boolean;
  /** When the last whole command or piece of a message came, or the last reply went out. */
  readonly activeAt: number;
  /** Those in force. */
  readonly times: SessionTimes;
  /** Is called once, at most; the clock has stopped then. */
  timeIsOver(limit: TimeLimit): void;
}

/** What is under way is let finish, and looked at again so soon. */
const SOON = 1_000;
/** What `setTimeout` can wait. */
const MAX_TIMER = 2 ** 31 - 1;

/**
 * One timer a session for all that has a time. Bytes alone never put anything off: a client that sends half a command
 * now and then, or does not read what it is told, ends as a silent one does.
 */
export class SessionClock {
  readonly #beganAt: number;
  readonly #session: WatchedSession;
  #timer: NodeJS.Timeout | undefined;

  /** @param beganAt when the connection was accepted */
  constructor(beganAt: number, session: WatchedSession) {
    this.#beganAt = beganAt;
    this.#session = session;
    // The session is not greeted as yet.
    this.#lookIn(0);
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  /** Whether the session has lasted as long as it may. */
  get isOver(): boolean {
    return performance.now() >= this.#beganAt + this.#session.times.sessionTimeout;
  }

  #look(): void {
    const now = performance.now();
    const [limit, at] = this.#next(now);
    if (at <= now && limit) this.#session.timeIsOver(limit);
    else this.#lookIn(Math.ceil(at - now));
  }

  #lookIn(milliseconds: number): void {
    this.#timer = setTimeout(() => this.#look(), Math.min(milliseconds, MAX_TIMER)).unref();
  }

  /** What comes next, and when; no limit where it is only time to look again. */
  #next(now: number): readonly [limit: TimeLimit | null, at: number] {
    const { owesAnswer, isReceiving, needsLogIn, activeAt } = this.#session;
    const { loginTimeout, idleTimeout, sessionTimeout } = this.#session.times;
    if (owesAnswer) return [null, now + Math.min(SOON, idleTimeout)];
    const limits: [TimeLimit, number][] = [['idle_timeout', activeAt + idleTimeout]];
    if (needsLogIn) limits.push(['login_timeout', this.#beganAt + loginTimeout]);
    if (!isReceiving) limits.push(['session_timeout', this.#beganAt + sessionTimeout]);
    return limits.reduce((first, other) => (other[1] < first[1] ? other : first));
  }
}
