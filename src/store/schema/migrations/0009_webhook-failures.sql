-- An endpoint is disabled for failures on several occasions: when the last one was noted, and how many there were since
-- `failing_since`.
alter table smtp_relay_webhooks
  add column failed_at timestamptz,
  add column occasions integer not null default 0;
