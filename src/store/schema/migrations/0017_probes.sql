-- Whose turn it is to try a way out that is shut: one worker at a time, and none before `until`. Written only while one is shut.
create table smtp_relay_probes (
  -- The route's name, with the region of SES.
  way text primary key,
  -- A worker tries it until then, or it was tried in vain and is left alone until then.
  until timestamptz not null,
  -- Names the try, so that who comes back late takes nothing from who came after him.
  probe uuid,
  -- When a try last found that it works.
  worked_at timestamptz
) with (fillfactor = 50);
