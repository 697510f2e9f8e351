-- What each source sent on its newest UTC day (days since 1970), without what was imported from files: so a limit per
-- day outlives a restart.

ALTER TABLE received ADD COLUMN day INTEGER NOT NULL DEFAULT 0;
ALTER TABLE received ADD COLUMN day_bytes INTEGER NOT NULL DEFAULT 0;
