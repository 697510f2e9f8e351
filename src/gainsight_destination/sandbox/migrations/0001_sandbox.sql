-- One simulated tenant.

-- random_seed, random_count, switches (JSON), hold_seconds
CREATE TABLE settings (
    name  TEXT PRIMARY KEY,
    value NOT NULL
) WITHOUT ROWID;

CREATE TABLE objects (
    name       TEXT PRIMARY KEY COLLATE NOCASE,
    definition TEXT NOT NULL        -- JSON
) WITHOUT ROWID;

CREATE TABLE rows (
    id     INTEGER PRIMARY KEY AUTOINCREMENT,
    gsid   TEXT NOT NULL UNIQUE,
    object TEXT NOT NULL COLLATE NOCASE REFERENCES objects (name) ON DELETE CASCADE,
    record TEXT NOT NULL            -- JSON: field -> stored value
);
CREATE INDEX rows_by_object ON rows (object, id);

-- The values by which rows are found without reading their object.
CREATE TABLE row_keys (
    object TEXT NOT NULL COLLATE NOCASE,
    field  TEXT NOT NULL,
    value  TEXT NOT NULL,
    row_id INTEGER NOT NULL REFERENCES rows (id) ON DELETE CASCADE,
    PRIMARY KEY (object, field, value, row_id)
) WITHOUT ROWID;
CREATE INDEX row_keys_by_row ON row_keys (row_id);

CREATE TABLE tokens (
    token      TEXT PRIMARY KEY,
    expires_ms INTEGER NOT NULL
) WITHOUT ROWID;

-- Accepted asynchronous work; `result` is null until the clock has reached its end.
CREATE TABLE jobs (
    status_id    TEXT PRIMARY KEY,
    kind         TEXT NOT NULL,     -- people | bulk
    payload      BLOB NOT NULL,
    submitted_ms INTEGER NOT NULL,
    due_ms       INTEGER NOT NULL,
    result       TEXT
) WITHOUT ROWID;
CREATE INDEX jobs_under_way ON jobs (due_ms) WHERE result IS NULL;

-- CSV import jobs that an administrator set up.
CREATE TABLE bulk_jobs (
    job_id     TEXT PRIMARY KEY,
    definition TEXT NOT NULL        -- JSON
) WITHOUT ROWID;

CREATE TABLE quota (
    window   TEXT NOT NULL,         -- minute | day | bulk_hour | bulk_day
    start_ms INTEGER NOT NULL,
    accepted INTEGER NOT NULL,
    refused  INTEGER NOT NULL,
    PRIMARY KEY (window, start_ms)
) WITHOUT ROWID;

CREATE TABLE fault_rules (
    position INTEGER PRIMARY KEY,
    rule     TEXT NOT NULL,         -- JSON
    seen     INTEGER NOT NULL DEFAULT 0,
    fired    INTEGER NOT NULL DEFAULT 0
);

CREATE TABLE calls (
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    at_ms         INTEGER NOT NULL,
    method        TEXT NOT NULL,
    path          TEXT NOT NULL,
    status        INTEGER NOT NULL,
    error_code    TEXT,
    fault         TEXT,
    request_body  TEXT NOT NULL,
    response_body TEXT NOT NULL
);

-- Events Framework: what was published.
CREATE TABLE published_events (
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    at_ms         INTEGER NOT NULL,
    topic_name    TEXT,
    event_name    TEXT NOT NULL,
    event_version TEXT NOT NULL,
    body          TEXT NOT NULL
);
CREATE TABLE topics (
    topic_name    TEXT NOT NULL,
    event_name    TEXT NOT NULL,
    event_version TEXT NOT NULL,
    PRIMARY KEY (topic_name, event_name, event_version)
) WITHOUT ROWID;

-- The classic clickstream: messages as they came, and who belongs to which account.
CREATE TABLE messages (
    id      INTEGER PRIMARY KEY AUTOINCREMENT,
    at_ms   INTEGER NOT NULL,
    message TEXT NOT NULL
);
CREATE TABLE message_accounts (
    user_id    TEXT PRIMARY KEY,
    account_id TEXT NOT NULL
) WITHOUT ROWID;
