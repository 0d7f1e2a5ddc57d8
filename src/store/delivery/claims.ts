import type pg from 'pg';
import { Batcher } from '../../flow/batcher.ts';
import { startStopwatch } from '../../flow/stopwatch.ts';
import { type KeptStatement, kept, type Queryable } from '../../postgres/pool.ts';
import { ARRIVAL, CARRIED, objectOf, selectionOf } from '../messages/columns.ts';
import { type AttemptOutcome, type Claim, type ClaimRow, claimOf } from './claim.ts';

export type { AttemptOutcome, Claim, ClaimedMessage, EarlierAttempt } from './claim.ts';

export interface ClaimsOptions {
  /** Names this worker among all, for ever. */
  readonly worker: string;
  /** Milliseconds. */
  readonly leaseTime: number;
  /** Milliseconds, at first and at most, until a message that was lost with several workers is tried again. */
  readonly alonePause?: { readonly first: number; readonly longest: number };
}

/** Messages up to this many bytes come along with their claim. */
const SMALL = 16 * 1024;
/** Milliseconds. */
const ALONE_PAUSE = { first: 10_000, longest: 3_600_000 };
/** A worker whose database was away for a while gets this many seconds to write down what it sent meanwhile. */
const GRACE = 3;

/**
 * A message that was lost with so many workers is from then on tried alone, and after pauses that grow. Before that it may have
 * been in the hands of one whom another message, or nobody's, has killed.
 */
export const ALONE_FROM = 2;
/** So many, those alone included, and it is held: the next one would be lost too. */
export const LOST_FOR_GOOD = ALONE_FROM + 3;
const DONE = `('sent', 'permanent', 'suppressed')`;

const CLAIMED = `
  select c.email_id as "emailId", c.token, c.try, e.user_id as "userId", e."from", e."to", e.subject, e.tags,
         e.created_at as "acceptedAt", ${selectionOf(CARRIED, 'm')}, m.message_id as "messageId", m.traceparent,
         m.stood_still as "stoodStill", case when m.protocol is not null then ${objectOf(ARRIVAL, 'm')} end as arrival,
         m.size_bytes as "sizeBytes", m.object_url as "objectUrl",
         case when m.size_bytes <= ${SMALL} and m.object_url is null then m.raw end as raw, a.earlier
    from claimed c
    join emails e on e.id = c.email_id
    join smtp_relay_messages m on m.email_id = c.email_id
    left join lateral (
      select jsonb_agg(jsonb_build_object('recipients', recipients, 'outcome', outcome, 'startedAt', started_at) order by id) as earlier
        from smtp_relay_attempts where email_id = c.email_id) a on true`;

/**
 * $1 ids, $2 worker, $3 lease in seconds. The rows stay as they are: that a message is being sent is its claim's to tell. They
 * are locked all the same, so that what another has just settled or cancelled is seen, and in the order of their ids, so that two
 * batches with the same messages wait for each other rather than both being chosen to fail.
 */
const TAKE = `
  with free as materialized (
    select id, coalesce(provider_retry_count, 0) as try from emails
     where id = any($1::uuid[]) and status = 'queued'
       and (provider_next_retry_at is null or provider_next_retry_at <= now())
       and exists (select from smtp_relay_messages where email_id = emails.id)
       and not exists (select from smtp_relay_claims where email_id = emails.id)
     order by id for no key update
  ), claimed as (
    insert into smtp_relay_claims (email_id, worker, token, try, until)
    select id, $2, gen_random_uuid(), try, clock_timestamp() + make_interval(secs => $3) from free
    on conflict (email_id) do nothing
    returning email_id, token, try
  )
  ${CLAIMED}`;

/**
 * Claims whose lease has run out. Where the last owner was in the middle of a call, nobody knows how that ended, which is
 * written down before anything else, but for those of whom it is known otherwise. What was given back was lost with nobody.
 * $1 worker, $2 lease in seconds, $3 at most, $4 only these, or null; $5 whether those that are to be tried alone, or all others;
 * $6 and $7 their pause, at first and at most, in seconds.
 */
