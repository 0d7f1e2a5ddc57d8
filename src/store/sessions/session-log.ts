import { Counter } from 'prom-client';
import { GatheredWrites } from '../../flow/gathered-writes.ts';
import type { Logger } from '../../observability/log.ts';
import type { Registry } from '../../observability/metrics.ts';
import type { Onlookers, WatchedTranscript } from './onlookers.ts';
import type { KeptSession, SessionLine } from './sessions.ts';

/** A session, as it is when it is written. */
export interface SessionSource {
  readonly id: string;
  /** As in `KeptSession`. */
  readonly subject: string;
  snapshot(): Omit<KeptSession, 'pod'>;
}

export interface SessionLogOptions {
  readonly write: (sessions: readonly KeptSession[]) => Promise<void>;
  /** Milliseconds that sessions are kept; 0: none is. */
  readonly period: () => number;
  readonly pod: string;
  /** Who looks on at sessions as they happen. */
  readonly onlookers: Onlookers;
  readonly metrics: SessionLogMetrics;
  readonly logger: Logger;
}

/** Sessions of one statement, and of one subject among them: who fails all the time takes nobody's place. */
const MOST = 50;
const MOST_OF_SUBJECT = 5;
/** Milliseconds between two statements. */
const INTERVAL = 1_000;
/** Milliseconds between two lines in the log about the same. */
const COMPLAINS = 60_000;

/**
 * Writes sessions in which something was not accepted, beside the path of messages: offering one waits for nothing and never
 * fails. What is more than can be written is left out.
 */
export class SessionLog {
  readonly #options: SessionLogOptions;
  #pending = new Map<string, SessionSource>();
  #ofSubject = new Map<string, number>();
  readonly #writes = new GatheredWrites({ write: () => this.#write(), interval: INTERVAL });
  #complainedAt = Number.NEGATIVE_INFINITY;

  constructor(options: SessionLogOptions) {
    this.#options = options;
  }

  get isOn(): boolean {
    return this.#options.period() > 0;
  }

  /** Whether what is said in a session that begins now is of interest to anybody. */
  get isHeard(): boolean {
    return this.isOn || this.#options.onlookers.isAny;
  }

  /** A line that was just added to those of a session. */
  said(session: WatchedTranscript, line: SessionLine): void {
    if (this.#options.onlookers.isAny) this.#options.onlookers.said(session, line);
  }

  /** Has a session written soon, as it is by then. As often as one likes. */
  offer(session: SessionSource): void {
    if (!this.isOn || this.#pending.has(session.id)) return;
    const ofSubject = this.#ofSubject.get(session.subject) ?? 0;
    if (this.#pending.size >= MOST || ofSubject >= MOST_OF_SUBJECT) {
      this.#options.metrics.sessions.inc({ result: 'dropped' });
      return;
    }
    this.#pending.set(session.id, session);
    this.#ofSubject.set(session.subject, ofSubject + 1);
    this.#writes.soon();
  }

  /** Writes what is left. Never rejects. */
  flush(): Promise<void> {
    return this.#writes.flush();
  }

  async #write(): Promise<void> {
    const sessions = [...this.#pending.values()];
    if (sessions.length === 0) return;
    this.#pending = new Map();
    this.#ofSubject = new Map();
    const { write, pod, metrics, logger } = this.#options;
    try {
      await write(sessions.map(session => ({ ...session.snapshot(), pod })));
      metrics.sessions.inc({ result: 'kept' }, sessions.length);
    } catch (error) {
      metrics.sessions.inc({ result: 'failed' }, sessions.length);
      if (performance.now() - this.#complainedAt < COMPLAINS) return;
      this.#complainedAt = performance.now();
      logger.warn({ err: error, sessions: sessions.length }, 'sessions that were refused something are not kept');
    }
  }
}

export type SessionLogMetrics = ReturnType<typeof createSessionLogMetrics>;

const RESULTS = ['kept', 'dropped', 'failed'] as const;

export function createSessionLogMetrics(registry: Registry) {
  const sessions = new Counter({
    name: 'smtp_relay_refused_sessions_total',
    help: `Sessions in which something was not accepted, by what became of their transcript: ${RESULTS.join(', ')}; dropped where there were more than are written in a second`,
    labelNames: ['result'] as const,
    registers: [registry],
  });
  for (const result of RESULTS) sessions.inc({ result }, 0);
  return { sessions };
}
