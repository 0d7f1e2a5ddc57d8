-- Keys in sandbox: what they send is accepted and told of as if it had been sent, and goes to nobody.
alter table smtp_relay_credentials add column sandbox boolean not null default false;
alter table smtp_relay_messages add column sandbox boolean not null default false;

-- What is to be told later of mail that only was played (`simulatedDelay`): rows of `email_events` that are not written yet.
create table smtp_relay_later_events (
  id uuid primary key,
  due_at timestamptz not null,
  event jsonb not null
);
create index smtp_relay_later_events_due on smtp_relay_later_events (due_at);
