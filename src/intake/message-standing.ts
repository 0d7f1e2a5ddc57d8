import type { Standing } from '../flow/standing.ts';
import { Refusal } from '../message/refusal.ts';
import type { ApiKey } from '../store/keys/api-keys.ts';

/** Milliseconds. Less than the store lets pass between two times that it asks. */
const FRESH = 400;

/** Whether a message may still be stored: its client waits for it, nobody has cut it off, and its key is valid. */
export class MessageStanding implements Standing {
  readonly #controller: AbortController;
  readonly #key: ApiKey;
  readonly #look: () => Promise<ApiKey>;
  #confirmedAt = performance.now();

  /**
   * @param key as it was found just now
   * @param look finds it again. @throws Refusal where it is valid no more
   */
  constructor(controller: AbortController, key: ApiKey, look: () => Promise<ApiKey>) {
    this.#controller = controller;
    this.#key = key;
    this.#look = look;
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  get isConfirmed(): boolean {
    return performance.now() - this.#confirmedAt < FRESH;
  }

  async confirm(): Promise<void> {
    const asked = performance.now();
    try {
      const { id, userId, domain } = await this.#look();
      if (id !== this.#key.id || userId !== this.#key.userId || domain !== this.#key.domain) throw keyChanged();
      this.#confirmedAt = asked;
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      this.#controller.abort(error);
    }
  }
}

/** What the message was held to is not what holds now. */
function keyChanged(): Refusal {
  const text = 'The API key was changed meanwhile: send the message again';
  return new Refusal({ code: 451, enhancedCode: '4.7.0', text, rule: 'key_changed' });
}
