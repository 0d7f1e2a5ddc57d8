import type { Logger } from '../../observability/log.ts';
import { type Probes, RENEW_PROBE_EVERY } from '../../store/delivery/workers.ts';
import type { RecipientOutcome, RouteFault } from '../transport/contract.ts';

/** `closed`: in use. `open`: not in use until its pause is over. `half-open`: one call tries whether it works again. */
export type CircuitState = 'closed' | 'open' | 'half-open';

/** What a call has told of the way out: that it works, or why it cannot be used; null: nothing. */
export type Verdict = 'works' | RouteFault | null;

export interface CircuitDependencies {
  /** A monotonic clock in milliseconds. */
  readonly now: () => number;
  /** Milliseconds between two tries of a message, at first and at most: probes are no rarer than that. */
  readonly pauses: { readonly firstPause: number; readonly longestPause: number };
  /** Numbers from 0 to 1. */
  readonly random?: () => number;
  /** Asks the other workers whether this one may try. Absent: it always may. */
  readonly askForTurn?: AskForTurn;
  /** Is told when it has become known whether this worker may try. */
  readonly onAnswer?: () => void;
  /** Is told when it opens, closes, or is open for another reason. */
  readonly onChange?: (circuit: Circuit) => void;
}

/** A call for which the circuit has said that it may begin. */
export interface Passage {
  readonly isProbe: boolean;
}

/** Said of the account as a whole, in so many words: once is enough. The others may be one message's bad luck. */
const CERTAIN: ReadonlySet<RouteFault> = new Set(['credentials', 'paused', 'quota']);
/** Of the others, so many in a row. */
const SUSPECT = 3;
/** Milliseconds, of what passes by itself; what a person has to see to is probed as often as messages are tried. */
const SHORT_PAUSE = 2_000;
const LONGEST_PAUSE = 300_000;
/** Milliseconds for which a turn is kept that nothing is tried with. */
const TURN_KEPT = 5_000;
/** Milliseconds between two questions for the turn. */
const LEAST_WAIT = 100;
/** What others find out is heard of within so many milliseconds. */
const LONGEST_WAIT = 10_000;
/** Calls at the same time by a way out that has not worked yet. Each that works lets one more begin. */
const FIRST_CALLS = 4;

/**
 * Whether one way out may be used. While it is open, one call at a time probes it, after pauses that double; the first that
 * works closes it. Workers take turns at that where they can agree. How many calls may be under way grows with those that worked, so that a way out that takes everything and
 * answers nothing holds a few messages and no more.
 */
export class Circuit {
  readonly #dependencies: CircuitDependencies;
  #reason: RouteFault | null = null;
  #held = false;
  #failures = 0;
  #openings = 0;
  #openedAt = 0;
  #until = 0;
  #expected = 0;
  #isAsking = false;
  #turn: { readonly turn: ProbeTurn; readonly since: number } | null = null;
  #probe: Passage | null = null;
  #calls = FIRST_CALLS;

  constructor(dependencies: CircuitDependencies) {
    this.#dependencies = dependencies;
  }

