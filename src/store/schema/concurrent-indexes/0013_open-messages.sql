-- where: to_regclass('smtp_relay_due_deliveries') is not null and not exists (select from pg_index join pg_attribute on attrelid = indexrelid where indrelid = to_regclass('emails') and attname in ('thread_id', 'reply_token'))
create index concurrently smtp_relay_open_emails on emails (created_at)
  where status in ('queued', 'processing', 'scheduled');
-- where: to_regclass('smtp_relay_due_deliveries') is not null and not exists (select from pg_index join pg_attribute on attrelid = indexrelid where indrelid = to_regclass('emails') and attname in ('thread_id', 'reply_token'))
create index concurrently smtp_relay_ended_emails on emails (status, created_at)
  where status in ('failed', 'bounced', 'complained', 'suppressed', 'canceled', 'cancelled');
-- where: to_regclass('emails_user_id_idempotency_key_key') is not null and to_regclass('smtp_relay_due_deliveries') is not null and not exists (select from pg_index join pg_attribute on attrelid = indexrelid where indrelid = to_regclass('emails') and attname in ('thread_id', 'reply_token'))
create unique index concurrently smtp_relay_emails_by_key on emails (user_id, idempotency_key)
  where idempotency_key is not null;
