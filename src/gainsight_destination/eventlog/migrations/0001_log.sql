-- The event log: one row per accepted request, keyed by the offset of its first message.
-- Times are Unix milliseconds.

CREATE TABLE entries (
    "offset"       INTEGER PRIMARY KEY,                       -- of the first message
    source_id      INTEGER NOT NULL,
    kind           INTEGER NOT NULL,                          -- contract.EntryKind
    received_at_ms INTEGER NOT NULL,
    count          INTEGER NOT NULL CHECK (count >= 1),       -- messages in the body
    body           BLOB NOT NULL                              -- JSON as it came, after gunzip
);

CREATE TABLE received (                                       -- messages ever appended; sums up to log.end_offset
    source_id INTEGER PRIMARY KEY,
    messages  INTEGER NOT NULL
);

CREATE TABLE log (
    singleton  INTEGER PRIMARY KEY CHECK (singleton = 1),
    end_offset INTEGER NOT NULL,                              -- the offset that the next message gets
    body_bytes INTEGER NOT NULL                               -- of the bodies kept
);
INSERT INTO log VALUES (1, 0, 0);
