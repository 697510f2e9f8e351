-- The newest calls and how each ended; see deliver/call_book.py.
CREATE TABLE calls (
    id             INTEGER PRIMARY KEY,
    destination_id INTEGER NOT NULL,
    at_ms          INTEGER NOT NULL,
    method         TEXT NOT NULL,
    path           TEXT NOT NULL,
    records        INTEGER NOT NULL,    -- that it wrote
    outcome        TEXT,                -- an HTTP status, or what broke the connection; NULL: not known
    milliseconds   INTEGER
);
ALTER TABLE records ADD COLUMN last_call INTEGER;     -- the newest call that carried it
CREATE INDEX dead_letters_by_record ON dead_letters (record_id);

-- Who was ever said to belong to an account, and to have an e-mail: the distinct pairs, which are far smaller than an
-- index of the facts.
CREATE TABLE account_members (
    account_id  INTEGER NOT NULL,
    identity_id INTEGER NOT NULL,
    PRIMARY KEY (account_id, identity_id)
) WITHOUT ROWID;
INSERT INTO account_members SELECT DISTINCT account_id, identity_id FROM account_facts;
CREATE TABLE email_holders (
    email_id    INTEGER NOT NULL,
    identity_id INTEGER NOT NULL,
    PRIMARY KEY (email_id, identity_id)
) WITHOUT ROWID;
INSERT INTO email_holders SELECT DISTINCT email_id, identity_id FROM email_facts;
