-- The tables that the relay shares with an OpenSend installation, for a database of the relay's own (pipeline `standalone`):
-- beside OpenSend only its own migrations make them. Run by pipeline.ts each time that one of them is missing, so that
-- each is created only where the name is free, and an existing one is neither altered nor given indexes, constraints or
-- triggers. Hence foreign keys are added only between two tables that are both made here.
--
-- Types are the contract's. Indexes are what our own worker and commands need: some more than an OpenSend has, and none for
-- columns that only OpenSend's application fills.
do $$
declare
  make_emails constant boolean := to_regclass('emails') is null;
  make_webhooks constant boolean := to_regclass('webhooks') is null;
  make_events constant boolean := to_regclass('email_events') is null;
begin
  if to_regclass('api_keys') is null then
    create table api_keys (
      id uuid primary key default gen_random_uuid(),
      name varchar(255) not null,
      token_hash text not null unique,
      token_preview varchar(50),
      permission varchar(50) not null default 'full_access',
      domain varchar(255),
      user_id text,
      last_used_at timestamptz,
      created_at timestamptz not null default now(),
      document jsonb
    );
    create index on api_keys (user_id);
  end if;

  if make_emails then
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
    create index on emails (created_at);
    create index on emails (user_id, created_at);
    create unique index smtp_relay_emails_by_key on emails (user_id, idempotency_key) where idempotency_key is not null;
    -- What is still to be sent, and what went wrong: few of many, of which each status change touches no more than one. The first
    -- has what emails_created_at_idx has, and less of it: so the planner always likes it better.
    create index smtp_relay_open_emails on emails (created_at)
      where status in ('queued', 'processing', 'scheduled');
    create index smtp_relay_ended_emails on emails (status, created_at)
      where status in ('failed', 'bounced', 'complained', 'suppressed', 'canceled', 'cancelled');
  end if;

  if to_regclass('email_suppressions') is null then
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
      updated_at timestamptz not null default now(),
      unique (user_id, email)
    );
  end if;

  if to_regclass('domains') is null then
    create table domains (
      id uuid primary key default gen_random_uuid(),
      name varchar(255) not null,
      status varchar(50) not null default 'not_started',
      region varchar(50) not null default 'us-east-1',
      track_clicks boolean not null default false,
      track_opens boolean not null default false,
      tls varchar(20),
      tracking_subdomain varchar(255),
      ses_configuration_set_name varchar(255),
      user_id text,
      created_at timestamptz not null default now(),
      unique (user_id, name)
    );
    create index on domains (name);
  end if;

  if make_events then
    create table email_events (
      id uuid primary key default gen_random_uuid(),
      email_id uuid,
      source_id varchar(255) unique,
      type varchar(50) not null,
      payload jsonb not null,
      user_id text,
      received_at timestamptz not null default now()
    );
    -- What tells of a message's status, however often its links are followed.
    create index smtp_relay_events_of_message on email_events (email_id, type);
    create index on email_events (user_id, received_at);
    if make_emails then
      alter table email_events add foreign key (email_id) references emails (id) on delete cascade;
    end if;
  end if;

  if make_webhooks then
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
    create index on webhooks (user_id);
  end if;

  if to_regclass('webhook_deliveries') is null then
    create table webhook_deliveries (
      id uuid primary key default gen_random_uuid(),
      webhook_id uuid not null,
      event_id uuid not null,
      attempt integer not null default 1,
      status_code integer,
      response_body text,
      status varchar(50) not null default 'pending',
      attempted_at timestamptz,
      next_retry_at timestamptz,
      created_at timestamptz not null default now()
    );
    create index on webhook_deliveries (webhook_id);
    create index on webhook_deliveries (event_id);
    create index on webhook_deliveries (status, next_retry_at);
    -- Finds the due deliveries of one endpoint, however many others have.
    create index smtp_relay_due_deliveries on webhook_deliveries (webhook_id, next_retry_at)
      where status in ('pending', 'failed');
    if make_webhooks then
      alter table webhook_deliveries add foreign key (webhook_id) references webhooks (id) on delete cascade;
    end if;
    if make_events then
      alter table webhook_deliveries add foreign key (event_id) references email_events (id) on delete cascade;
    end if;
  end if;
end
$$;
