import pg from 'pg';
import type { Queryable } from './pool.ts';

/** A parameter in binary form, in pieces that follow one another. */
export type Pieces = readonly Uint8Array[];

export type StreamedValue = string | number | null | Pieces;

/** What this file uses of the driver's connection. */
interface Connection {
  readonly stream: { write(bytes: Uint8Array, done: (error?: Error | null) => void): boolean };
  parse(statement: { readonly text: string; readonly name: string }): void;
  bind(statement: object): void;
  describe(portal: { readonly type: 'P'; readonly name: string }): void;
  execute(portal: { readonly portal: string }): void;
  sync(): void;
}

/** Bytes written at a time. */
const SLICE = 256 * 1024;
/** Pieces of fewer bytes are written together. */
const SMALL_PIECE = 16 * 1024;

/**
 * What goes well with large parameters, for their transaction. A plan that is made for values has them in it, copied for each place and
 * again for each step of planning: 7 MB took the server three times as long. And what is compressed in the database is compressed by LZ4,
 * where the server has it and nobody has chosen: its older method takes longer to find out that Base64 becomes no smaller than all else
 * takes together. The settings come from the function behind `pg_settings`: some close the view to all but administrators.
 */
const PREPARE = `
  select set_config('plan_cache_mode', 'force_generic_plan', true),
         (select set_config(name, 'lz4', true) from pg_show_all_settings()
           where name = 'default_toast_compression' and source = 'default' and 'lz4' = any (enumvals))`;

/**
 * Runs one statement whose parameters are large. The driver would put them all into one buffer of its own, which grows by
 * copying; here they go to the socket from where they are, slice by slice, as it takes them.
 *
 * @param values those in pieces must not change meanwhile
 */
export function queryStreamed<R extends pg.QueryResultRow>(
  db: Queryable,
  text: string,
  values: readonly StreamedValue[],
): Promise<pg.QueryResult<R>> {
  return new Promise((resolve, reject) => {
    submit<[unknown, pg.QueryResult<R>]>(db, new StreamedQuery(text, values), (error, results) => {
      if (error) reject(error);
      else resolve(results[1]);
    });
  });
}

type Callback<Result> = (error: Error | null | undefined, result: Result) => void;

/** Has the driver run a query of its own kind, which its types do not know. Of several statements the results are a list. */
function submit<Result>(db: Queryable, query: pg.Query, done: Callback<Result>): void {
  const run = db.query as unknown as (query: unknown, values: undefined, done: Callback<Result>) => void;
  run.call(db, query, undefined, done);
}

/** The driver's query, sent in another way; what comes back is read by it. */
class StreamedQuery extends pg.Query {
  readonly #text: string;
  readonly #values: readonly StreamedValue[];

  constructor(text: string, values: readonly StreamedValue[]) {
    super(text);
    this.#text = text;
    this.#values = values;
  }

  override submit = (connection: unknown): void => {
    // A connection that is lost tells the query of it by itself.
    void this.#send(connection as Connection).catch(() => {});
  };

