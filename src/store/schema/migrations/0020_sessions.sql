-- Sessions of clients in which something was not accepted, for a day: what was said, without credentials and messages.
create table smtp_relay_sessions (
  -- As the log has it.
  id text primary key,
  -- Whose it is: the key, or the address (an IPv6 network of 64 bits) of a client that has not logged in.
  subject text not null,
  client_address text not null,
  pod text not null,
  began_at timestamptz not null,
  last_at timestamptz not null,
  -- What was last refused, at which step and by which rule; and how much there was of it.
  step text not null,
  rule text not null,
  reply text not null,
  refusals integer not null,
  -- A list of [milliseconds from the beginning, who (C, S or -), text].
  lines jsonb not null
);
create index smtp_relay_sessions_subject on smtp_relay_sessions (subject, last_at desc);
create index smtp_relay_sessions_address on smtp_relay_sessions (client_address, last_at desc);
create index smtp_relay_sessions_time on smtp_relay_sessions (last_at);
