import type { Queryable } from '../../src/store/pool.ts';

/**
 * An OpenSend installation's tables as a relay may find them: other indexes than ours, columns that the contract does not
 * name, a trigger, rows. `webhook_deliveries` is missing, as in an older installation.
 */
export const OPENSEND_SCHEMA = `
  create table api_keys (
    id uuid primary key default gen_random_uuid(), name varchar(255) not null, token_hash text not null unique,
    token_preview varchar(50), permission varchar(50) not null default 'full_access', domain varchar(255), user_id text,
    last_used_at timestamptz, created_at timestamptz not null default now(), document jsonb, team text);
  create table emails (
    id uuid primary key default gen_random_uuid(), "from" varchar(512) not null, "to" jsonb not null, cc jsonb, bcc jsonb,
    reply_to jsonb, subject text not null, html text, text text, headers jsonb, attachments jsonb, tags jsonb,
    status varchar(50) not null default 'queued', user_id text, idempotency_key varchar(256), scheduled_at timestamptz,
    topic_id uuid, thread_id uuid, reply_address text, reply_token text, document jsonb,
    provider_retry_count int default 0, provider_last_attempted_at timestamptz, provider_next_retry_at timestamptz,
    provider_last_error_code varchar(255), provider_last_error_message text, provider_dead_lettered_at timestamptz,
    sent_at timestamptz, created_at timestamptz not null default now());
  create index emails_status_idx on emails (status);
  create unique index emails_user_idem on emails (user_id, idempotency_key);
  create table email_suppressions (
    id uuid primary key default gen_random_uuid(), user_id text not null, email varchar(512) not null,
    reason varchar(50) not null, source_event_id varchar(255), source_email_id uuid, source_message_id varchar(255),
    metadata jsonb, suppressed_at timestamptz not null default now(), updated_at timestamptz not null default now());
  create unique index suppressions_user_email on email_suppressions (user_id, email);
  create table domains (
    id uuid primary key default gen_random_uuid(), name varchar(255) not null, status varchar(50) default 'not_started',
    region varchar(50) not null default 'us-east-1', track_clicks boolean not null default false,
    track_opens boolean not null default false, tls varchar(20), tracking_subdomain varchar(255),
    ses_configuration_set_name varchar(255), user_id text, created_at timestamptz, dkim_tokens jsonb);
  create table email_events (
    id uuid primary key default gen_random_uuid(), email_id uuid references emails, source_id varchar(255) unique,
    type varchar(50) not null, payload jsonb not null, user_id text, received_at timestamptz not null default now());
  create table webhooks (
    id uuid primary key default gen_random_uuid(), url text not null, event_types jsonb not null,
    status varchar(50) not null default 'active', signing_secret_enc text, user_id text, created_at timestamptz,
    document jsonb);
  create function touch() returns trigger language plpgsql as 'begin return new; end';
  create trigger emails_touch before update on emails for each row execute function touch();
  insert into api_keys (name, token_hash, user_id) values ('mine', 'abc', 'acme');
  insert into emails ("from", "to", subject, user_id) values ('a@acme.test', '["b@example.com"]', 'hello', 'acme');`;

/** Every catalogue row about tables that are not the relay's; `xmin` changes with whatever rewrites one. */
const CATALOGUE = `
  with theirs as (
    select oid, relname from pg_class
     where relnamespace = 'public'::regnamespace and relkind in ('r', 'i')
       and relname !~ '^(smtp_relay_|webhook_deliveries)')
  select 'class' as what, relname::text as name, c.xmin::text || ' ' || c.relfilenode as row
    from pg_class c join theirs using (oid, relname)
  union all
  select 'attribute', relname || '.' || attname, a.xmin::text from pg_attribute a join theirs on oid = attrelid
  union all
  select 'index', relname, i.xmin || pg_get_indexdef(indexrelid) from pg_index i join theirs on oid = indrelid
  union all
  select 'constraint', relname || '.' || conname, c.xmin || pg_get_constraintdef(c.oid)
    from pg_constraint c join theirs on theirs.oid in (conrelid, confrelid)
  union all
  select 'trigger', relname || '.' || tgname, t.xmin::text from pg_trigger t join theirs on theirs.oid = tgrelid
  order by 1, 2, 3`;

/** What the database knows of the tables that are not the relay's, fit for comparing before with after. */
export async function catalogue(db: Queryable): Promise<unknown[]> {
  return (await db.query(CATALOGUE)).rows;
}
