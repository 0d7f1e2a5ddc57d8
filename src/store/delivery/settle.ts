import type pg from 'pg';
import { Batcher } from '../../flow/batcher.ts';
import { rest } from '../../flow/loop.ts';
import { Pauses } from '../../flow/retry.ts';
import type { Logger } from '../../observability/log.ts';
import { inTransaction } from '../../postgres/pool.ts';
import { isTemporary, refusesAll, untilAnswered } from '../../postgres/until-answered.ts';
import type { Settled, Settlement } from './claim.ts';
import { type Facts, hasFacts, writeBareFacts } from './facts.ts';
import { type Journal, type JournalEntry, type Left, NO_JOURNAL } from './journal.ts';
import { writeSettlements } from './write-settlements.ts';

export type { Attempt, ProviderError, Settled, Settlement, Standing } from './claim.ts';

export interface SettlerDependencies {
  readonly pool: pg.Pool;
  readonly worker: string;
  /** Where outcomes are kept that the database has not taken yet. Left out, nowhere. */
  readonly journal?: Journal;
  /** Holds the worker up where the database takes no outcomes. */
  readonly standstill?: Standstill;
  readonly logger: Logger;
}

const MAX_BATCH = 64;
/** Tries of what the database refuses: a webhook that is deleted at the same moment, for instance, is not there the next time. */
const MAX_REFUSALS = 3;
/** Milliseconds between two tries of what it goes on refusing. */
const PAUSE = { first: 500, longest: 10_000 };

/**
 * Writes what became of messages: attempts, row, next try, events, due webhook deliveries and the end of the claim, by one
 * commit. Concurrent settlements share it.
 */
export class Settler {
  readonly #dependencies: Required<SettlerDependencies>;
  readonly #batcher: Batcher<Facts, Settled>;

  constructor(dependencies: SettlerDependencies) {
    const { journal = NO_JOURNAL, standstill = new Standstill(dependencies.logger) } = dependencies;
    this.#dependencies = { ...dependencies, journal, standstill };
    this.#batcher = new Batcher({
      run: settlements => this.#write(settlements),
      maxItems: MAX_BATCH,
      concurrency: 2,
      interval: 5,
      isolates: error => !isTemporary(error),
    });
  }

  /**
   * Writes a settlement. What was sent must not be forgotten, or it would be sent again: while the database cannot be reached
   * it is tried again, until the signal; where it refuses what events and notice say, it is written without them; and where
   * it refuses even that, nothing more is sent until it takes it. Until it is written, it is in the journal.
   *
   * @param left where it is what an earlier worker has left in the journal
   * @throws the database's last error at the signal, and where it is this settlement alone that is refused
   */
  async settle(settlement: Settlement, signal: AbortSignal, left?: Left): Promise<Settled> {
    const facts = left?.facts ?? { settlement, worker: this.#dependencies.worker };
    const entry = left?.entry ?? this.#dependencies.journal.entry(facts);
    try {
      const settled = await this.#persist(facts, entry, signal);
      await entry.forget();
      return settled;
    } catch (error) {
      await entry.keep();
      throw error;
    }
  }

  async #persist(facts: Facts, entry: JournalEntry, signal: AbortSignal): Promise<Settled> {
    const { logger } = this.#dependencies;
    const { emailId } = facts.settlement.claim;
    const onFault = (error: unknown) => {
      void entry.keep();
      logger.warn({ err: error, emailId }, 'outcome not written yet');
    };
    const write = (what: Facts) => untilAnswered(() => this.#batcher.add(what), { signal, onFault });
    for (let refusals = 0; refusals < MAX_REFUSALS; refusals += 1) {
      try {
        return await write(facts);
      } catch (error) {
        if (isTemporary(error)) throw error;
        logger.error({ err: error, emailId }, 'the database refuses an outcome');
      }
    }
    try {
      return await write({ ...facts, settlement: { ...facts.settlement, events: [], notice: null } });
    } catch (error) {
      if (isTemporary(error)) throw error;
      return await this.#failClosed(facts, { entry, signal, error });
    }
  }

  /**
   * Writes what earlier workers have left in the journal, as far as it is about messages of this database. What is refused stays
   * there.
   *
   * @throws the database's last error at the signal
   */
  async settleLeft(signal: AbortSignal): Promise<void> {
    const { pool, journal, logger } = this.#dependencies;
    const all = await journal.read();
    if (all.length === 0) return;
    const ids = all.map(({ facts }) => facts.settlement.claim.emailId);
    const find = () => pool.query<{ id: string }>('select id from emails where id = any($1::uuid[])', [ids]);
    const onFault = (error: unknown) => logger.warn({ err: error }, 'the journal waits for the database');
    const { rows } = await untilAnswered(find, { signal, onFault });
    const known = new Set(rows.map(({ id }) => id));
    const ours = all.filter(({ facts }) => known.has(facts.settlement.claim.emailId));
    if (ours.length < all.length) {
      logger.info(
        { outcomes: all.length - ours.length },
        'the journal has outcomes of messages that another database knows',
      );
    }
    if (ours.length === 0) return;
    const settle = (left: Left) =>
      this.settle(left.facts.settlement, signal, left).then(
        () => 1,
        () => 0,
      );
    const written = (await Promise.all(ours.map(settle))).reduce((sum: number, one) => sum + one, 0);
    logger.warn({ outcomes: ours.length, written }, 'outcomes that an earlier worker had left in its journal');
  }

  /**
   * What was sent is at least written down as sent, by a statement that needs nothing but its table. Where the database
   * refuses that too, or refuses the settlements of all messages, nothing is sent until it takes them.
   *
   * @throws the database's last error
   */
  async #failClosed(
    facts: Facts,
    { entry, signal, error }: { readonly entry: JournalEntry; readonly signal: AbortSignal; readonly error: unknown },
  ): Promise<Settled> {
    const { standstill } = this.#dependencies;
    await entry.keep();
    let isBare = await this.#writeBare(facts);
    if (isBare && !refusesAll(error)) throw error;
    using _ = standstill.begin(error);
    let last = error;
    for (const pauses = new Pauses(PAUSE); !signal.aborted; ) {
      await rest(pauses.next(), signal);
      if (signal.aborted) break;
      isBare ||= await this.#writeBare(facts);
      try {
        return await this.#batcher.add(facts);
      } catch (again) {
        last = again;
      }
    }
    throw last;
  }

  async #writeBare(facts: Facts): Promise<boolean> {
    if (!hasFacts(facts.settlement)) return true;
    const { pool, logger } = this.#dependencies;
    try {
      await writeBareFacts(pool, facts);
      return true;
    } catch (error) {
      logger.error(
        { err: error, emailId: facts.settlement.claim.emailId },
        'not even the bare outcome could be written',
      );
      return false;
    }
  }

  #write(settlements: readonly Facts[]): Promise<Settled[]> {
    return inTransaction(this.#dependencies.pool, db => writeSettlements(db, settlements), 'generic');
  }
}

