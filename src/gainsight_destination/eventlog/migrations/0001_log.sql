-- The event log: one row per accepted request, keyed by the offset of its first message.
-- Times are Unix milliseconds. An append touches the right edge of `entries` and one page of `received`, no more.

CREATE TABLE entries (
    "offset"       INTEGER PRIMARY KEY,                       -- of the first message
    source_id      INTEGER NOT NULL,
    kind           INTEGER NOT NULL,                          -- contract.EntryKind
    received_at_ms INTEGER NOT NULL,
    count          INTEGER NOT NULL CHECK (count >= 1),       -- messages in the body
    body           BLOB NOT NULL                              -- JSON as it came, after gunzip
);

CREATE TABLE received (                                       -- ever appended; the sum of messages is the log's end
    source_id  INTEGER PRIMARY KEY,
    messages   INTEGER NOT NULL,
    body_bytes INTEGER NOT NULL
);

CREATE TABLE removed (                                        -- ever removed by retention
    singleton  INTEGER PRIMARY KEY CHECK (singleton = 1),
    body_bytes INTEGER NOT NULL
);
INSERT INTO removed VALUES (1, 0);
