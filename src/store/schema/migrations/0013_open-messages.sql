-- Whether a message is being sent is known by its claim alone, and what is open is found by an index that has nothing else. Only
-- where this program made the table, which an OpenSend's index for threads tells: an OpenSend's stays as it is.
do $$
begin
  if to_regclass('smtp_relay_due_deliveries') is not null and to_regclass('emails') is not null
     and not exists (select from pg_index join pg_attribute on attrelid = indexrelid
                      where indrelid = to_regclass('emails') and attname in ('thread_id', 'reply_token')) then
    -- At once, rather than more and more of it.
    lock table emails in access exclusive mode;
    create index if not exists smtp_relay_open_emails on emails (created_at)
      where status in ('queued', 'processing', 'scheduled');
    create index if not exists smtp_relay_ended_emails on emails (status, created_at)
      where status in ('failed', 'bounced', 'complained', 'suppressed', 'canceled', 'cancelled');
    drop index if exists emails_status_idx, emails_status_created_at_idx, emails_tags_idx;
    if to_regclass('emails_user_id_idempotency_key_key') is not null then
      create unique index if not exists smtp_relay_emails_by_key on emails (user_id, idempotency_key)
        where idempotency_key is not null;
      alter table emails drop constraint emails_user_id_idempotency_key_key;
    end if;
  end if;
end
$$;

-- A lease is renewed within its page: no index knows when it ends, and there is room for each row once more, with recipients in
-- flight. There are no more claims than workers have in hand, so that those whose lease has ended are found by reading all.
drop index if exists smtp_relay_claims_until_idx;
alter table smtp_relay_claims set (fillfactor = 40);

-- Workers of the version before found by the message's status who had it, and took a claim that holds for one left behind.
create function smtp_relay_keep_claim() returns trigger language plpgsql as 'begin return null; end';
create trigger smtp_relay_keep_claim before update of token on smtp_relay_claims for each row
  when (old.token <> new.token and old.claimed_at <> new.claimed_at and (old.until > now() or old.state = 'held'))
  execute function smtp_relay_keep_claim();
