-- What tells of a message's status is found without reading its opens and clicks, of which there may be thousands. Only where this
-- program made the tables, which its index tells: an OpenSend's get none.
do $$
begin
  if to_regclass('smtp_relay_due_deliveries') is not null then
    create index if not exists smtp_relay_events_of_message on email_events (email_id, type);
    drop index if exists email_events_email_id_idx;
  end if;
end
$$;
