-- What a key has sent in the current minute and day (UTC), numbered from 1970. One row a key, updated in the transaction that
-- stores its messages: no column of it is indexed but the key, so that updates stay within their page.
create table smtp_relay_key_usage (
  key_id uuid primary key,
  minute bigint not null,
  minute_messages bigint not null,
  minute_recipients bigint not null,
  day bigint not null,
  day_messages bigint not null,
  day_recipients bigint not null
) with (
  fillfactor = 50,
  autovacuum_vacuum_scale_factor = 0,
  autovacuum_vacuum_threshold = 2000,
  autovacuum_vacuum_cost_delay = 0,
  autovacuum_analyze_scale_factor = 0,
  autovacuum_analyze_threshold = 10000
);

-- Failed log-ins of late, by client address (`address 192.0.2.1`) and by what was tried as the key (`key 1f2e3d4c`, a few bits
-- of its hash, which do not tell what it was).
create table smtp_relay_failed_logins (
  subject text primary key,
  failures integer not null,
  last_at timestamptz not null default now()
);

-- How a message came in, for its `Received:` field and for whoever looks for its client; and that it is for the transport
-- `capture` only. `traceparent` (W3C Trace Context) is what the message's later events and webhooks belong to.
alter table smtp_relay_messages
  add column client_address text,
  add column session_id text,
  add column helo text,
  add column protocol text,
  add column received_by text,
  add column captured boolean not null default false,
  add column traceparent text;
