-- What was said in the session of a message that goes to nobody, for the inbox: without credentials, and nothing of the message.
create table smtp_relay_arrivals (
  email_id uuid primary key,
  -- As which it logged in; null where that is not known.
  key_id text,
  pod text not null,
  -- When its session began, from which the lines count.
  began_at timestamptz not null,
  -- When SQS had its job; null where there is no queue, or as yet.
  published_at timestamptz,
  -- A list of [milliseconds from the beginning, who (C, S or -), text, and maybe which step of the way this ends].
  lines jsonb not null,
  kept_at timestamptz not null default now()
);
create index smtp_relay_arrivals_time on smtp_relay_arrivals (kept_at);
