-- Who looks on at sessions as they happen, until when: `smtp-relay trace` puts its end off as long as it runs.
create table smtp_relay_traces (
  id uuid primary key,
  -- Of the key; null for any, and so on.
  key_id text,
  -- An address or a network.
  client text,
  recipient text,
  until timestamptz not null
);

-- What is said in these sessions, until it is fetched.
create table smtp_relay_trace_lines (
  id bigint generated always as identity primary key,
  trace_id uuid not null references smtp_relay_traces on delete cascade,
  at timestamptz not null,
  pod text not null,
  session text not null,
  client_address text not null,
  said_by text not null,
  line text not null
);
create index smtp_relay_trace_lines_trace on smtp_relay_trace_lines (trace_id, id);
