-- What an account of SES may send in a region, shared by all workers. Each who sends takes from it: `next_at` is when what is there
-- was used up, so that what may be sent now is what the rate gave since then, for a second at most. Every worker writes to the
-- same row, several times a second: half of the page stays free, so that no index is touched.
create table smtp_relay_send_rates (
  region text not null,
  -- A hash of what tells one account from another.
  account text not null,
  next_at timestamptz not null,
  -- What throttling has left of the rate, at `factor_at`; it comes back by itself.
  factor double precision not null default 1,
  factor_at timestamptz not null default now(),
  throttled_at timestamptz,
  -- What SES said of the account, and when somebody last asked. null: unknown; a quota of null: none is known, or there is none.
  rate double precision,
  quota double precision,
  sent double precision,
  asked_at timestamptz,
  answered_at timestamptz,
  -- Recipients since the answer.
  taken double precision not null default 0,
  primary key (region, account)
) with (fillfactor = 50);
