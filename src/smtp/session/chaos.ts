import { rest } from '../../flow/loop.ts';
import type { ApiKey, Chaos, ChaosStage } from '../../intake/submission.ts';
import { Refusal } from '../../message/refusal.ts';
import type { SmtpMetrics } from '../metrics.ts';

/** Of the replies that can be asked for. */
const ENHANCED: Readonly<Record<number, string>> = { 421: '4.3.2', 450: '4.2.0', 451: '4.3.0', 550: '5.7.1' };

/**
 * What goes wrong on purpose for the key of a session, which only a key in sandbox has. All of it is decided here; each step of
 * the session asks.
 */
export class KeyChaos {
  readonly #metrics: Pick<SmtpMetrics, 'chaos'>;
  readonly #random: () => number;
  #chaos: Chaos | null = null;

  /** @param random from 0 to 1, without 1 */
  constructor(metrics: Pick<SmtpMetrics, 'chaos'>, random: () => number = Math.random) {
    this.#metrics = metrics;
    this.#random = random;
  }

  /** From now on, that of this key as it is now. */
  use({ chaos }: Pick<ApiKey, 'chaos'>): void {
    this.#chaos = chaos ?? null;
  }

  /** Before a step is taken: takes as long as it is to take. @throws Refusal where it is to fail */
  async before(stage: ChaosStage, signal = NEVER): Promise<void> {
    if (this.#chaos === null) return;
    await this.slowness(signal);
    const refusal = this.refusalOf(stage);
    if (refusal) throw refusal;
  }

  /** Takes as long as a reply is to take; null where that is no longer than ever. */
  slowness(signal = NEVER): Promise<void> | null {
    const { slowSeconds = 0 } = this.#chaos ?? {};
    if (slowSeconds === 0) return null;
    this.#metrics.chaos.inc({ action: 'slow' });
    return rest(slowSeconds * 1000, signal, false);
  }

  /** What a step is refused with, where it is; null where not. */
  refusalOf(stage: ChaosStage): Refusal | null {
    let drawn = this.#random() * 100;
    for (const { code, percent } of this.#chaos?.replies?.filter(reply => reply.stage === stage) ?? []) {
      drawn -= percent;
      if (drawn >= 0) continue;
      this.#metrics.chaos.inc({ action: 'refuse' });
      const whose = stage === 'connect' ? 'the API key that logs in from here' : 'this API key';
      const text = `Chaos: ${whose} is in sandbox, and ${percent} % are told so here`;
      return new Refusal({ code, enhancedCode: ENHANCED[code] ?? '4.0.0', text, rule: 'chaos' });
    }
    return null;
  }

  /** Whether the connection is to be cut in the middle of the message that begins now. */
  cutsMessage(): boolean {
    return this.#draws(this.#chaos?.cutPercent, 'cut');
  }

  /**
   * Holds back the reply to a message that is accepted.
   *
   * @param signal the client has gone, or the relay stops
   * @param onLate is told that it does, with the seconds
   */
  async holdBack(signal: AbortSignal, onLate: (seconds: number) => void): Promise<void> {
    const late = this.#chaos?.late;
    if (!late || !this.#draws(late.percent, 'late')) return;
    onLate(late.seconds);
    await rest(late.seconds * 1000, signal, false);
  }

  #draws(percent = 0, action: 'cut' | 'late'): boolean {
    const isDrawn = percent > 0 && this.#random() * 100 < percent;
    if (isDrawn) this.#metrics.chaos.inc({ action });
    return isDrawn;
  }
}

const NEVER = new AbortController().signal;
