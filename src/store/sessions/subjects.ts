import type { Queryable } from '../../postgres/pool.ts';
import { type KeptSession, SESSION_COLUMNS } from './sessions.ts';

/** All that is kept of one key, or of one address that has not logged in. */
export interface KeptSubject {
  /** As in `KeptSession`. */
  readonly subject: string;
  readonly isKey: boolean;
  /** null for an address, and for a key that there is no more. */
  readonly keyName: string | null;
  /** How many sessions are kept of it. */
  readonly sessions: number;
  /** The newest, the first of them first. */
  readonly newest: readonly KeptSession[];
}

/** Of each subject. */
const MOST_NEWEST = 5;

/**
 * $1 how many keys, and how many addresses: keys lose no place to strangers, of whom there may be very many. $2 those that are meant; null:
 * all. What is counted is read from an index alone; an address has a dot or a colon, and the id of a key has neither.
 */
const LIST = `
  with subjects as (
    select subject, is_key, sessions, last_at,
           row_number() over (partition by is_key order by last_at desc) as nth
      from (select subject, subject !~ '[.:]' as is_key, count(*)::integer as sessions, max(last_at) as last_at
              from smtp_relay_sessions where $2::text[] is null or subject = any($2)
             group by subject) s
  )
  select s.subject, s.is_key as "isKey", k.name as "keyName", s.sessions, newest.list as newest
    from subjects s
    left join api_keys k on s.is_key and k.id::text = s.subject
   cross join lateral (
     select json_agg(n order by n."lastAt" desc) as list
       from (select ${SESSION_COLUMNS} from smtp_relay_sessions where subject = s.subject
              order by last_at desc limit ${MOST_NEWEST}) n) newest
   where s.nth <= $1 and newest.list is not null
   order by s.last_at desc`;

/**
 * Keys and addresses that were refused something, the last one first.
 *
 * @param most so many keys, and so many addresses
 * @param subjects those that alone are meant; null for all
 */
export async function listSubjects(
  db: Queryable,
  most: number,
  subjects: ReadonlySet<string> | null = null,
): Promise<KeptSubject[]> {
  const { rows } = await db.query<KeptSubject>(LIST, [most, subjects && [...subjects]]);
  return rows.map(row => ({ ...row, newest: row.newest.map(withDates) }));
}

/** JSON has times as texts. */
function withDates(session: KeptSession): KeptSession {
  return { ...session, beganAt: new Date(session.beganAt), lastAt: new Date(session.lastAt) };
}
