-- Beside OpenSend, where messages are not kept as they were received: by which Message-ID a client knows which message. It is
-- not in `emails.headers`, since SES sets its own.
create table smtp_relay_message_ids (
  email_id uuid primary key,
  message_id text not null,
  created_at timestamptz not null default now()
);
-- A hash takes values of any length, which a client chooses.
create index on smtp_relay_message_ids using hash (message_id);
-- Rows come in the order of time: for whoever deletes the oldest, this is enough, and costs an insert nothing.
create index on smtp_relay_message_ids using brin (created_at);
