-- The relay's own tables. None has a foreign key to a shared table: that would put triggers on a table which may
-- belong to an OpenSend installation, and slow down or block what its application deletes.

-- Facts about this database that every process must agree on, such as the pipeline.
create table smtp_relay_settings (
  key text primary key,
  value text not null,
  updated_at timestamptz not null default now()
);

-- Standalone pipeline: the message as received, byte for byte, and its envelope.
create table smtp_relay_messages (
  email_id uuid primary key,
  raw bytea not null,
  sha256 bytea not null,
  size_bytes integer not null,
  reverse_path text not null,
  recipients jsonb not null,
  body_type text,
  smtp_utf8 boolean not null default false,
  track_opens boolean,
  track_clicks boolean,
  created_at timestamptz not null default now()
);
-- Mail is mostly Base64 or already compressed: trying to compress it costs more time than it saves space.
alter table smtp_relay_messages alter column raw set storage external;

-- Send jobs that are committed and not yet published. Rows live for milliseconds, so the table is small and churns:
-- vacuum it by the count of dead rows rather than by a share of a size that is nearly nothing.
create table smtp_relay_outbox (
  id bigint generated always as identity primary key,
  email_id uuid not null,
  user_id text,
  try integer not null default 0,
  due_at timestamptz not null default now(),
  leased_until timestamptz,
  publish_attempts integer not null default 0,
  last_error text,
  correlation_id text not null,
  traceparent text not null,
  requested_at timestamptz not null default now(),
  created_at timestamptz not null default now(),
  unique (email_id, try)
) with (
  fillfactor = 70,
  autovacuum_vacuum_scale_factor = 0,
  autovacuum_vacuum_threshold = 2000,
  autovacuum_vacuum_cost_delay = 0,
  autovacuum_analyze_scale_factor = 0,
  autovacuum_analyze_threshold = 10000
);
create index on smtp_relay_outbox (due_at);

-- Idempotency keys of the last day. `emails.idempotency_key` is not used: its unique index would never expire.
create table smtp_relay_idempotency (
  user_id text,
  key text,
  envelope_hash bytea,
  content_hash bytea not null,
  email_id uuid not null,
  created_at timestamptz not null default now(),
  primary key (user_id, key, envelope_hash)
);
create index on smtp_relay_idempotency (created_at);
