-- How many workers a message has lost: two by being in their hands when they ended, and any more by being tried alone. Past
-- a limit it is held, so that a message that kills whoever takes it up does not do so for ever.
alter table smtp_relay_claims add column takeovers integer not null default 0;
