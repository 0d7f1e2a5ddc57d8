import { setPriority } from 'node:os';
import type pg from 'pg';

/** How ids of messages and events are: as the program makes them, or without any order. */
export type Ids = 'ordered' | 'random';

const TABLES = ['emails', 'smtp_relay_messages', 'smtp_relay_attempts', 'email_events', 'webhook_deliveries'] as const;
/** Rows of one statement. */
const STRETCH = 500_000;
const OWNERS = 1_000;
/** The oldest came in so long ago. */
const DAYS = 300;

/** Constraints and indexes, foreign keys first: without them rows are written a good deal quicker. $1 the table. */
const PARTS = `
  select 'alter table ' || conrelid::regclass || ' drop constraint ' || quote_ident(conname) as drop,
         'alter table ' || conrelid::regclass || ' add constraint ' || quote_ident(conname) || ' ' || pg_get_constraintdef(oid)
           || case contype when 'f' then ' not valid' else '' end as make, case contype when 'f' then 0 else 1 end as place
    from pg_constraint where contype in ('p', 'u', 'f') and conrelid = any($1::regclass[])
  union all
  select 'drop index ' || indexrelid::regclass, pg_get_indexdef(indexrelid), 2
    from pg_index
   where indrelid = any($1::regclass[]) and not exists (select from pg_constraint where conindid = indexrelid)
   order by 3`;

/** SQL: when message `n` of \`count\` came in. */
function timeOf(count: number): string {
  return `(now() - interval '${DAYS} days' + interval '1 day' * (${DAYS - 1} * (n::float8 / ${count})))`;
}

/** SQL: a UUID of the n-th thing of a kind. */
function idOf(kind: string, ids: Ids, count: number): string {
  const random = `overlay(overlay(md5('${kind}' || n) placing '4' from 13) placing '8' from 17)`;
  if (ids === 'random') return `${random}::uuid`;
  return `(lpad(to_hex((extract(epoch from ${timeOf(count)}) * 1000)::bigint), 12, '0') || substr(${random}, 13))::uuid`;
}

/** Each hundredth bounced, the next failed, ten are without word of the delivery. */
const STATUS = `case when n % 100 = 0 then 'bounced' when n % 100 = 1 then 'failed' when n % 100 < 12 then 'sent' else 'delivered' end`;

function statements(ids: Ids, count: number): string[] {
  const at = timeOf(count);
  const [email, event] = [idOf('email', ids, count), idOf('event', ids, count)];
  const some = `generate_series($1::bigint, $2::bigint) n`;
  return [
    `insert into emails (id, "from", "to", subject, text, headers, status, user_id, sent_at, created_at)
     select ${email}, 'Bench <bench@bench.test>', '["to@example.com"]', 'Message ' || n, repeat('some text of it ', 25),
            '{"X-Kind": "bench"}', ${STATUS}, 'owner' || n % ${OWNERS}, ${at}, ${at} from ${some}`,
    `insert into smtp_relay_messages (email_id, raw, sha256, size_bytes, reverse_path, recipients, body_type, message_id, created_at)
     select ${email}, '', decode(md5(n::text) || md5(n::text), 'hex'), 0, 'bounce@bench.test', '["to@example.com"]', '7BIT',
            md5('message' || n) || '@bench.test', ${at} from ${some}`,
    `insert into smtp_relay_attempts (email_id, try, transport, recipients, outcome, provider_message_id, worker, started_at, ended_at)
     select ${email}, 0, 'ses', '["to@example.com"]', 'sent', lpad(to_hex(n), 16, '0') || '-' || md5('provider' || n), 'worker',
            ${at}, ${at} from ${some}`,
    `insert into email_events (id, email_id, source_id, type, payload, user_id, received_at)
     select ${event}, ${email}, 'ses:' || lpad(to_hex(n), 16, '0') || '-' || md5('provider' || n) || ':delivery', 'delivered',
            '{"from": "bench@bench.test", "to": ["to@example.com"], "subject": "Message", "recipients": ["to@example.com"]}',
            'owner' || n % ${OWNERS}, ${at} from ${some}`,
    `insert into webhook_deliveries (id, webhook_id, event_id, attempt, status, status_code, response_body, attempted_at, created_at)
     select ${idOf('delivery', ids, count)}, $3::uuid, ${event}, 1, 'success', 200, 'ok', ${at}, ${at} from ${some}`,
  ];
}

export interface FillOptions {
  readonly count: number;
  readonly ids: Ids;
  /** Of the endpoint that was told of everything. */
  readonly webhookId: string;
}

/**
 * Fills the tables with messages that are done, each with an original of no bytes, an attempt, an event and a delivery: straight into
 * tables without indexes, in one transaction that began by emptying them, which `wal_level = minimal` need not log.
 */
export async function fill(client: pg.Client, { count, ids, webhookId }: FillOptions): Promise<void> {
  const { rows } = await client.query<{ pid: number }>('select pg_backend_pid() as pid');
  // Others may need the processor more.
  setPriority(rows[0]?.pid ?? 0, 5);
  await client.query("set maintenance_work_mem = '1GB'; set max_parallel_maintenance_workers = 1");
  const parts = (await client.query<{ drop: string; make: string }>(PARTS, [TABLES])).rows;
  await client.query('begin');
  await client.query(`truncate ${TABLES.join(', ')}`);
  for (const { drop } of parts) await client.query(drop);
  for (const statement of statements(ids, count)) {
    for (let first = 1; first <= count; first += STRETCH) {
      const values = [first, Math.min(count, first + STRETCH - 1)];
      await client.query(statement, statement.includes('$3') ? [...values, webhookId] : values);
    }
  }
  for (const { make } of parts.toReversed()) await client.query(make);
  await client.query('commit');
  await client.query('vacuum (freeze, analyze)');
}