/** Why it stands still is for the log: it names tables and roles. */
const REASON = 'the database refuses what sending needs, so nothing is sent';

/**
 * Whether a worker stands still: the database refuses what every message needs. Where it takes no outcomes, whatever was sent now
 * could not be written down, and would be sent again. It then claims nothing, begins no call, and is not ready.
 */
export class Standstill {
  readonly #logger: Logger;
  #causes = 0;
  #end = Promise.withResolvers<void>();

  constructor(logger: Logger) {
    this.#logger = logger;
  }

  get isOn(): boolean {
    return this.#causes > 0;
  }

  /** For readiness; empty while it works. */
  get reasons(): readonly string[] {
    return this.isOn ? [REASON] : [];
  }

  /** @returns what ends it, for this cause; it works again when all have ended */
  begin(error: unknown): Disposable {
    if (this.#causes === 0) {
      const what =
        'the database refuses what sending needs: this worker sends nothing until it takes it (a missing grant, or a table that was changed?)';
      this.#logger.fatal({ err: error }, what);
    }
    this.#causes += 1;
    let ended = false;
    return {
      [Symbol.dispose]: () => {
        if (ended) return;
        ended = true;
        this.#causes -= 1;
        if (this.#causes > 0) return;
        this.#end.resolve();
        this.#end = Promise.withResolvers();
        this.#logger.info('the database takes again what sending needs');
      },
    };
  }

  /** Waits for its end, or for the signal. */
  async passed(signal: AbortSignal): Promise<void> {
    if (!this.isOn || signal.aborted) return;
    const stopped = Promise.withResolvers<void>();
    const onAbort = () => stopped.resolve();
    signal.addEventListener('abort', onAbort, { once: true });
    await Promise.race([this.#end.promise, stopped.promise]);
    signal.removeEventListener('abort', onAbort);
  }
}
