-- Whose tracking links lead nowhere any more (`smtp-relay links end`): `owner acme`, or `message ` and its id.
create table smtp_relay_ended_links (
  subject text primary key,
  ended_at timestamptz not null default now()
);