  async #send(connection: Connection): Promise<void> {
    connection.parse({ text: PREPARE, name: '' });
    connection.bind({});
    run(connection);
    connection.parse({ text: this.#text, name: '' });
    for (const slice of slicesOf(bindMessage(this.#values))) await write(connection, slice);
    run(connection);
    // Up to here all is one transaction.
    connection.sync();
  }
}

/** Runs what was bound last. */
function run(connection: Connection): void {
  connection.describe({ type: 'P', name: '' });
  connection.execute({ portal: '' });
}

function write({ stream }: Connection, bytes: Uint8Array): Promise<void> {
  return new Promise((resolve, reject) => {
    stream.write(bytes, error => (error ? reject(error) : resolve()));
  });
}

/** Each write is a system call, and a packet for the server: a parameter's length is not one by itself. */
function* slicesOf(pieces: Pieces): Generator<Uint8Array> {
  let small: Uint8Array[] = [];
  for (const piece of pieces) {
    if (piece.length < SMALL_PIECE) {
      small.push(piece);
      continue;
    }
    if (small.length > 0) yield Buffer.concat(small);
    small = [];
    for (let start = 0; start < piece.length; start += SLICE) yield piece.subarray(start, start + SLICE);
  }
  if (small.length > 0) yield Buffer.concat(small);
}

const NULL_LENGTH = -1;
const TEXT_FORMAT = 0;
const BINARY_FORMAT = 1;

/** `Bind` (PostgreSQL, "Message Formats"), of the unnamed statement to the unnamed portal, with results as text. */
function bindMessage(values: readonly StreamedValue[]): Pieces {
  const formats = values.map(value => (isPieces(value) ? BINARY_FORMAT : TEXT_FORMAT));
  const parameters = values.flatMap(parameter);
  const body = [Buffer.of(0, 0), int16(values.length), ...formats.map(int16), int16(values.length), ...parameters];
  body.push(int16(1), int16(TEXT_FORMAT));
  return [Buffer.from('B'), int32(4 + sizeOf(body)), ...body];
}

function parameter(value: StreamedValue): Pieces {
  if (value === null) return [int32(NULL_LENGTH)];
  const pieces = isPieces(value) ? value : [Buffer.from(String(value))];
  return [int32(sizeOf(pieces)), ...pieces];
}

function isPieces(value: StreamedValue): value is Pieces {
  return typeof value === 'object' && value !== null;
}

function sizeOf(pieces: Pieces): number {
  return pieces.reduce((sum, { length }) => sum + length, 0);
}

function int16(value: number): Buffer {
  const bytes = Buffer.alloc(2);
  bytes.writeInt16BE(value);
  return bytes;
}

function int32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeInt32BE(value);
  return bytes;
}

/** `COPY` in binary form (PostgreSQL, "COPY", "Binary Format"): a signature and flags, then the length of an extension. */
const EXTENSION_LENGTH_AT = 15;
const HEADER = EXTENSION_LENGTH_AT + 4;
/** In the place of the number of fields. */
const END = -1;

/**
 * Reads bytes as they are, from rows with one column of type `bytea` that is not null. The driver knows results as text alone, which
 * takes Postgres more than twice the time. Rows of 32 KiB come without being put together from pieces by the driver first.
 *
 * @param select SQL without parameters: `COPY` takes none
 * @param size bytes that there are at most
 * @returns those of all rows, one behind the other; null where there is no row
 */
export function copyBytes(db: Queryable, select: string, size: number): Promise<Buffer | null> {
  return new Promise((resolve, reject) => {
    const copy = new CopyQuery(`copy (${select}) to stdout (format binary)`, size);
    submit<unknown>(db, copy, error => {
      if (error) reject(error);
      else resolve(copy.bytes());
    });
  });
}

/** The driver's query; it gives away what `COPY` sends, each row by itself, the first one behind the header. */
class CopyQuery extends pg.Query {
  readonly #bytes: Buffer;
  #length = 0;
  #rows = 0;
  #isBehindHeader = false;

  constructor(text: string, size: number) {
    super(text);
    this.#bytes = Buffer.allocUnsafeSlow(size);
  }

  /** The piece is the driver's, which writes into it again. */
  handleCopyData({ chunk }: { readonly chunk: Buffer }): void {
    let at = 0;
    if (!this.#isBehindHeader) {
      at = HEADER + chunk.readInt32BE(EXTENSION_LENGTH_AT);
      this.#isBehindHeader = true;
    }
    if (at === chunk.length || chunk.readInt16BE(at) === END) return;
    const length = chunk.readInt32BE(at + 2);
    this.#length += chunk.copy(this.#bytes, this.#length, at + 6, at + 6 + length);
    this.#rows += 1;
  }

  bytes(): Buffer | null {
    return this.#rows === 0 ? null : this.#bytes.subarray(0, this.#length);
  }
}
