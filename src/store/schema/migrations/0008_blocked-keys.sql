-- Keys that a person has blocked (`smtp-relay keys revoke --block`), by their hash: whoever makes the same key again, a document
-- or a dashboard, it is refused.
create table smtp_relay_blocked_keys (
  token_hash text primary key,
  blocked_at timestamptz not null default now()
);

-- Where a document was read, so that people find it. `standing` are the ids of rows that somebody else had made already and
-- that are as good as those in `owned`; they are never changed or removed because of the document.
alter table smtp_relay_declared
  add column source text,
  add column standing uuid[] not null default '{}';