  get state(): CircuitState {
    if (this.#reason === null) return 'closed';
    return this.#probe === null ? 'open' : 'half-open';
  }

  /** null while it is closed. */
  get reason(): RouteFault | null {
    return this.#reason;
  }

  /** How many calls may be under way at the same time, as far as is known what it bears. */
  get calls(): number {
    return this.#reason === null ? this.#calls : 1;
  }

  /** It has worked since it was last in doubt. */
  get isProven(): boolean {
    return this.calls > FIRST_CALLS;
  }

  /** Milliseconds until a call may begin; 0: now. Infinity: nobody knows. */
  get wait(): number {
    if (this.#reason === null) return 0;
    if (this.#held || this.#probe !== null) return Number.POSITIVE_INFINITY;
    const pause = Math.max(0, this.#until - this.#dependencies.now());
    if (pause > 0) return pause;
    return this.#dependencies.askForTurn && this.#turn === null ? Number.POSITIVE_INFINITY : 0;
  }

  /** Milliseconds for which it is likely to stay as it is, where nobody is trying it just now. */
  get shutFor(): number {
    return Math.max(this.#until, this.#expected) - this.#dependencies.now();
  }

  /** There is something to try it with: asks for the turn where it is time. */
  seekTurn(): void {
    const { askForTurn, now } = this.#dependencies;
    if (this.#reason === null || this.#held || this.#probe !== null || now() < this.#until) return;
    if (this.#turn !== null && now() - this.#turn.since >= TURN_KEPT) this.#endTurn(null);
    if (askForTurn && this.#turn === null && !this.#isAsking) void this.#ask(askForTurn);
  }

  /** Only right after `wait` was 0; `end` is to follow. */
  begin(): Passage {
    const passage = { isProbe: this.#reason !== null };
    if (!passage.isProbe) return passage;
    this.#probe = passage;
    this.#turn?.turn.begin();
    return passage;
  }

  /** The message of that call is done with, whether or not a call was made. */
  end(passage: Passage): void {
    // A probe that told nothing leaves the next one to try at once.
    if (passage !== this.#probe) return;
    this.#probe = null;
    this.#endTurn(null);
  }

  tell(verdict: Verdict, passage: Passage): void {
    if (verdict === null) return;
    if (verdict === 'works') this.#worked(passage);
    else this.#failed(verdict, passage);
  }

  /** It is known without a call that nothing goes, and it will be known when something does. */
  hold(reason: RouteFault): void {
    if (this.#held && this.#reason === reason) return;
    this.#held = true;
    this.#endTurn(null);
    this.#open(reason);
  }

  /** What `hold` was about is over. */
  release(): void {
    if (!this.#held) return;
    this.#held = false;
    this.#close();
  }

  async #ask(askForTurn: AskForTurn): Promise<void> {
    const { now, onAnswer } = this.#dependencies;
    this.#isAsking = true;
    const answer = await askForTurn(now() - this.#openedAt);
    this.#isAsking = false;
    const isWanted = this.#reason !== null && !this.#held && this.#probe === null;
    if (typeof answer === 'object' && 'end' in answer) {
      if (isWanted) this.#turn = { turn: answer, since: now() };
      else answer.end(null);
    } else if (isWanted && answer === 'works') this.#close();
    else if (isWanted && answer !== 'works') {
      this.#expected = now() + answer.waitMs;
      this.#until = now() + Math.max(LEAST_WAIT, Math.min(answer.waitMs, LONGEST_WAIT));
    }
    onAnswer?.();
  }

  #endTurn(result: Parameters<ProbeTurn['end']>[0]): void {
    this.#turn?.turn.end(result);
    this.#turn = null;
  }

  #worked(passage: Passage): void {
    this.#failures = 0;
    if (this.#reason === null) this.#calls += 1;
    // What began before it opened says nothing of now.
    else if (passage.isProbe && !this.#held) this.#close();
  }

  #failed(reason: RouteFault, passage: Passage): void {
    if (this.#reason !== null) {
      if (passage === this.#probe) this.#open(reason);
      return;
    }
    this.#failures += 1;
    this.#calls = Math.max(1, Math.floor(Math.min(this.#calls, FIRST_CALLS) / 2));
    if (CERTAIN.has(reason) || this.#failures >= SUSPECT) this.#open(reason);
  }

  #open(reason: RouteFault): void {
    const { now, pauses, random = Math.random, onChange } = this.#dependencies;
    const isNew = this.#reason !== reason;
    const first = CERTAIN.has(reason) ? pauses.firstPause : Math.min(SHORT_PAUSE, pauses.firstPause);
    const pause = Math.min(LONGEST_PAUSE, pauses.longestPause, first * 2 ** Math.min(this.#openings, 30));
    this.#openings += 1;
    this.#reason = reason;
    this.#probe = null;
    // Never longer than the longest; workers that met the same do not come back together.
    const pauseMs = pause * (0.75 + random() / 4);
    this.#endTurn({ pauseMs });
    this.#openedAt = now();
    this.#until = this.#openedAt + pauseMs;
    if (isNew) onChange?.(this);
  }

  #close(): void {
    this.#endTurn('works');
    this.#reason = null;
    this.#probe = null;
    this.#failures = 0;
    this.#openings = 0;
    this.#calls = FIRST_CALLS + 1;
    this.#dependencies.onChange?.(this);
  }
}

/** What the outcomes of one call tell of the way out. A call of which nobody knows is one that nobody has answered. */
export function verdictOf(outcomes: readonly RecipientOutcome[]): Verdict {
  const told = outcomes.map(({ outcome }): Verdict => {
    if (outcome.kind === 'sent') return 'works';
    return outcome.reason ?? (outcome.kind === 'unknown' ? 'connect' : 'works');
  });
  if (told.includes('works')) return 'works';
  return told[0] ?? null;
}

/** What is the matter with only a part of the way out, so that the rest of it works; null where nothing is. */
export function partFault(outcomes: readonly RecipientOutcome[]): RouteFault | null {
  const reasons = outcomes.map(({ outcome }) => (outcome.kind !== 'sent' && outcome.ofPart && outcome.reason) || null);
  return reasons.includes(null) ? null : (reasons[0] ?? null);
}

/** The leave to try a way out that is shut; no other worker has it at the same time. */
export interface ProbeTurn {
  /** A try begins, however long it takes. */
  begin(): void;
  /** What came of it: that it works, that it does not and for how many milliseconds it is to be left alone, or nothing. */
  end(result: 'works' | { readonly pauseMs: number } | null): void;
}

/** In place of a turn: how many milliseconds others are waited for; or that they have found that it works. */
export type TurnAnswer = ProbeTurn | { readonly waitMs: number } | 'works';

/** Asks for the turn to try one way out. Never rejects. @param shutForMs milliseconds since it was last found shut */
export type AskForTurn = (shutForMs: number) => Promise<TurnAnswer>;

export interface ProbeTurnsDependencies {
  readonly probes: Pick<Probes, 'ask' | 'renew' | 'end'>;
  readonly logger: Logger;
}

const ALONE: ProbeTurn = { begin: () => {}, end: () => {} };

/** Has the workers agree through Postgres on who tries a way out. While it cannot be asked, each decides for itself. */
export function createProbeTurns({ probes, logger }: ProbeTurnsDependencies): (way: string) => AskForTurn {
  const onFault = (error: unknown): void =>
    logger.warn({ err: error }, 'workers do not agree just now on who tries a way out that is shut');

  function turnOf(way: string, probe: string): ProbeTurn {
    let renewal: NodeJS.Timeout | undefined;
    return {
      begin() {
        renewal = setInterval(() => void probes.renew(way, probe).catch(onFault), RENEW_PROBE_EVERY).unref();
      },
      end(result) {
        clearInterval(renewal);
        const works = result === 'works';
        const pauseMs = result === null || works ? 0 : result.pauseMs;
        probes.end(way, probe, { works, pauseMs }).catch(onFault);
      },
    };
  }

  return way => async shutForMs => {
    try {
      const answer = await probes.ask(way, shutForMs);
      if (answer.kind === 'granted') return turnOf(way, answer.probe);
      return answer.kind === 'works' ? 'works' : { waitMs: answer.waitMs };
    } catch (error) {
      onFault(error);
      return ALONE;
    }
  };
}
