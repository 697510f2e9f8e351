-- What is known from the messages: which were seen, who is who, who belongs to which account.
-- Times are Unix milliseconds; `offset` is a message's place in the event log.

CREATE TABLE reader (
    singleton   INTEGER PRIMARY KEY CHECK (singleton = 1),
    next_offset INTEGER NOT NULL,     -- where in the log reading goes on; moves with everything that came of it
    revision    INTEGER NOT NULL      -- counts the transactions that change records: a version for all of them
);
INSERT INTO reader VALUES (1, 0, 0);

CREATE TABLE read_messages (          -- per source, so that the unread part of the log can be counted
    source_id INTEGER PRIMARY KEY,
    messages  INTEGER NOT NULL
);

-- One row per valid, first-seen message: the memory for duplicates and for `trace`.
CREATE TABLE messages (
    offset         INTEGER PRIMARY KEY,
    id_digest      BLOB UNIQUE,       -- of the message id; NULL once its window is over and the id came again
    received_at_ms INTEGER NOT NULL,
    route          INTEGER NOT NULL REFERENCES routes (id)
);

CREATE TABLE routes (                 -- the distinct filter decisions: JSON {destination id: reason or null}
    id        INTEGER PRIMARY KEY,
    decisions TEXT NOT NULL UNIQUE
);

CREATE TABLE identities (
    id    INTEGER PRIMARY KEY,
    kind  INTEGER NOT NULL,           -- 1 userId, 2 anonymousId
    value TEXT NOT NULL,
    UNIQUE (kind, value)
);

CREATE TABLE accounts (
    id    INTEGER PRIMARY KEY,
    value TEXT NOT NULL UNIQUE        -- normalised
);

CREATE TABLE emails (
    id    INTEGER PRIMARY KEY,
    value TEXT NOT NULL UNIQUE        -- trimmed, lower case
);

CREATE TABLE event_names (
    id    INTEGER PRIMARY KEY,
    value TEXT NOT NULL UNIQUE
);

-- Dated facts. "This identity is that user", "this user belongs to that account", "this user's e-mail is that".
CREATE TABLE links (
    identity_id INTEGER NOT NULL,
    at_ms       INTEGER NOT NULL,
    message_id  TEXT NOT NULL,
    user_id     INTEGER NOT NULL,     -- an identity
    PRIMARY KEY (identity_id, at_ms, message_id)
) WITHOUT ROWID;

CREATE TABLE linked (                 -- the distinct pairs of links, from the user's side
    user_id     INTEGER NOT NULL,
    identity_id INTEGER NOT NULL,
    PRIMARY KEY (user_id, identity_id)
) WITHOUT ROWID;

CREATE TABLE account_facts (
    identity_id INTEGER NOT NULL,
    at_ms       INTEGER NOT NULL,
    message_id  TEXT NOT NULL,
    name        TEXT NOT NULL,        -- the trait that said it, or groupId
    account_id  INTEGER NOT NULL,
    PRIMARY KEY (identity_id, at_ms, message_id, name)
) WITHOUT ROWID;

CREATE TABLE email_facts (
    identity_id INTEGER NOT NULL,
    at_ms       INTEGER NOT NULL,
    message_id  TEXT NOT NULL,
    email_id    INTEGER NOT NULL,
    PRIMARY KEY (identity_id, at_ms, message_id)
) WITHOUT ROWID;
