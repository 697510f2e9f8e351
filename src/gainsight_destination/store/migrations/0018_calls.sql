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

-- Who was ever said to belong to an account, and to have an e-mail.
CREATE INDEX account_facts_of_account ON account_facts (account_id, at_ms);
CREATE INDEX email_facts_of_email ON email_facts (email_id, at_ms);
