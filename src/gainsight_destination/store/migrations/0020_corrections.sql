-- What a person corrected about a field of a record. Dated: what messages say of the field later counts again.
CREATE TABLE corrections (
    record_id INTEGER NOT NULL,
    field     TEXT NOT NULL,     -- in the destination's own terms
    at_ms     INTEGER NOT NULL,
    value     TEXT,              -- JSON; NULL: nothing is sent for the field
    PRIMARY KEY (record_id, field)
) WITHOUT ROWID;

-- The last refusals of a record, each with its request and answer; see records/dead_letters.py.
CREATE TABLE refusals (
    record_id INTEGER NOT NULL,
    at_ms     INTEGER NOT NULL,
    code      TEXT NOT NULL,
    message   TEXT NOT NULL,
    request   TEXT NOT NULL,
    answer    TEXT NOT NULL,
    PRIMARY KEY (record_id, at_ms)
) WITHOUT ROWID;
INSERT OR REPLACE INTO refusals SELECT record_id, died_at_ms, code, message, request, answer FROM dead_letters;
