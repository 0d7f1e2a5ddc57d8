import { Bell } from '../flow/bell.ts';
import { repeat } from '../flow/loop.ts';
import type { Logger } from '../observability/log.ts';
import type { Queryable } from '../postgres/pool.ts';
import { findTouched } from '../store/inbox/changes.ts';

/** What happened to messages between two looks. */
export interface Changes {
  /** New ones, and those that something happened to. */
  readonly ids: readonly string[];
  readonly removed: readonly string[];
}

export type ChangeListener = (changes: Changes) => void;

/** Milliseconds between two looks, while somebody watches. */
const INTERVAL = 300;

/** Looks for what happens to messages, in whatever process, for as long as somebody wants to know. */
export class LiveChanges {
  readonly #db: Queryable;
  readonly #onlyCaptured: () => boolean;
  readonly #logger: Logger;
  readonly #listeners = new Set<ChangeListener>();
  readonly #bell = new Bell();
  #states: ReadonlyMap<string, string> | null = null;
  #watching: AbortController | null = null;
  #waiting = 0;
  #mark = 0;

  /** @param onlyCaptured whether only what goes to nobody is told of */
  constructor(db: Queryable, onlyCaptured: () => boolean, logger: Logger) {
    this.#db = db;
    this.#onlyCaptured = onlyCaptured;
    this.#logger = logger;
  }

  /** Tells of all that happens from now on. @returns ends it */
  watch(listener: ChangeListener): () => void {
    this.#listeners.add(listener);
    this.#adjust();
    return () => {
      this.#listeners.delete(listener);
      this.#adjust();
    };
  }

  /** Names this moment for `changed`. */
  get mark(): number {
    return this.#mark;
  }

  /**
   * Resolves when something has happened, or may have since nobody looked before; or when the signal comes.
   *
   * @param since the `mark` from before the caller looked itself, so that what came meanwhile counts
   */
  async changed(signal: AbortSignal, since: number): Promise<void> {
    if (since !== this.#mark) return;
    this.#waiting += 1;
    this.#adjust();
    await this.#bell.heard(signal);
    this.#waiting -= 1;
    this.#adjust();
  }

  /** Tells of messages that are gone, which no look finds out. */
  removed(ids: readonly string[]): void {
    this.#tell({ ids: [], removed: ids });
  }

  #adjust(): void {
    const isWanted = this.#listeners.size + this.#waiting > 0;
    if (isWanted && this.#watching === null) {
      this.#watching = new AbortController();
      this.#states = null;
      const { signal } = this.#watching;
      const onFault = (error: unknown) => this.#logger.debug({ err: error }, 'changes not looked for');
      void repeat(() => this.#look(), { signal, first: 0, pause: INTERVAL, onFault, ref: false });
    } else if (!isWanted) {
      this.#watching?.abort();
      this.#watching = null;
    }
  }

  async #look(): Promise<void> {
    const touched = await findTouched(this.#db, this.#onlyCaptured());
    const before = this.#states;
    this.#states = new Map(touched.map(({ id, state }) => [id, state]));
    if (before === null) return this.#ring();
    const ids = touched.filter(({ id, state }) => before.get(id) !== state).map(({ id }) => id);
    if (ids.length > 0) this.#tell({ ids, removed: [] });
  }

  #ring(): void {
    this.#mark += 1;
    this.#bell.ring();
  }

  #tell(changes: Changes): void {
    this.#ring();
    for (const listener of this.#listeners) listener(changes);
  }
}
