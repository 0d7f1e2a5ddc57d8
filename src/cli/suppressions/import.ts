import type { Queryable } from '../../postgres/pool.ts';
import { importSuppressions, type SuppressionImport } from '../../store/owners/suppressions.ts';
import type { CsvLine } from './csv.ts';

interface BadLine {
  readonly line: number;
  readonly problem: string;
}

interface NotedLine {
  readonly line: number;
  readonly note: string;
}

const BATCH = 2_000;

/** One file's way onto the lists, and how far it has come. */
export class Import {
  readonly bad: BadLine[] = [];
  readonly noted: NotedLine[] = [];
  added = 0;
  existing = 0;
  /** Of the last line that is on a list. */
  doneLine = 0;
  readonly #isStrict: boolean;
  readonly #onBatch: () => void;
  #pending: { readonly line: number; readonly row: SuppressionImport }[] = [];

  /** @param options `onBatch` is called when lines have come onto the lists */
  constructor({ strict = false, onBatch = () => {} }: { readonly strict?: boolean; readonly onBatch?: () => void }) {
    this.#isStrict = strict;
    this.#onBatch = onBatch;
  }

  /** Whether there is anything to tell of it. */
  get hasBegun(): boolean {
    return this.added + this.existing + this.bad.length + this.#pending.length > 0;
  }

  async run(db: Queryable, lines: AsyncIterable<CsvLine>): Promise<void> {
    try {
      for await (const line of lines) {
        this.#take(line);
        if (this.#pending.length >= BATCH && !this.#isStrict) await this.#flush(db);
      }
    } catch (error) {
      // The file ends here; what was read of it is good.
      if (!this.#isStrict) await this.#flush(db);
      throw error;
    }
    if (!this.#isStrict || this.bad.length === 0) await this.#flush(db);
  }

  #take(line: CsvLine): void {
    if ('problem' in line) {
      this.bad.push(line);
      return;
    }
    this.#pending.push(line);
    if (line.note !== undefined) this.noted.push({ line: line.line, note: line.note });
  }

  async #flush(db: Queryable): Promise<void> {
    while (this.#pending.length > 0) {
      const batch = this.#pending.slice(0, BATCH);
      const added = await importSuppressions(
        db,
        batch.map(({ row }) => row),
      );
      this.#pending = this.#pending.slice(BATCH);
      this.added += added;
      this.existing += batch.length - added;
      this.doneLine = batch.at(-1)?.line ?? this.doneLine;
      this.#onBatch();
    }
  }
}
