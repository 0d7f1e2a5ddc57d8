-- Where a message is kept as it was received, if not in `raw`, which is empty then: `s3://bucket/key`.
alter table smtp_relay_messages add column object_url text;

-- What the program has put into object storage. An object is written down before it is put there, so that what never came to be named
-- by a message is known without a look at the bucket; copies of a message (`emails resend`) name the same one.
create table smtp_relay_objects (
  object_url text primary key,
  -- How many messages name it; -1: it is being removed, and nobody may name it any more.
  names integer not null default 0,
  -- When it may be removed, unless somebody names it by then; null while somebody does.
  due_at timestamptz
);
create index on smtp_relay_objects (due_at) where due_at is not null;
