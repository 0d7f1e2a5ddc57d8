import type { Logger } from '../../observability/log.ts';

/** Milliseconds between two lines of the log. */
const INTERVAL = 60_000;

/** Says that the queue has jobs of messages that are not this program's, now and then, however many there are. */
export class Strangers {
  readonly #logger: Logger;
  #saidAt = Number.NEGATIVE_INFINITY;
  #unsaid = 0;

  constructor(logger: Logger) {
    this.#logger = logger;
  }

  met(emailId: string): void {
    this.#unsaid += 1;
    const now = performance.now();
    if (now - this.#saidAt < INTERVAL) return;
    this.#logger.warn(
      { emailId, jobs: this.#unsaid },
      'the queue has jobs of messages that no relay of this database has accepted; they are left to whoever else reads it. An ' +
        'OpenSend and this worker need a queue and a database each',
    );
    this.#saidAt = now;
    this.#unsaid = 0;
  }
}
