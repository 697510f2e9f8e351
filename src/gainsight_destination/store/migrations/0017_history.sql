-- What happened when: sums of a minute (step 1, kept for 48 hours) and of an hour (step 60, 90 days), so that nothing has
-- to be folded from one into the other. See records/history.py.
CREATE TABLE history (
    step           INTEGER NOT NULL,    -- minutes that a row covers: 1 or 60
    start          INTEGER NOT NULL,    -- its first Unix minute, UTC
    destination_id INTEGER NOT NULL,    -- 0: the workspace
    source_id      INTEGER NOT NULL,    -- 0: of no source
    figure         TEXT NOT NULL,
    value          INTEGER NOT NULL,
    PRIMARY KEY (step, start, destination_id, source_id, figure)
) WITHOUT ROWID;

-- When the first and the newest message of a source came that was read. NULL: before this was kept.
ALTER TABLE read_messages ADD COLUMN first_at_ms INTEGER;
ALTER TABLE read_messages ADD COLUMN last_at_ms INTEGER;

-- Track events of a UTC day of receipt by the rule that gave them their account; see resolve/coverage.py.
CREATE TABLE coverage (
    day            INTEGER NOT NULL,    -- days since 1970-01-01
    destination_id INTEGER NOT NULL,
    source_id      INTEGER NOT NULL,
    rule           TEXT NOT NULL,       -- properties, context, fact, none
    events         INTEGER NOT NULL,
    PRIMARY KEY (day, destination_id, source_id, rule)
) WITHOUT ROWID;

-- Names of track events, filtered ones too, by UTC day of receipt; see resolve/event_days.py.
CREATE TABLE event_days (
    day      INTEGER NOT NULL,
    event    TEXT NOT NULL,             -- '': all names beyond the first so many of a day
    messages INTEGER NOT NULL,
    PRIMARY KEY (day, event)
) WITHOUT ROWID;
