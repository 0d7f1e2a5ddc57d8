import type { Queryable } from '../../postgres/pool.ts';

/** One walk over what may be old enough, a batch at a time. */
export interface Sweep {
  /** Handles at most about `limit` rows, by one statement. The next call goes on behind them. */
  next(limit: number): Promise<{ readonly removed: number; readonly finished: boolean }>;
  /** Remembers how far it came, where the next sweep need not begin anew. */
  close?(): Promise<void>;
}

/** The most bytes of messages that one statement deletes: their pieces in TOAST are rows, too. */
export const RAW_BYTES = 32 * 1024 * 1024;

/** SQL: how webhook deliveries stand that nobody makes any more, unless a person asks for it. */
export const TOLD = `('success', 'dead_letter', 'parked')`;

/** SQL: how messages stand that may still be sent. */
export const OPEN = `('queued', 'processing', 'scheduled')`;

/**
 * SQL: whether a message may still be sent. Here and in the sweeps, rows are looked up one by one by their key: a join would be
 * quicker at times, but at other times the planner would read a whole table for it (`offset 0` keeps it from making one).
 */
export function isOpen(emailId: string): string {
  return `exists (select from emails e where e.id = ${emailId} and e.status in ${OPEN} offset 0)`;
}

/** Where a walk in the order of (time, id) begins. Times stay text: a `Date` would lose their microseconds. */
export const BEGINNING = { at: '-infinity', id: '00000000-0000-0000-0000-000000000000' } as const;

interface Step {
  readonly removed: number;
  readonly at: string;
  readonly id: string;
  readonly pending?: string | null;
  /** Rows looked at, where fewer than asked for say that it was the last of them. */
  readonly examined?: number;
}

interface ByTimeOptions {
  readonly from?: string;
  /** Parameters of the statement behind the first four. */
  readonly values?: readonly unknown[];
  readonly onStep?: (step: Step) => void;
}

/** Walks in the order of time; the statement takes $1 seconds, $2 and $3 the row to go on behind, $4 rows. */
export function sweepByTime(db: Queryable, statement: string, seconds: number, options: ByTimeOptions = {}): Sweep {
  let { at, id }: { at: string; id: string } = { ...BEGINNING, at: options.from ?? BEGINNING.at };
  return {
    async next(limit) {
      const values = [seconds, at, id, limit, ...(options.values ?? [])];
      const [step] = (await db.query<Step>(statement, values)).rows;
      if (!step) return { removed: 0, finished: true };
      ({ at, id } = step);
      options.onStep?.(step);
      return { removed: step.removed, finished: step.examined !== undefined && step.examined < limit };
    },
  };
}
