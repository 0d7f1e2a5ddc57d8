create index concurrently smtp_relay_messages_by_message_id
  on smtp_relay_messages (((created_at at time zone 'UTC')::date), hashtext(message_id));
create index concurrently smtp_relay_message_ids_by_message_id
  on smtp_relay_message_ids (((created_at at time zone 'UTC')::date), hashtext(message_id));
