import { OUTBOX_CHANNEL } from '../../postgres/notifications.ts';
import { ADMIT } from '../keys/usage.ts';
import { SUPPRESSED } from '../owners/suppressions.ts';
import { ARRIVAL, CARRIED, definitionsOf, EMAIL, namesOf, valuesOf } from './columns.ts';
import { nameObjects } from './objects.ts';

/**
 * What is kept beside the rows: messages as they were received, there or as objects, or only by which Message-ID their clients know
 * them.
 */
interface Beside {
  readonly clause: string;
  /** What has to be so, as a column of the answer. */
  readonly check?: string;
}

interface Job {
  readonly job: boolean;
  readonly notify?: string;
}

/** Which rows are stored: all that the suppression lists let in, or of these those that the limits of their keys let in, too. */
interface Source {
  readonly clause: string;
  /** What the answer tells of: what was stored, and what a suppression list keeps out. */
  readonly told: string;
}

/** The rows that are stored. */
const ROWS = 'accepted';

/** What of the only message may travel beside the JSON. */
const APART = {
  attachments: `case when $7::text is null then coalesce($3::jsonb, attachments)
                     else jsonb_set($3::jsonb, array[$6::text, 'content'], to_jsonb($7::text)) end`,
  text: 'coalesce($4::text, text)',
  html: 'coalesce($5::text, html)',
};

/**
 * $1: the messages, JSON; $2: their raw bytes, one behind the other; $3, $4, $5: attachments, text and HTML of the only message,
 * where they do not travel in $1; $6, $7: which attachment's content is not in $3, and that; $8: seconds of the lease.
 *
 * A commit that does not wait for its flush to disk would break the promise behind a 250, so a weaker setting of the
 * role or database is overruled for this transaction; a stronger one (remote_apply) stays.
 */
const store = ({ job, notify = '' }: Job, beside: Beside, from: Source): string => `
  with durable as materialized (
    select case when current_setting('synchronous_commit') in ('off', 'local', 'remote_write')
                then set_config('synchronous_commit', 'on', true) end${notify}
  ), input as materialized (
    select *, ${SUPPRESSED} from durable, json_to_recordset($1::json) as message (
      ${definitionsOf(EMAIL)}, ${definitionsOf(CARRIED)}, ${definitionsOf(ARRIVAL)}, suppression_forms text[],
      correlation_id text, traceparent text, message_id text, raw_from integer, raw_bytes integer, sha256 text, object_url text,
      key_id uuid, recipient_count bigint, messages_per_minute bigint, recipients_per_minute bigint, messages_per_day bigint,
      recipients_per_day bigint)
  )${from.clause}${beside.clause}${job ? OUTBOX_ENTRY : ''}, stored as (
    insert into emails (${namesOf(EMAIL)}, status)
    select ${valuesOf(EMAIL, APART)}, 'queued'
      from ${ROWS}
    returning id
  )
  select id, suppressed, ${requireAll('emails', 'stored')}${job ? REQUIRE_JOBS : ''}${beside.check ?? ''} from ${from.told}`;

const insertOriginals = (raw: string): string => `, original as (
    insert into smtp_relay_messages (
      email_id, raw, object_url, sha256, size_bytes, message_id, traceparent, ${namesOf(CARRIED)}, ${namesOf(ARRIVAL)})
    select id, ${raw}, object_url,
           decode(sha256, 'hex'), raw_bytes, message_id, traceparent, ${valuesOf(CARRIED)}, ${valuesOf(ARRIVAL)}
      from ${ROWS} where raw_bytes is not null
  )`;

const originals: Beside = {
  clause: insertOriginals(
    'case when raw_bytes = length($2::bytea) then $2::bytea else substring($2::bytea from raw_from for raw_bytes) end',
  ),
};

/** They are elsewhere already, so that $2 is empty. */
const objects: Beside = {
  clause: `${insertOriginals('$2::bytea')}, ${nameObjects(ROWS)}`,
  check: `, ${requireAll('smtp_relay_objects', 'named', 'object_url')}`,
};

/** No original is among them, so that $2 is empty. */
const messageIds: Beside = {
  clause: `, named as (
    insert into smtp_relay_message_ids (email_id, message_id)
    select id, message_id from ${ROWS} where message_id is not null and $2::bytea = ''
  )`,
};

/**
 * Fails, and with that rolls all back, where a trigger of the installation has kept a row out, or gave it another id: what was
 * stored could not be promised. A cast is the way to fail that needs no function; the text is in the error.
 *
 * @param inserted the part of the statement that says which ids it has inserted
 * @param key what they have in common
 */
function requireAll(table: string, inserted: string, key = 'id'): string {
  return `
         (select case when count(taken) <> count(*)
                      then ('${table} took ' || count(taken) || ' of ' || count(*)
                            || ' rows: does a trigger or rule keep them out, or change their ids?')::integer end
            from ${ROWS} left join (select ${key}, true as taken from ${inserted}) as inserted using (${key}))`;
}

/** The lease counts from now, not from the beginning of a transaction that may have waited for a lock. */
const OUTBOX_ENTRY = `, job as (
    insert into smtp_relay_outbox (email_id, user_id, correlation_id, traceparent, leased_until)
    select id, user_id, correlation_id, traceparent, clock_timestamp() + make_interval(secs => $8) from ${ROWS}
    returning email_id as id
  )`;
const REQUIRE_JOBS = `, ${requireAll('smtp_relay_outbox', 'job')}`;

/** Without a queue, the worker hears of the commit. With one it need not, and the commit is spared the lock of a NOTIFY. */
const NOTIFY = `, pg_notify('${OUTBOX_CHANNEL}', '')`;

const UNSUPPRESSED: Source = {
  clause: `, ${ROWS} as not materialized (select * from input where suppressed is null)`,
  told: 'input',
};
const ADMITTED: Source = {
  clause: ADMIT,
  told: `input where suppressed is not null or id in (select id from ${ROWS})`,
};

const JOBS = {
  alone: { job: false },
  withJob: { job: true },
  withDueJob: { job: true, notify: NOTIFY },
};

/** By what is beside the rows, whether jobs are written, and whether any of the messages is counted. */
export const STORE = {
  originals: statementsFor(originals),
  objects: statementsFor(objects),
  messageIds: statementsFor(messageIds),
};

function statementsFor(beside: Beside) {
  const bothOf = (job: Job) => ({ all: store(job, beside, UNSUPPRESSED), admitted: store(job, beside, ADMITTED) });
  return { alone: bothOf(JOBS.alone), withJob: bothOf(JOBS.withJob), withDueJob: bothOf(JOBS.withDueJob) };
}
