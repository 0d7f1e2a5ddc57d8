import type { Queryable } from '../../postgres/pool.ts';
import { forgetsOld } from './forget-old.ts';

/** What a line may be the end of, on the way of a message. */
export type SessionStep = 'connect' | 'tls' | 'login' | 'receive' | 'checks' | 'commit';

/** One line of a session: milliseconds from its beginning, who says it (client, relay, or a remark of ours), and what. */
export type SessionLine = readonly [at: number, by: 'C' | 'S' | '-', text: string, step?: SessionStep];

/** A session in which something was not accepted. No line of it has a credential, or anything of a message but its size. */
export interface KeptSession {
  /** As the log has it. */
  readonly id: string;
  /** The id of the key; or the client's address, an IPv6 network of 64 bits, where it has not logged in. */
  readonly subject: string;
  readonly clientAddress: string;
  readonly pod: string;
  readonly beganAt: Date;
  /** When it last said anything that is here. */
  readonly lastAt: Date;
  /** What was last refused: at which step, by which rule, and the reply. */
  readonly step: string;
  readonly rule: string;
  readonly reply: string;
  /** How often something was. */
  readonly refusals: number;
  readonly lines: readonly SessionLine[];
}

export interface SessionFilter {
  /** As in `KeptSession`; any unless given. */
  readonly subject?: string | undefined;
  readonly clientAddress?: string | undefined;
  readonly since?: Date | undefined;
  readonly limit: number;
}

/** So many are kept of one subject, the newest, and so many of all. */
const MOST_OF_SUBJECT = 200;
const MOST = 100_000;

/** SQL: a row of `smtp_relay_sessions` as `KeptSession`. */
export const SESSION_COLUMNS = `
  id, subject, client_address as "clientAddress", pod, began_at as "beganAt", last_at as "lastAt", step, rule, reply,
  refusals, lines`;

/** $1: the sessions, JSON. Those that go on are written anew. In one order, so that two relays never wait for each other. */
const WRITE = `
  with written as (
    insert into smtp_relay_sessions
           (id, subject, client_address, pod, began_at, last_at, step, rule, reply, refusals, lines)
    select id, subject, "clientAddress", pod, "beganAt", "lastAt", step, rule, reply, refusals, lines
      from jsonb_to_recordset($1::jsonb) as s (
           id text, subject text, "clientAddress" text, pod text, "beganAt" timestamptz, "lastAt" timestamptz, step text,
           rule text, reply text, refusals integer, lines jsonb)
     order by id
    on conflict (id) do update
       set subject = excluded.subject, last_at = excluded.last_at, step = excluded.step, rule = excluded.rule,
           reply = excluded.reply, refusals = excluded.refusals, lines = excluded.lines
    returning id, subject
  )
  delete from smtp_relay_sessions
   where id = any (array(
     select old.id
       from (select subject, count(*) as sessions from written group by subject) w,
            lateral (select id from smtp_relay_sessions s
                      where s.subject = w.subject and id not in (select id from written)
                      order by last_at desc offset greatest(0, ${MOST_OF_SUBJECT} - w.sessions)) old))`;

const LIST = `
  select ${SESSION_COLUMNS} from smtp_relay_sessions
   where ($1::text is null or subject = $1) and ($2::text is null or client_address = $2)
     and ($3::timestamptz is null or last_at >= $3)
   order by last_at desc limit $4`;

const FIND = `
  select ${SESSION_COLUMNS} from smtp_relay_sessions where id = $1`;

/** Writes sessions, those that are known anew, and forgets the oldest of who has very many. */
export async function writeSessions(db: Queryable, sessions: readonly KeptSession[]): Promise<void> {
  await db.query(WRITE, [JSON.stringify(sessions)]);
}

/** Newest first. */
export async function listSessions(db: Queryable, filter: SessionFilter): Promise<KeptSession[]> {
  const { subject = null, clientAddress = null, since = null, limit } = filter;
  return (await db.query<KeptSession>(LIST, [subject, clientAddress, since, limit])).rows;
}

/** null where it is not kept. */
export async function findSession(db: Queryable, id: string): Promise<KeptSession | null> {
  return (await db.query<KeptSession>(FIND, [id])).rows[0] ?? null;
}

/** Forgets what has been kept for its time, and the oldest of very many. */
export const deleteOldSessions = forgetsOld({ table: 'smtp_relay_sessions', since: 'last_at', most: MOST });
