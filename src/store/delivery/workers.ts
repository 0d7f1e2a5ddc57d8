import type { Queryable } from '../../postgres/pool.ts';

const BEAT = `
  insert into smtp_relay_workers (id) values ($1)
  on conflict (id) do update set seen_at = now()`;

const COUNT_LIVE = `
  select count(*)::integer as live from smtp_relay_workers where seen_at > now() - make_interval(secs => $1)`;

const REMOVE = `
  delete from smtp_relay_workers where id = $1 or seen_at < now() - interval '1 day'`;

/** Milliseconds after its last sign of life for which a worker counts as one that lives. */
export const LIVES_FOR = 20_000;

/** Notes that this worker lives. @param id its own, new with each start */
export async function beat(db: Queryable, id: string): Promise<void> {
  await db.query(BEAT, [id]);
}

/** How many workers were heard of within so many milliseconds. */
export async function countLive(db: Queryable, within: number): Promise<number> {
  const { rows } = await db.query<{ live: number }>(COUNT_LIVE, [within / 1000]);
  return rows[0]?.live ?? 0;
}

/** Forgets a worker that ends, and those that were killed more than a day ago. */
export async function remove(db: Queryable, id: string): Promise<void> {
  await db.query(REMOVE, [id]);
}

/** What there is to be said to a worker that wants to try a way out that is shut. */
export type ProbeAnswer =
  | { readonly kind: 'granted'; readonly probe: string }
  /** Others try it, or have just tried it in vain. */
  | { readonly kind: 'refused'; readonly waitMs: number }
  /** Others have found that it works. */
  | { readonly kind: 'works' };

/** Seconds for which a try is waited for of which nothing is heard. */
const LEASE = 30;
/** How often that is to be renewed, in milliseconds. */
export const RENEW_PROBE_EVERY = 10_000;

/** $1 way; $2 seconds since the asking worker found it shut. */
const ASK = `
  with known as materialized (
    select until, coalesce(worked_at > now() - make_interval(secs => $2), false) as works
      from smtp_relay_probes where way = $1
  ), taken as (
    insert into smtp_relay_probes as p (way, until, probe)
    select $1, now() + interval '${LEASE} seconds', gen_random_uuid()
     where not exists (select from known where works or until > now())
    on conflict (way) do update set until = excluded.until, probe = excluded.probe where p.until <= now()
    returning probe
  )
  select (select probe from taken) as probe, coalesce((select works from known), false) as works,
         1000 * greatest(0, extract(epoch from (select until from known) - now()))::float8 as "waitMs"`;

const RENEW_PROBE = `
  update smtp_relay_probes set until = now() + interval '${LEASE} seconds' where way = $1 and probe = $2`;

/** $3 whether it works; $4 seconds for which it is left alone. */
const END_PROBE = `
  update smtp_relay_probes
     set until = now() + make_interval(secs => $4), probe = null, worked_at = case when $3 then now() else worked_at end
   where way = $1 and probe = $2`;

/** Has all workers try a way out that is shut one after the other. */
export class Probes {
  readonly #db: Queryable;

  constructor(db: Queryable) {
    this.#db = db;
  }

  /** @param shutForMs milliseconds since this worker last found it shut */
  async ask(way: string, shutForMs: number): Promise<ProbeAnswer> {
    const { rows } = await this.#db.query<{ probe: string | null; works: boolean; waitMs: number | null }>(ASK, [
      way,
      shutForMs / 1000,
    ]);
    const { probe = null, works = false, waitMs = null } = rows[0] ?? {};
    if (probe !== null) return { kind: 'granted', probe };
    return works ? { kind: 'works' } : { kind: 'refused', waitMs: waitMs ?? 0 };
  }

  /** The try takes its time. */
  async renew(way: string, probe: string): Promise<void> {
    await this.#db.query(RENEW_PROBE, [way, probe]);
  }

  /** @param pauseMs milliseconds for which nobody is to try it again */
  async end(way: string, probe: string, { works, pauseMs }: { works: boolean; pauseMs: number }): Promise<void> {
    await this.#db.query(END_PROBE, [way, probe, works, pauseMs / 1000]);
  }
}
