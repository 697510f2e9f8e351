-- What each destination should hold, and which messages wait for which records.

-- A message on its way to one destination: what it said, how it was resolved, where it stands.
CREATE TABLE deliveries (
    destination_id INTEGER NOT NULL,
    offset         INTEGER NOT NULL,
    source_id      INTEGER NOT NULL,
    type           TEXT NOT NULL,
    message_id     TEXT NOT NULL,
    identity_id    INTEGER NOT NULL,
    at_ms          INTEGER NOT NULL,
    received_at_ms INTEGER NOT NULL,
    event_id       INTEGER,           -- of a track
    said_account   INTEGER,           -- the account this message names itself
    said_email     INTEGER,           -- the e-mail this message carries itself
    user_id        INTEGER NOT NULL,  -- resolved: an identity
    account_id     INTEGER,           -- resolved
    email_id       INTEGER,           -- resolved: in force for the user then
    state          TEXT NOT NULL,     -- filtered, parked, pending, delivered, dead
    reason         TEXT NOT NULL DEFAULT '',
    open_records   INTEGER NOT NULL DEFAULT 0,
    parked_records INTEGER NOT NULL DEFAULT 0,
    dead_records   INTEGER NOT NULL DEFAULT 0,
    without_account INTEGER NOT NULL DEFAULT 0,   -- waited in vain for an account: deliver without one
    PRIMARY KEY (destination_id, offset)
) WITHOUT ROWID;
CREATE INDEX deliveries_by_identity ON deliveries (destination_id, identity_id, at_ms);
CREATE INDEX deliveries_parked ON deliveries (destination_id, received_at_ms) WHERE state = 'parked';

CREATE TABLE bodies (                 -- traits of identify and group messages: records are computed from them
    offset INTEGER PRIMARY KEY,
    body   BLOB NOT NULL
);

CREATE TABLE kept_messages (          -- messages that outlived the log: still undelivered when retention removed them
    offset INTEGER PRIMARY KEY,
    body   BLOB NOT NULL
);

CREATE TABLE records (
    id               INTEGER PRIMARY KEY,
    destination_id   INTEGER NOT NULL,
    object           TEXT NOT NULL,
    key              TEXT NOT NULL,
    state            TEXT NOT NULL,   -- clean, dirty, parked, dead
    reason           TEXT NOT NULL DEFAULT '',
    version          INTEGER NOT NULL DEFAULT 1,
    dirty_since_ms   INTEGER NOT NULL,
    due_at_ms        INTEGER NOT NULL,        -- not to be tried before
    attempts         INTEGER NOT NULL DEFAULT 0,
    batch_limit      INTEGER,         -- refused in a batch: go in smaller ones until the culprit is alone
    presence         TEXT NOT NULL,   -- absent, uncertain, present
    remote_id        TEXT,
    delivered_digest BLOB,
    UNIQUE (destination_id, object, key)
);
CREATE INDEX records_due ON records (destination_id, object, presence, batch_limit, due_at_ms, id)
    WHERE state IN ('dirty', 'parked');

CREATE TABLE touches (                -- messages that wait for a record to become clean
    record_id INTEGER NOT NULL,
    offset    INTEGER NOT NULL,
    version   INTEGER NOT NULL,
    PRIMARY KEY (record_id, offset)
) WITHOUT ROWID;

CREATE TABLE statements (             -- what identify and group messages say about a record
    record_id   INTEGER NOT NULL,
    at_ms       INTEGER NOT NULL,
    message_id  TEXT NOT NULL,
    offset      INTEGER NOT NULL,
    account_id  INTEGER,              -- in force then
    says_member INTEGER,              -- the account of which this message is a membership fact
    has_traits  INTEGER NOT NULL,     -- whether its traits are about this record
    PRIMARY KEY (record_id, at_ms, message_id, offset)
) WITHOUT ROWID;

CREATE INDEX statements_of_message ON statements (offset);

CREATE TABLE tallies (                -- counters of a record, per user so that a moved event can be taken out
    record_id    INTEGER NOT NULL,
    user_id      INTEGER NOT NULL,
    count        INTEGER NOT NULL,
    first_at_ms  INTEGER NOT NULL,
    last_at_ms   INTEGER NOT NULL,
    frozen_first_at_ms INTEGER,       -- of messages that no longer can move
    frozen_last_at_ms  INTEGER,
    PRIMARY KEY (record_id, user_id)
) WITHOUT ROWID;

CREATE TABLE books (                  -- messages per destination, source and state: the balance
    destination_id INTEGER NOT NULL,
    source_id      INTEGER NOT NULL,
    state          TEXT NOT NULL,     -- received, discarded, duplicates, filtered, parked, pending, delivered, dead
    reason         TEXT NOT NULL DEFAULT '',
    messages       INTEGER NOT NULL,
    PRIMARY KEY (destination_id, source_id, state, reason)
) WITHOUT ROWID;

CREATE TABLE notices (                -- counted, with the last example's place: nothing is wrong, somebody may care
    destination_id INTEGER NOT NULL,  -- 0: the workspace
    kind           TEXT NOT NULL,
    subject        TEXT NOT NULL DEFAULT '',
    times          INTEGER NOT NULL,
    last_offset    INTEGER,
    PRIMARY KEY (destination_id, kind, subject)
) WITHOUT ROWID;
