-- Who may use the private port, and what they did there that is no change of the workspace.

CREATE TABLE people (
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    email         TEXT NOT NULL UNIQUE,     -- lower case
    name          TEXT NOT NULL,
    role          TEXT NOT NULL,            -- viewer, editor, admin
    password      TEXT,                     -- Argon2id; NULL until one is chosen
    enabled       INTEGER NOT NULL DEFAULT 1,
    created_at_ms INTEGER NOT NULL
);

CREATE TABLE sessions (
    digest        BLOB PRIMARY KEY,         -- SHA-256 of what the cookie holds
    person_id     INTEGER NOT NULL REFERENCES people (id),
    created_at_ms INTEGER NOT NULL,
    seen_at_ms    INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX sessions_of_person ON sessions (person_id);

CREATE TABLE tokens (
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    name          TEXT NOT NULL,
    digest        BLOB NOT NULL UNIQUE,     -- SHA-256 of the token
    role          TEXT NOT NULL,
    made_by       TEXT NOT NULL,
    created_at_ms INTEGER NOT NULL,
    expires_at_ms INTEGER,                  -- NULL: never
    used_at_ms    INTEGER
);

CREATE TABLE access_links (                      -- each opens one page once: to set up, or to choose a password
    digest        BLOB PRIMARY KEY,
    person_id     INTEGER REFERENCES people (id),   -- NULL: the first person is still to be made
    expires_at_ms INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE attempts (                     -- sign-ins that failed, by account and by address
    digest     BLOB PRIMARY KEY,
    failures   INTEGER NOT NULL,
    last_at_ms INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE acts (
    id    INTEGER PRIMARY KEY AUTOINCREMENT,
    at_ms INTEGER NOT NULL,
    actor TEXT NOT NULL,
    what  TEXT NOT NULL                     -- a sentence, without secrets
);

-- The write key that a source had before the present one, while both are good.
ALTER TABLE sources ADD COLUMN retired_key TEXT;
ALTER TABLE sources ADD COLUMN retired_key_until_ms INTEGER;
