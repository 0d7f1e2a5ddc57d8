import type { Queryable } from '../../../src/postgres/pool.ts';

/*
 * The shared tables as an OpenSend of 2026-06-12 or later has them (contract: "API keys", "Messages", "Suppressions",
 * "Domains", "Events and webhooks"; what the contract leaves open was seen in the catalogue of a database after
 * OpenSend's own migrations). They are made by plain `create table`, as OpenSend's migrations do, so that they fail
 * where somebody else has made one of them before.
 */

/** Contract, "API keys". A key has no index but that of its hash. */
const API_KEYS = `
  create table api_keys (
    id uuid primary key default gen_random_uuid(),
    name varchar(255) not null,
    token_hash text not null,
    token_preview varchar(50),
    permission varchar(50) not null default 'full_access',
    domain varchar(255),
    user_id text,
    last_used_at timestamptz,
    created_at timestamptz not null default now(),
    document jsonb
  );
  create unique index api_keys_by_hash on api_keys (token_hash);`;

/** Contract, "Messages": the table, "More types", "Indexes on an existing installation". */
const EMAILS = `
  create table emails (
    id uuid primary key default gen_random_uuid(),
    "from" varchar(512) not null,
    "to" jsonb not null,
    cc jsonb,
    bcc jsonb,
    reply_to jsonb,
    subject text not null,
    html text,
    text text,
    headers jsonb,
    attachments jsonb,
    tags jsonb,
    status varchar(50) not null default 'queued',
    user_id text,
    idempotency_key varchar(256),
    scheduled_at timestamptz,
    topic_id uuid,
    thread_id uuid,
    reply_address varchar(512),
    reply_token varchar(128),
    document jsonb,
    provider_retry_count integer not null default 0,
    provider_last_attempted_at timestamptz,
    provider_next_retry_at timestamptz,
    provider_last_error_code varchar(255),
    provider_last_error_message text,
    provider_dead_lettered_at timestamptz,
    sent_at timestamptz,
    created_at timestamptz not null default now()
  );
  create index on emails (status);
  create index on emails (created_at);
  create index on emails (status, created_at);
  create index on emails (user_id, created_at);
  create index on emails (user_id, thread_id);
  create index on emails using gin (tags);
  create unique index on emails (user_id, idempotency_key);
  create unique index on emails (user_id, reply_token);`;

/** Contract, "Suppressions". */
const EMAIL_SUPPRESSIONS = `
  create table email_suppressions (
    id uuid primary key default gen_random_uuid(),
    user_id text not null,
    email varchar(512) not null,
    reason varchar(50) not null,
    source_event_id varchar(255),
    source_email_id uuid,
    source_message_id varchar(255),
    metadata jsonb,
    suppressed_at timestamptz not null default now(),
    updated_at timestamptz not null default now()
  );
  create index on email_suppressions (user_id);
  create index on email_suppressions (email);
  create unique index on email_suppressions (user_id, email);`;

/** Contract, "Domains": no index on name or user_id, and several rows may have one name. */
const DOMAINS = `
  create table domains (
    id uuid primary key default gen_random_uuid(),
    name varchar(255) not null,
    status varchar(50) not null default 'not_started',
    region varchar(50) not null default 'us-east-1',
    track_clicks boolean not null default false,
    track_opens boolean not null default false,
    tls varchar(20) not null default 'opportunistic',
    tracking_subdomain varchar(255),
    ses_configuration_set_name varchar(255),
    user_id text,
    created_at timestamptz not null default now(),
    custom_return_path varchar(255),
    records jsonb,
    capabilities jsonb,
    dkim_origin varchar(16) not null default 'AWS_SES',
    dkim_selector varchar(63),
    dkim_tokens jsonb,
    dedicated_ip_pool_id uuid,
    document jsonb
  );`;

/** Contract, "Events and webhooks": an event keeps its message from being deleted; a delivery goes with its webhook only. */
const EVENTS = `
  create table email_events (
    id uuid primary key default gen_random_uuid(),
    email_id uuid references emails (id),
    source_id varchar(255),
    type varchar(50) not null,
    payload jsonb not null,
    user_id text,
    received_at timestamptz not null default now()
  );
  create index on email_events (email_id);
  create index on email_events (user_id);
  create unique index on email_events (source_id);
  create table webhooks (
    id uuid primary key default gen_random_uuid(),
    url text not null,
    event_types jsonb not null,
    status varchar(50) not null default 'active',
    signing_secret_enc text,
    user_id text,
    created_at timestamptz not null default now(),
    document jsonb
  );
  create table webhook_deliveries (
    id uuid primary key default gen_random_uuid(),
    webhook_id uuid not null references webhooks (id) on delete cascade,
    event_id uuid not null references email_events (id),
    attempt integer not null default 1,
    status_code integer,
    response_body text,
    status varchar(50) not null default 'pending',
    attempted_at timestamptz,
    next_retry_at timestamptz,
    created_at timestamptz not null default now()
  );
  create index on webhook_deliveries (status);
  create index on webhook_deliveries (webhook_id);`;

/** All of them as one script, in the search path's first schema. */
export const OPENSEND_TABLES = [API_KEYS, EMAILS, EMAIL_SUPPRESSIONS, DOMAINS, EVENTS].join('\n');

/** Makes the shared tables as OpenSend's migrations do: all or none, and none where one of them is there already. */
export async function createOpenSendTables(db: Queryable): Promise<void> {
  // A script of several statements is one transaction of its own.
  await db.query(OPENSEND_TABLES);
}
