-- Recipients whom the client was refused at RCPT TO (`suppression: recipient`) while the others get the message: the worker
-- tells of them by an event. Null where there are none.
alter table smtp_relay_messages add column if not exists refused jsonb;