const TAKE_OVER = `
  with old as materialized (
    select email_id, try, state, in_flight, worker, claimed_at, until > '-infinity' as lost from smtp_relay_claims
     where until < now() and (state = 'claimed' or state = 'sending' and until < now() - make_interval(secs => ${GRACE}))
       and ($4::uuid[] is null or email_id = any($4))
       and case when $5 then takeovers >= ${ALONE_FROM}
                 and until < now() - least(make_interval(secs => $6) * 2 ^ (takeovers - ${ALONE_FROM}), make_interval(secs => $7))
                else takeovers < ${ALONE_FROM} end
     order by until limit $3 for update skip locked
  ), in_doubt as materialized (
    select old.*, (
             select jsonb_agg(recipient) from jsonb_array_elements_text(old.in_flight) as recipient
              where not exists (select from smtp_relay_attempts d
                                 where d.email_id = old.email_id and d.outcome in ${DONE} and d.recipients ? recipient)
           ) as recipients
      from old where state = 'sending' and in_flight is not null
  ), unknown as (
    insert into smtp_relay_attempts (email_id, try, transport, recipients, outcome, code, message, worker, started_at)
    select email_id, try, 'unknown', recipients, 'unknown', 'WorkerLost',
           'the worker that was sending it is gone, and nobody knows whether it was sent', worker, claimed_at
      from in_doubt where recipients is not null
    returning email_id, recipients, started_at
  ), claimed as (
    update smtp_relay_claims c
       set worker = $1, token = gen_random_uuid(), until = clock_timestamp() + make_interval(secs => $2),
           state = 'claimed', in_flight = null, claimed_at = now(),
           takeovers = case when old.lost and c.takeovers < ${ALONE_FROM} then c.takeovers + 1 else c.takeovers end
      from old where c.email_id = old.email_id
    returning c.email_id, c.token, c.try, c.takeovers
  )
  select mine.*, claimed.takeovers, unknown.recipients as lost, unknown.started_at as "lostAt"
    from (${CLAIMED}) mine join claimed on claimed.email_id = mine."emailId"
    left join unknown on unknown.email_id = mine."emailId"`;

/** Counts a try alone before it begins: whoever does not come back from it has said enough. $1 id, $2 token. */
const BEGIN_ALONE = `
  update smtp_relay_claims set takeovers = takeovers + 1 where email_id = $1 and token = $2`;

/** Locked in the order of their ids, as by all who wait for several claims. $1 the beginnings, JSON; $2 lease in seconds. */
const BEGIN_SENDING = `
  with mine as materialized (
    select s.* from jsonb_to_recordset($1::jsonb) as s (email_id uuid, token uuid, recipients jsonb)
      join smtp_relay_claims c on c.email_id = s.email_id and c.token = s.token
     order by s.email_id for update of c
  )
  update smtp_relay_claims c
     set state = 'sending', in_flight = mine.recipients, until = clock_timestamp() + make_interval(secs => $2)
    from mine where c.email_id = mine.email_id
  returning c.email_id as "emailId"`;

/**
 * Whoever has a claim locked is beginning, settling or taking over, and none of those waits for this. What was handed back
 * or is held is nobody's to renew.
 */
const RENEW = `
  with mine as materialized (
    select c.email_id from unnest($1::uuid[], $2::uuid[]) as m (email_id, token)
      join smtp_relay_claims c on c.email_id = m.email_id and c.token = m.token
     where c.state <> 'held' and c.until > '-infinity'
       for update of c skip locked
  )
  update smtp_relay_claims c set until = clock_timestamp() + make_interval(secs => $3)
    from mine where c.email_id = mine.email_id`;

/** Whoever had it lives: it was not lost with a worker, whatever it is that does not work. */
const ABSOLVE = `
  update smtp_relay_claims set takeovers = takeovers - 1 where email_id = $1 and token = $2`;

const HAND_BACK = `
  update smtp_relay_claims c set until = '-infinity'
    from unnest($1::uuid[], $2::uuid[]) as mine (email_id, token)
   where c.email_id = mine.email_id and c.token = mine.token and c.state = 'claimed'`;

/** Who has had the message, or never will. $1 id. */
const SETTLED = `
  select distinct on (recipient) recipient, outcome
    from smtp_relay_attempts, jsonb_array_elements_text(recipients) as recipient
   where email_id = $1 and outcome in ${DONE}`;

export interface SettledRecipient {
  readonly recipient: string;
  readonly outcome: AttemptOutcome;
}

interface Beginning {
  readonly claim: Claim;
  readonly recipients: readonly string[];
}

/** Who has which message: leases with fencing tokens in `smtp_relay_claims`. */
export class Claims {
  readonly #pool: pg.Pool;
  readonly #options: ClaimsOptions;
  readonly #beginnings: Batcher<Beginning, boolean>;
  #faultAt = Number.NEGATIVE_INFINITY;

