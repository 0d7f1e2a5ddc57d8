-- What documents declare (docs/resources.md), and what became of it.

-- One row a document that was seen. `owned` are the ids of the rows that were made for it; nothing else is ever changed or
-- removed because of a document. `hash` is of the document and its secrets, as of the last time that it was looked at.
create table smtp_relay_declared (
  kind varchar(50) not null,
  name varchar(253) not null,
  hash text not null,
  generation bigint,
  ready boolean not null,
  reason varchar(100) not null,
  message text not null,
  owned uuid[] not null default '{}',
  -- Since when it is ready, or is not.
  transition_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  primary key (kind, name)
);

-- Who may write the above just now. A row rather than an advisory lock, which would have to outlive a transaction, and so
-- does not go through a pooler in transaction mode.
create table smtp_relay_leases (
  name text primary key,
  holder text not null,
  taken_at timestamptz not null default now(),
  until timestamptz not null
);
insert into smtp_relay_leases (name, holder, until) values ('resources', '', 'epoch');

-- What `api_keys` has no place for: limits of this key in place of the configured ones, by their names there.
create table smtp_relay_credentials (
  api_key_id uuid primary key,
  limits jsonb not null
);

-- Routes in addition to those of the configuration. `settings` has what the transport needs to know, as in the setting
-- `routes`; a password is in a file, and only its path is here.
create table smtp_relay_routes (
  id uuid primary key,
  name varchar(64) not null unique,
  domains jsonb not null,
  transport varchar(20) not null,
  settings jsonb not null
);

-- Which of them takes the messages from a domain, where the domain says so.
create table smtp_relay_domain_routes (
  domain_id uuid primary key,
  route varchar(64) not null
);
