-- Replays: chosen messages of the log looked at once more for one destination; see docs/adr/0017-replay.md.

CREATE TABLE replays (
    id             INTEGER PRIMARY KEY AUTOINCREMENT,
    destination_id INTEGER NOT NULL,
    actor          TEXT NOT NULL,
    started_at_ms  INTEGER NOT NULL,
    changed_at_ms  INTEGER NOT NULL,      -- when its state changed last
    state          TEXT NOT NULL,         -- running, paused, delivering, done, cancelled
    again          INTEGER NOT NULL,      -- make the calls even if what was delivered last is equal
    since_ms        INTEGER,               -- what is chosen; NULL: whatever it is
    until_ms       INTEGER,
    source_id      INTEGER,
    user_id        TEXT,
    event          TEXT,
    type           TEXT,
    first_offset   INTEGER NOT NULL,      -- the stretch of the log to look at
    next_offset    INTEGER NOT NULL,      -- where looking goes on; moves with everything that came of it
    end_offset     INTEGER NOT NULL
);
CREATE INDEX replays_open ON replays (destination_id, id) WHERE state IN ('running', 'paused', 'delivering');

CREATE TABLE replay_figures (             -- what became of its messages and records
    replay_id INTEGER NOT NULL,
    kind      TEXT NOT NULL,              -- gone, passed, touched, skipped; due, delivered, unchanged, dead
    subject   TEXT NOT NULL DEFAULT '',   -- of skipped the reason, of due the object
    times     INTEGER NOT NULL,
    PRIMARY KEY (replay_id, kind, subject)
) WITHOUT ROWID;

CREATE TABLE replay_records (             -- records that it made due; those of one message alone only while they wait
    replay_id INTEGER NOT NULL,
    record_id INTEGER NOT NULL,
    waiting   INTEGER NOT NULL DEFAULT 1,
    came_of   TEXT,                       -- delivered, unchanged, dead: when it waited last
    PRIMARY KEY (replay_id, record_id)
) WITHOUT ROWID;
CREATE INDEX replay_records_waiting ON replay_records (record_id) WHERE waiting = 1;

-- What has to be known of a message of the log whose row in `deliveries` is gone or never was.

-- How each destination chose and placed messages, from an offset on.
CREATE TABLE destination_rules (
    id             INTEGER PRIMARY KEY,
    destination_id INTEGER NOT NULL,
    from_offset    INTEGER NOT NULL,
    rules          TEXT NOT NULL,         -- JSON, see records/past_rules.py
    UNIQUE (destination_id, from_offset)
);
CREATE TABLE rules_begin (             -- what was resolved before this is not told apart any more
    "offset" INTEGER NOT NULL
);
INSERT INTO rules_begin SELECT next_offset FROM reader;

CREATE TABLE stands (                     -- messages that stand otherwise than the rules of their offset say
    id           INTEGER PRIMARY KEY,     -- destination id * 2^44 + offset
    placed_under INTEGER,                 -- a row of the rules; NULL: that of their offset
    filtered     TEXT                     -- the reason for which it was filtered when it was forgotten; NULL: it was not
);

CREATE TABLE not_taken_in (               -- stretches of messages that are valid and that no destination got
    first_offset INTEGER PRIMARY KEY,
    messages     INTEGER NOT NULL,
    reason       TEXT NOT NULL            -- duplicate, internal_error
);

CREATE TABLE log_days (                   -- where in the log each UTC day began
    day          INTEGER PRIMARY KEY,     -- since 1970-01-01
    first_offset INTEGER NOT NULL
);
