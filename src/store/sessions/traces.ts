import type { Queryable } from '../../postgres/pool.ts';

/** Whose sessions somebody looks on at; what is null is any. */
export interface TraceSubject {
  /** The id of a key. */
  readonly keyId: string | null;
  /** An address, or a network in CIDR notation. */
  readonly client: string | null;
  /** In the form in which addresses are compared. */
  readonly recipient: string | null;
}

export interface Trace extends TraceSubject {
  readonly id: string;
}

/** A line of a session, as somebody who looks on sees it. */
export interface TraceLine {
  readonly at: Date;
  readonly pod: string;
  /** As the log has it. */
  readonly session: string;
  readonly clientAddress: string;
  /** `C` the client, `S` the relay, `-` a remark. */
  readonly by: string;
  readonly text: string;
}

/** Seconds that a trace lasts when nobody puts its end off. */
const LASTS = 15;
const LINES_AT_ONCE = 1_000;

/** Begins a trace, or puts its end off. */
const KEEP = `
  insert into smtp_relay_traces (id, key_id, client, recipient, until)
  values ($1, $2, $3, $4, now() + make_interval(secs => ${LASTS}))
  on conflict (id) do update set until = excluded.until`;

const END = 'delete from smtp_relay_traces where id = $1';

const FIND = `
  select id, key_id as "keyId", client, recipient from smtp_relay_traces where until > now() order by id`;

/** Who is not there any more is written nothing for. $1: the lines, JSON. */
const WRITE = `
  insert into smtp_relay_trace_lines (trace_id, at, pod, session, client_address, said_by, line)
  select t.id, l.at, l.pod, l.session, l."clientAddress", l.by, l.text
    from rows from (jsonb_to_recordset($1::jsonb) as (
           "traceId" uuid, at timestamptz, pod text, session text, "clientAddress" text, by text, text text))
         with ordinality as l ("traceId", at, pod, session, "clientAddress", by, text, nth)
    join smtp_relay_traces t on t.id = l."traceId" and t.until > now()
   order by l.nth`;

/** What is fetched is gone, so that lines which are committed late are not missed. */
const TAKE = `
  with taken as (
    delete from smtp_relay_trace_lines
     where id = any (array(select id from smtp_relay_trace_lines where trace_id = $1 order by id limit ${LINES_AT_ONCE}))
    returning *
  )
  select at, pod, session, client_address as "clientAddress", said_by as by, line as text from taken order by at, id`;

const DELETE_OLD = `delete from smtp_relay_traces where until < now() - interval '1 minute'`;

/** Begins a trace, or has it go on for another quarter of a minute. */
export async function keepTrace(db: Queryable, { id, keyId, client, recipient }: Trace): Promise<void> {
  await db.query(KEEP, [id, keyId, client, recipient]);
}

/** Ends it, with all that is not fetched. */
export async function endTrace(db: Queryable, id: string): Promise<void> {
  await db.query(END, [id]);
}

/** Those that somebody looks on at now. */
export async function findTraces(db: Queryable): Promise<Trace[]> {
  return (await db.query<Trace>(FIND)).rows;
}

export async function writeTraceLines(
  db: Queryable,
  lines: readonly (TraceLine & { readonly traceId: string })[],
): Promise<void> {
  await db.query(WRITE, [JSON.stringify(lines)]);
}

/** Fetches what was said since the last time, in the order in which it was. */
export async function takeTraceLines(db: Queryable, id: string): Promise<TraceLine[]> {
  return (await db.query<TraceLine>(TAKE, [id])).rows;
}

/** Forgets those whose end nobody has put off. */
export async function deleteOldTraces(db: Queryable): Promise<void> {
  await db.query(DELETE_OLD);
}
