-- Rows that the other side holds because of us, by object: those whose record became present, less those found gone.
CREATE TABLE held_rows (
    destination_id INTEGER NOT NULL,
    object         TEXT NOT NULL,
    rows           INTEGER NOT NULL,
    PRIMARY KEY (destination_id, object)
) WITHOUT ROWID;
-- Records of settled messages are forgotten, so rows delivered long before this upgrade are not counted.
INSERT INTO held_rows
SELECT destination_id, object, count(*) FROM records WHERE presence = 'present' GROUP BY destination_id, object;

-- Who goes first: 0 live, 1 retry, 2 backfill, 3 replay; see records/priorities.py.
ALTER TABLE records ADD COLUMN priority INTEGER NOT NULL DEFAULT 0;
DROP INDEX records_due;
CREATE INDEX records_due ON records (destination_id, object, priority, presence, batch_limit, due_at_ms, id)
    WHERE state IN ('dirty', 'parked');

-- Files sent, each at its time: they have a quota of their own.
CREATE TABLE uploads (
    destination_id INTEGER NOT NULL,
    at_ms          INTEGER NOT NULL
);
CREATE INDEX uploads_by_time ON uploads (destination_id, at_ms);
ALTER TABLE jobs ADD COLUMN uploaded INTEGER NOT NULL DEFAULT 0;   -- records of a file; 0: not a file
