import type { Queryable } from '../../postgres/pool.ts';

/** What names what is shared. */
export interface RateKey {
  readonly region: string;
  /** What tells one account from another, without secrets. */
  readonly account: string;
}

/** What is known of an account in a region. */
export interface KnownRate {
  /** Recipients a second as SES said; null: not known. */
  readonly rate: number | null;
  /** What throttling has left of it. */
  readonly factor: number;
  /** Recipients that the day's quota still lets through; null: not known, or no quota. */
  readonly quotaLeft: number | null;
}

export interface RateGrant extends KnownRate {
  /** Milliseconds until what was taken may be used. */
  readonly waitMs: number;
}

/** What an account may send, as SES says. */
export interface AccountQuota {
  /** Recipients a second. */
  readonly rate: number | null;
  /** Recipients in 24 hours; null: not known, or without limit. */
  readonly quota: number | null;
  /** Of these in the last 24 hours. */
  readonly sent: number | null;
}

/** How much of the full rate comes back in a second after throttling: all of it within less than a minute. */
const RECOVERY = 0.02;
/** What is left of it after throttling, once a second at most, whoever heard it. */
const DECREASE = 0.7;
const LOWEST_FACTOR = 0.02;

const FACTOR = `least(1, known.factor + ${RECOVERY} * greatest(0, extract(epoch from now() - known.factor_at)))`;
/** An answer that nobody has renewed for this long says nothing any more: what was taken since then would never come back. */
const ANSWER_GOOD_FOR = '15 minutes';
const QUOTA_LEFT = `case when known.answered_at > now() - interval '${ANSWER_GOOD_FOR}' then known.quota - least(known.quota, known.sent + known.taken) end as "quotaLeft"`;
const KNOWN = `known.rate, known.factor, ${QUOTA_LEFT}`;

/** $3 recipients a second where the row knows of none; $4 the fixed rate, null where the row's counts. */
const rateWith = (factor: string) => `(coalesce($4::float8, known.rate, $3::float8) * ${factor})`;
/** Seconds that fill the bucket: one, and with less than one recipient a second as long as one takes. */
const fillTime = (rate: string) => `greatest(1, 1 / ${rate})`;

/**
 * $5 recipients. What is there counts from \`next_at\`, and for no longer than a full bucket takes. More than a bucketful goes when
 * the bucket is full, and those who come after wait the longer.
 */
const TAKE = `
  insert into smtp_relay_send_rates as known (region, account, next_at, taken)
  select $1, $2, now() + make_interval(secs => $5::float8 / new.rate - greatest(1, 1 / new.rate)), $5
    from (select coalesce($4::float8, $3::float8) as rate) as new
  on conflict (region, account) do update
     set factor = ${FACTOR}, factor_at = now(), taken = known.taken + $5,
         next_at = greatest(known.next_at, now() - make_interval(secs => ${fillTime(rateWith(FACTOR))}))
                   + make_interval(secs => $5::float8 / ${rateWith(FACTOR)})
  returning ${KNOWN},
            1000 * greatest(0, extract(epoch from known.next_at - now())
              - greatest(0, $5::float8 / ${rateWith('known.factor')} - ${fillTime(rateWith('known.factor'))}))::float8 as "waitMs"`;

const THROTTLE = `
  update smtp_relay_send_rates as known
     set factor = case when throttled_at > now() - interval '1 second' then ${FACTOR}
                       else greatest(${LOWEST_FACTOR}, ${FACTOR} * ${DECREASE}) end,
         factor_at = now(), next_at = greatest(next_at, now()),
         throttled_at = case when throttled_at > now() - interval '1 second' then throttled_at else now() end
   where region = $1 and account = $2
  returning ${KNOWN}`;

/** $3 seconds. Answers with whether it is the caller's turn. */
const BEGIN_ASKING = `
  insert into smtp_relay_send_rates as known (region, account, next_at, asked_at)
  values ($1, $2, now() - interval '1 second', now())
  on conflict (region, account) do update set asked_at = now()
   where known.asked_at is null or known.asked_at < now() - make_interval(secs => $3)
  returning true as mine`;

const NOTE = `
  update smtp_relay_send_rates as known
     set rate = coalesce($3, known.rate), quota = $4, sent = $5, taken = 0, answered_at = now()
   where region = $1 and account = $2
  returning ${KNOWN}`;

const READ = `
  select known.rate, ${FACTOR} as factor, ${QUOTA_LEFT}, known.quota,
         known.answered_at is null as "isUnanswered"
    from smtp_relay_send_rates as known where region = $1 and account = $2`;

const UNKNOWN: KnownRate = { rate: null, factor: 1, quotaLeft: null };

/** The send rates that all workers share. */
export class SharedSendRates {
  readonly #db: Queryable;

  constructor(db: Queryable) {
    this.#db = db;
  }

  /**
   * Takes what a call needs. Those who take one after the other have their turn one after the other, whichever worker they are.
   *
   * @param fallback recipients a second where SES has not said
   * @param fixed recipients a second, whatever SES has said; null: as it has
   */
  async take(
    { region, account }: RateKey,
    recipients: number,
    fallback: number,
    fixed: number | null,
  ): Promise<RateGrant> {
    const { rows } = await this.#db.query<RateGrant>(TAKE, [region, account, fallback, fixed, recipients]);
    return rows[0] as RateGrant;
  }

  /** SES has said that there were too many calls: all workers slow down. */
  async throttle({ region, account }: RateKey): Promise<KnownRate> {
    return (await this.#db.query<KnownRate>(THROTTLE, [region, account])).rows[0] ?? UNKNOWN;
  }

  /**
   * Takes the turn at asking SES.
   *
   * @param everyMs milliseconds for which nobody else asks then
   * @returns false where somebody has asked within that time
   */
  async beginAsking({ region, account }: RateKey, everyMs: number): Promise<boolean> {
    return ((await this.#db.query(BEGIN_ASKING, [region, account, everyMs / 1000])).rowCount ?? 0) > 0;
  }

  /** Notes what SES has answered. */
  async note({ region, account }: RateKey, { rate, quota, sent }: AccountQuota): Promise<KnownRate> {
    return (await this.#db.query<KnownRate>(NOTE, [region, account, rate, quota, sent])).rows[0] ?? UNKNOWN;
  }

  /** What is known now; null where nobody has asked SES with success. */
  async read({ region, account }: RateKey): Promise<(KnownRate & { readonly quota: number | null }) | null> {
    const { rows } = await this.#db.query<KnownRate & { quota: number | null; isUnanswered: boolean }>(READ, [
      region,
      account,
    ]);
    return rows[0] === undefined || rows[0].isUnanswered ? null : rows[0];
  }
}
