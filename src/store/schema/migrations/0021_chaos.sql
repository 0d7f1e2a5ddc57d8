-- What goes wrong on purpose for a key in sandbox, and until when; for ever where nothing is said of the end.
alter table smtp_relay_credentials
  add column chaos jsonb,
  add column chaos_until timestamptz;
