-- Message-IDs are found by the day and their hash: an entry of today comes beside others of today, where in one index of all
-- hashes each goes to a page of its own, of the more the more there are. The hash takes values of any length, which a client
-- chooses.
create index if not exists smtp_relay_messages_by_message_id
  on smtp_relay_messages (((created_at at time zone 'UTC')::date), hashtext(message_id));
drop index if exists smtp_relay_messages_message_id_idx;
create index if not exists smtp_relay_message_ids_by_message_id
  on smtp_relay_message_ids (((created_at at time zone 'UTC')::date), hashtext(message_id));
drop index if exists smtp_relay_message_ids_message_id_idx;
