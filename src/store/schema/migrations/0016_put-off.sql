-- How often a message was put back without a try, since its way out was shut: with the number of its tries, that numbers its jobs.
-- And the seconds for which the limit of its tries stood still, since it was not the message's fault that they came to nothing.
alter table smtp_relay_messages
  add column put_off integer not null default 0,
  add column stood_still double precision not null default 0;