  constructor(pool: pg.Pool, options: ClaimsOptions) {
    this.#pool = pool;
    this.#options = options;
    this.#beginnings = new Batcher({
      run: beginnings => this.#beginAll(beginnings),
      maxItems: 64,
      concurrency: 2,
      interval: 3,
    });
  }

  get #lease(): number {
    return this.#options.leaseTime / 1000;
  }

  /**
   * Claims those of the messages that are due and that nobody has, also where the lease of whoever had them has run out. Of
   * the others, nothing is to be done: somebody has them, they are done, or their next try is in the outbox.
   */
  async take(emailIds: readonly string[]): Promise<Claim[]> {
    const { rows } = await this.#ask<ClaimRow>(kept(TAKE, [emailIds, this.#options.worker, this.#lease]));
    if (rows.length === emailIds.length) return rows.map(claimOf);
    return [...rows.map(claimOf), ...(await this.#takeOver(emailIds.length, emailIds))];
  }

  /**
   * Claims messages whose owner has not been heard of for the time of its lease, up to `limit`. None for a quarter of that
   * time after the database was away, so that owners can renew theirs first.
   */
  takeOver(limit: number): Promise<Claim[]> {
    return this.#takeOver(limit, null);
  }

  /** The same for one message that was lost with several workers, and is to be tried with no other beside it. */
  async takeOverAlone(): Promise<Claim | null> {
    return (await this.#takeOver(1, null, true))[0] ?? null;
  }

  /** Writes down that it is about to be tried alone. @returns false where the claim is another worker's by now */
  async beginAlone({ emailId, token }: Claim): Promise<boolean> {
    return (await this.#ask(BEGIN_ALONE, [emailId, token])).rowCount === 1;
  }

  /** Takes back that the message is lost with this worker, which has failed with it, but lives. */
  async absolve({ emailId, token }: Claim): Promise<void> {
    await this.#ask(ABSOLVE, [emailId, token]);
  }

  async #takeOver(limit: number, emailIds: readonly string[] | null, alone = false): Promise<Claim[]> {
    // After an outage of the database all leases have run out, though their workers live, and know what they have sent.
    if (performance.now() - this.#faultAt < this.#options.leaseTime / 4) return [];
    const { worker, alonePause = ALONE_PAUSE } = this.#options;
    const pauses = [alonePause.first / 1000, alonePause.longest / 1000];
    const values = [worker, this.#lease, limit, emailIds, alone, ...pauses];
    return (await this.#ask<ClaimRow>(TAKE_OVER, values)).rows.map(claimOf);
  }

  /**
   * Writes down that a call to a transport is about to begin. Should the worker die in it, the outcome is known to be unknown.
   *
   * @returns false where the claim is another worker's by now, and the call must not be made
   */
  async beginSending(claim: Claim, recipients: readonly string[]): Promise<boolean> {
    for (;;) {
      const elapsed = startStopwatch();
      if (!(await this.#beginnings.add({ claim, recipients }))) return false;
      // A process that was paused meanwhile hears an answer that may not be true any more.
      if (elapsed() < this.#options.leaseTime) return true;
    }
  }

  /**
   * Those of the recipients of whom it has become known since the claim that they are done: who had the message before may have
   * come back, and knows what came of its call.
   */
  async findSettled({ emailId, takeovers = 0 }: Claim, recipients: readonly string[]): Promise<SettledRecipient[]> {
    if (takeovers === 0) return [];
    const { rows } = await this.#ask<SettledRecipient>(SETTLED, [emailId]);
    return rows.filter(({ recipient }) => recipients.includes(recipient));
  }

  async #beginAll(beginnings: readonly Beginning[]): Promise<boolean[]> {
    const input = beginnings.map(({ claim, recipients }) => ({
      email_id: claim.emailId,
      token: claim.token,
      recipients,
    }));
    const { rows } = await this.#ask<{ emailId: string }>(kept(BEGIN_SENDING, [JSON.stringify(input), this.#lease]));
    const begun = new Set(rows.map(({ emailId }) => emailId));
    return beginnings.map(({ claim }) => begun.has(claim.emailId));
  }

  /** Renews the leases. */
  async renew(claims: readonly Claim[]): Promise<void> {
    if (claims.length > 0) await this.#ask(RENEW, [...keysOf(claims), this.#lease]);
  }

  async #ask<R extends pg.QueryResultRow>(
    statement: string | KeptStatement,
    values?: readonly unknown[],
  ): Promise<pg.QueryResult<R>> {
    try {
      return await this.#pool.query<R>(statement, values && [...values]);
    } catch (error) {
      this.#faultAt = performance.now();
      throw error;
    }
  }

  /** Has the database look at the statements, with nothing to write. @throws its error where it refuses one */
  async try(db: Queryable): Promise<void> {
    const none: string[] = [];
    await db.query(TAKE, [none, '', 1]);
    await db.query(TAKE_OVER, ['', 1, 0, none, false, 1, 1]);
    await db.query(BEGIN_ALONE, [null, null]);
    await db.query(ABSOLVE, [null, null]);
    await db.query(BEGIN_SENDING, ['[]', 1]);
    await db.query(RENEW, [none, none, 1]);
    await db.query(HAND_BACK, [none, none]);
    await db.query(SETTLED, [null]);
  }

  /** Gives messages up of which no call has begun: whoever looks next may take them. */
  async handBack(claims: readonly Claim[]): Promise<void> {
    if (claims.length > 0) await this.#pool.query(HAND_BACK, keysOf(claims));
  }
}

function keysOf(claims: readonly Claim[]): [string[], string[]] {
  return [claims.map(({ emailId }) => emailId), claims.map(({ token }) => token)];
}
