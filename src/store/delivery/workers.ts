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
