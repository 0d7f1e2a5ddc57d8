-- What the standalone worker needs: who has which message, what became of each try, and how webhooks fare.

-- Which worker has which message just now. The token fences: whoever lost a claim knows it no more. `state` is `claimed`,
-- `sending` (a call to the transport is under way for the recipients in `in_flight`) or `held` (nobody knows whether that call
-- went through, and a person is to say).
create table smtp_relay_claims (
  email_id uuid primary key,
  worker text not null,
  token uuid not null,
  state varchar(20) not null default 'claimed',
  in_flight jsonb,
  try integer not null,
  until timestamptz not null,
  claimed_at timestamptz not null default now()
) with (
  fillfactor = 50,
  autovacuum_vacuum_scale_factor = 0,
  autovacuum_vacuum_threshold = 2000,
  autovacuum_vacuum_cost_delay = 0,
  autovacuum_analyze_scale_factor = 0,
  autovacuum_analyze_threshold = 10000
);
create index on smtp_relay_claims (until);

-- One row for each outcome of a call to a transport, with the recipients it is about. A recipient is done when a row says
-- `sent`, `permanent` or `suppressed` of it; `transient` and `unknown` leave it to a later try.
create table smtp_relay_attempts (
  id bigint generated always as identity primary key,
  email_id uuid not null,
  try integer not null,
  transport varchar(50) not null,
  recipients jsonb not null,
  outcome varchar(20) not null,
  code varchar(255),
  message text,
  provider_message_id varchar(255),
  worker text,
  started_at timestamptz not null,
  ended_at timestamptz not null default now()
);
create index on smtp_relay_attempts (email_id);
create index on smtp_relay_attempts (provider_message_id) where provider_message_id is not null;

-- Workers that live: they share the rate at which SES may be called.
create table smtp_relay_workers (
  id text primary key,
  started_at timestamptz not null default now(),
  seen_at timestamptz not null default now()
);

-- How often a lost job was published again, and when the next time may be; the client's Message-ID without its angle
-- brackets, and of which message this one is a copy (`emails resend`), so that a person finds them.
alter table smtp_relay_messages
  add column republished integer not null default 0,
  add column republish_after timestamptz,
  add column message_id text,
  add column resend_of uuid;
create index on smtp_relay_messages (created_at);
-- A hash takes values of any length, which a client chooses.
create index on smtp_relay_messages using hash (message_id);
create index on smtp_relay_messages (resend_of) where resend_of is not null;
-- By this the worker finds the owners one after the other. In the order of bytes, which is quicker than a language's.
create index on smtp_relay_outbox ((coalesce(user_id, '') collate "C"), due_at);

-- What `webhooks` has no place for: the secret before the last rotation, and since when an endpoint fails.
create table smtp_relay_webhooks (
  webhook_id uuid primary key,
  previous_secret_enc text,
  previous_until timestamptz,
  failing_since timestamptz,
  disabled_at timestamptz
);
