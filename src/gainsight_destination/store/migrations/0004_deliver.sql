-- Calls made, calls refused, and what the other side is known to hold.

CREATE TABLE quota_minutes (
    destination_id INTEGER NOT NULL,
    minute         INTEGER NOT NULL,  -- Unix minutes, UTC
    calls          INTEGER NOT NULL,
    PRIMARY KEY (destination_id, minute)
) WITHOUT ROWID;

CREATE TABLE quota_days (
    destination_id INTEGER NOT NULL,
    day            INTEGER NOT NULL,  -- days since 1970-01-01, UTC
    calls          INTEGER NOT NULL,
    PRIMARY KEY (destination_id, day)
) WITHOUT ROWID;

CREATE TABLE pauses (                 -- no row: running
    destination_id   INTEGER NOT NULL,
    object           TEXT NOT NULL,   -- '' for the whole destination
    reason           TEXT NOT NULL,
    since_ms         INTEGER NOT NULL,
    retry_at_ms      INTEGER NOT NULL,
    settings_version INTEGER NOT NULL,        -- of the workspace: a pause ends at once when it changes
    PRIMARY KEY (destination_id, object)
) WITHOUT ROWID;

CREATE TABLE failures (               -- no row: the destination answers
    destination_id INTEGER PRIMARY KEY,
    reason         TEXT NOT NULL,
    since_ms       INTEGER NOT NULL,
    retry_at_ms    INTEGER NOT NULL,
    times          INTEGER NOT NULL
);

CREATE TABLE references_known (       -- remote ids of records that others point at
    destination_id INTEGER NOT NULL,
    object         TEXT NOT NULL,
    name           TEXT NOT NULL,
    remote_id      TEXT,              -- NULL: looked for and not there; '': there, its id is not known
    checked_at_ms  INTEGER NOT NULL,
    PRIMARY KEY (destination_id, object, name)
) WITHOUT ROWID;

CREATE INDEX references_absent ON references_known (destination_id, object, checked_at_ms) WHERE remote_id IS NULL;

CREATE TABLE references_missing (     -- records delivered with an empty lookup
    destination_id INTEGER NOT NULL,
    object         TEXT NOT NULL,
    name           TEXT NOT NULL,
    record_id      INTEGER NOT NULL,
    PRIMARY KEY (destination_id, object, name, record_id)
) WITHOUT ROWID;

CREATE TABLE jobs (                   -- asynchronous requests whose result is still to be fetched
    id             INTEGER PRIMARY KEY,
    destination_id INTEGER NOT NULL,
    object         TEXT NOT NULL,
    remote_job_id  TEXT NOT NULL,
    submitted_at_ms INTEGER NOT NULL,
    poll_at_ms     INTEGER NOT NULL,
    polls          INTEGER NOT NULL DEFAULT 0,
    records        TEXT NOT NULL      -- JSON [[record id, version, name, digest hex, missing], ...] in request order
);

CREATE TABLE dead_letters (
    id             INTEGER PRIMARY KEY AUTOINCREMENT,
    destination_id INTEGER NOT NULL,
    record_id      INTEGER NOT NULL,
    object         TEXT NOT NULL,
    record_key     TEXT NOT NULL,     -- in words people know: an account id, an e-mail, a message id
    version        INTEGER NOT NULL,
    code           TEXT NOT NULL,
    message        TEXT NOT NULL,
    request        TEXT NOT NULL,     -- JSON {method, path, body}, without credentials
    answer         TEXT NOT NULL,     -- JSON {status, body}
    attempts       INTEGER NOT NULL,
    died_at_ms     INTEGER NOT NULL,
    state          TEXT NOT NULL DEFAULT 'open',   -- open, retried, discarded, superseded
    settled_at_ms  INTEGER
);
CREATE INDEX dead_letters_open ON dead_letters (destination_id, id) WHERE state = 'open';
CREATE INDEX dead_letters_retried ON dead_letters (destination_id, settled_at_ms) WHERE state = 'retried';
CREATE UNIQUE INDEX dead_letters_of_record ON dead_letters (record_id) WHERE state = 'open';

CREATE INDEX references_missing_of_record ON references_missing (record_id);
