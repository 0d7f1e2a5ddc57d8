import type { Queryable } from '../../postgres/pool.ts';
import { OLDEST_WAITING } from './oldest-waiting.ts';
import { LIVES_FOR } from './workers.ts';

/** What the database tells of the whole installation. */
export interface Fleet {
  /** Workers that live, the oldest first. */
  readonly workers: readonly { readonly id: string; readonly startedAt: Date; readonly silentMs: number }[];
  readonly liveWorkers: number;
  /** Messages that workers have claimed, and those that wait for a person; counted up to a limit. */
  readonly inHand: number;
  readonly held: number;
  /** Seconds since the acceptance of the message that waits longest; 0 where none does. */
  readonly oldestWaiting: number;
  /** Messages accepted in the last seconds, counted up to a limit. */
  readonly accepted: number;
  /** Outcomes of calls to transports in the last minutes, among the newest. */
  readonly outcomes: readonly { readonly transport: string; readonly outcome: string; readonly count: number }[];
  /** Ways out that no worker may try just now, since they were tried in vain or are being tried. */
  readonly shutWays: readonly string[];
}

/** Seconds in which accepted messages are counted. */
export const ACCEPTED_WITHIN = 10;
/** Minutes in which outcomes are. */
const OUTCOMES_WITHIN = 15;
const MOST_WORKERS = 50;
const MOST_CLAIMS = 10_000;
const MOST_ACCEPTED = 50_000;
const MOST_OUTCOMES = 1_000;
const MOST_WAYS = 50;

/**
 * Each part reads few rows, however many there are: of workers, claims and probes there are few, outcomes are read backwards along the
 * primary key, and messages of the last seconds along an index.
 */
const READ = `
  select (select coalesce(json_agg(w order by w."startedAt"), '[]')
            from (select id, started_at as "startedAt", 1000 * extract(epoch from now() - seen_at)::float8 as "silentMs"
                    from smtp_relay_workers where seen_at > now() - make_interval(secs => $1)
                   order by started_at limit ${MOST_WORKERS}) w) as workers,
         (select count(*)::integer from smtp_relay_workers where seen_at > now() - make_interval(secs => $1)) as "liveWorkers",
         claims."inHand", claims.held, ${OLDEST_WAITING} as "oldestWaiting",
         (select count(*)::integer
            from (select from smtp_relay_messages where created_at > now() - interval '${ACCEPTED_WITHIN} seconds'
                   limit ${MOST_ACCEPTED}) m) as accepted,
         (select coalesce(json_agg(o order by o.count desc), '[]')
            from (select transport, outcome, count(*)::integer as count
                    from (select transport, outcome, ended_at from smtp_relay_attempts
                           order by id desc limit ${MOST_OUTCOMES}) newest
                   where ended_at > now() - interval '${OUTCOMES_WITHIN} minutes' group by 1, 2) o) as outcomes,
         (select coalesce(json_agg(p.way order by p.way), '[]')
            from (select way from smtp_relay_probes where until > now() order by way limit ${MOST_WAYS}) p) as "shutWays"
    from (select count(*) filter (where state <> 'held')::integer as "inHand",
                 count(*) filter (where state = 'held')::integer as held
            from (select state from smtp_relay_claims limit ${MOST_CLAIMS}) c) claims`;

/** Reads the installation as a whole; few rows, however many there are. */
export async function readFleet(db: Queryable): Promise<Fleet> {
  const { rows } = await db.query<Fleet>(READ, [LIVES_FOR / 1_000]);
  const fleet = rows[0] as Fleet;
  return { ...fleet, workers: fleet.workers.map(worker => ({ ...worker, startedAt: new Date(worker.startedAt) })) };
}
