-- where: to_regclass('smtp_relay_due_deliveries') is not null
create index concurrently smtp_relay_events_of_message on email_events (email_id, type);
