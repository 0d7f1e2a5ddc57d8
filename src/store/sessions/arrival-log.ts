import { GatheredWrites } from '../../flow/gathered-writes.ts';
import type { Logger } from '../../observability/log.ts';
import type { Arrival, KeptArrival, Published } from './arrivals.ts';

export interface ArrivalLogOptions {
  readonly write: (arrivals: readonly Omit<KeptArrival, 'publishedAt'>[]) => Promise<void>;
  readonly writePublished: (published: readonly Published[]) => Promise<void>;
  /** Whether messages are wanted at all, and whether those of every key are: where nothing goes to anybody. */
  readonly wants: () => 'all' | 'captured' | 'none';
  readonly pod: string;
  readonly logger: Logger;
}

/** Arrivals of one statement; what is more in a second is left out. */
const MOST = 200;
/** Messages whose job is not known to be published as yet. */
const MOST_UNPUBLISHED = 2_000;
/** Milliseconds between two writes. */
const INTERVAL = 1_000;

/**
 * Writes how messages that go to nobody arrived, for the inbox, beside their path: nothing waits for it, and it never fails. Where mail
 * goes to people, nothing is ever given to it.
 */
export class ArrivalLog {
  readonly #options: ArrivalLogOptions;
  #pending = new Map<string, Arrival>();
  #published: Published[] = [];
  readonly #unpublished = new Set<string>();
  readonly #writes = new GatheredWrites({ write: () => this.#write(), interval: INTERVAL });

  constructor(options: ArrivalLogOptions) {
    this.#options = options;
  }

  /** Whether a message is kept. @param captured whether it goes to nobody, or its key is in sandbox */
  wants(captured: boolean): boolean {
    const wanted = this.#options.wants();
    return wanted === 'all' || (captured && wanted === 'captured');
  }

  /** Has it written soon. The same message again takes its place. */
  keep(arrival: Arrival): void {
    const { emailId } = arrival;
    if (this.#pending.size >= MOST && !this.#pending.has(emailId)) return;
    this.#pending.set(emailId, arrival);
    this.#unpublished.add(emailId);
    if (this.#unpublished.size > MOST_UNPUBLISHED) {
      const [oldest = ''] = this.#unpublished;
      this.#unpublished.delete(oldest);
    }
    this.#writes.soon();
  }

  /** The queue has these jobs now; those of other messages are none of its business. */
  published(jobs: readonly { readonly emailId: string }[]): void {
    if (this.#unpublished.size === 0) return;
    const at = new Date();
    for (const { emailId } of jobs) if (this.#unpublished.delete(emailId)) this.#published.push({ emailId, at });
    if (this.#published.length > 0) this.#writes.soon();
  }

  /** Writes what is left. Never rejects. */
  flush(): Promise<void> {
    return this.#writes.flush();
  }

  async #write(): Promise<void> {
    const [arrivals, published] = [[...this.#pending.values()], this.#published];
    this.#pending = new Map();
    this.#published = [];
    const { write, writePublished, pod, logger } = this.#options;
    try {
      if (arrivals.length > 0) await write(arrivals.map(arrival => ({ ...arrival, pod })));
      if (published.length > 0) await writePublished(published);
    } catch (error) {
      logger.debug({ err: error, messages: arrivals.length }, 'how messages arrived is not kept');
    }
  }
}
