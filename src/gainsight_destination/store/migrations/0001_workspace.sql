-- Configuration: what is connected to what. Written only through workspace/service.py.

CREATE TABLE workspace (
    singleton INTEGER PRIMARY KEY CHECK (singleton = 1),
    version   INTEGER NOT NULL
);
INSERT INTO workspace VALUES (1, 0);

CREATE TABLE sources (
    id        INTEGER PRIMARY KEY AUTOINCREMENT,
    name      TEXT NOT NULL UNIQUE,
    write_key TEXT NOT NULL UNIQUE,
    enabled   INTEGER NOT NULL DEFAULT 1
);

CREATE TABLE destinations (
    id       INTEGER PRIMARY KEY AUTOINCREMENT,
    name     TEXT NOT NULL UNIQUE,
    type     TEXT NOT NULL,
    enabled  INTEGER NOT NULL DEFAULT 1,
    settings TEXT NOT NULL,         -- JSON object, without the secret settings
    secrets  TEXT NOT NULL DEFAULT '{}'     -- JSON {secret setting: encrypted}
);

CREATE TABLE connections (
    source_id      INTEGER NOT NULL REFERENCES sources (id),
    destination_id INTEGER NOT NULL REFERENCES destinations (id),
    PRIMARY KEY (source_id, destination_id)
) WITHOUT ROWID;

CREATE TABLE workspace_audit (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    version    INTEGER NOT NULL,
    changed_at INTEGER NOT NULL,    -- Unix milliseconds
    actor      TEXT NOT NULL,
    changes    TEXT NOT NULL        -- JSON array of sentences, without secrets
);
