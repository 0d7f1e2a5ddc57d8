import { Bell } from '../../flow/bell.ts';
import { Outage } from '../../flow/outage.ts';
import type { Logger } from '../../observability/log.ts';
import type { QueueMessage } from './calls.ts';
import type { Fate, MessageSink } from './reception.ts';

export interface EventMessagesOptions {
  /** Records bodies (`EventQueueOptions`). */
  readonly handle: (bodies: readonly string[]) => Promise<readonly boolean[]>;
  /** Messages in hand at most. */
  readonly limit: number;
  readonly stopped: AbortSignal;
  readonly logger: Logger;
}

const PAUSES = { firstPause: 250, longestPause: 5_000 };

/** Has notifications recorded, and says which messages are then to be deleted. */
export class EventMessages implements MessageSink {
  readonly #options: EventMessagesOptions;
  readonly #outage: Outage;
  readonly #freed = new Bell();
  #taken = 0;

  constructor(options: EventMessagesOptions) {
    this.#options = options;
    this.#outage = new Outage({ ...PAUSES, logger: options.logger, what: 'events cannot be recorded' });
  }

  get room(): number {
    return this.#options.limit - this.#taken;
  }

  async whenRoom(signal: AbortSignal): Promise<void> {
    while (this.room <= 0 && !signal.aborted) await this.#freed.heard(signal);
  }

  take(messages: readonly QueueMessage[]): readonly Promise<Fate>[] {
    this.#taken += messages.length;
    const recorded = this.#recordUntilDone(messages.map(({ body }) => body)).finally(() => {
      this.#taken -= messages.length;
      this.#freed.ring();
    });
    return messages.map((_, index) => recorded.then(done => (done[index] === true ? 'deleted' : 'left')));
  }

  /**
   * While the database is away this waits with the messages in hand: each time that SQS gives a message out counts towards
   * its dead-letter queue, and all of them would end up there.
   *
   * @returns which of them to delete. Never rejects.
   */
  async #recordUntilDone(bodies: readonly string[]): Promise<readonly boolean[]> {
    const { handle, stopped } = this.#options;
    while (!stopped.aborted) {
      try {
        await this.#outage.passed(stopped);
        const done = await handle(bodies);
        this.#outage.succeeded();
        return done;
      } catch (error) {
        if (!stopped.aborted) this.#outage.failed(error);
      }
    }
    return [];
  }
}
