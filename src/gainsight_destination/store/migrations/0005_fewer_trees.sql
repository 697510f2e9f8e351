-- Fewer and smaller B-trees for each message; see docs/adr/0012-fewer-trees.md.

-- The memory for duplicates and for `trace`: one row per valid, first-seen message.
CREATE TABLE seen (
    digest         INTEGER PRIMARY KEY,   -- 63 bits of the digest of the message id
    "offset"       INTEGER NOT NULL,
    received_at_ms INTEGER NOT NULL,
    route          INTEGER NOT NULL REFERENCES routes (id)
);
-- The first eight bytes of the old digest as a number, hexadecimal digit by digit: instr gives 0 for the digit 0.
-- (Every shift stands in parentheses: << and | have one precedence in SQLite.)
INSERT OR IGNORE INTO seen
SELECT ((instr('123456789ABCDEF', substr(h, 1, 1)) & 7) << 60) | (instr('123456789ABCDEF', substr(h, 2, 1)) << 56)
     | (instr('123456789ABCDEF', substr(h, 3, 1)) << 52) | (instr('123456789ABCDEF', substr(h, 4, 1)) << 48)
     | (instr('123456789ABCDEF', substr(h, 5, 1)) << 44) | (instr('123456789ABCDEF', substr(h, 6, 1)) << 40)
     | (instr('123456789ABCDEF', substr(h, 7, 1)) << 36) | (instr('123456789ABCDEF', substr(h, 8, 1)) << 32)
     | (instr('123456789ABCDEF', substr(h, 9, 1)) << 28) | (instr('123456789ABCDEF', substr(h, 10, 1)) << 24)
     | (instr('123456789ABCDEF', substr(h, 11, 1)) << 20) | (instr('123456789ABCDEF', substr(h, 12, 1)) << 16)
     | (instr('123456789ABCDEF', substr(h, 13, 1)) << 12) | (instr('123456789ABCDEF', substr(h, 14, 1)) << 8)
     | (instr('123456789ABCDEF', substr(h, 15, 1)) << 4) | (instr('123456789ABCDEF', substr(h, 16, 1)) << 0),
       "offset", received_at_ms, route
FROM (SELECT hex(id_digest) AS h, "offset", received_at_ms, route FROM messages WHERE id_digest IS NOT NULL);
DROP TABLE messages;

-- Who was ever linked to whom, from both sides.
CREATE INDEX linked_of_identity ON linked (identity_id, user_id);

-- A message on its way to one destination: what it said, how it was resolved, where it stands.
CREATE TABLE deliveries_by_id (
    id             INTEGER PRIMARY KEY,   -- destination id * 2^44 + offset of the message
    source_id      INTEGER NOT NULL,
    type           TEXT NOT NULL,
    message_id     TEXT NOT NULL,
    identity_id    INTEGER NOT NULL,
    anonymous_id   INTEGER,               -- an identity that this message links to identity_id; see resolve/identities.py
    at_ms          INTEGER NOT NULL,
    received_at_ms INTEGER NOT NULL,
    event_id       INTEGER,               -- of a track
    said_account   INTEGER,               -- the account this message names itself
    said_email     INTEGER,               -- the e-mail this message carries itself
    user_id        INTEGER NOT NULL,      -- resolved: an identity
    account_id     INTEGER,               -- resolved
    email_id       INTEGER,               -- resolved: in force for the user then
    state          TEXT NOT NULL,         -- filtered, parked, pending, delivered, dead
    reason         TEXT NOT NULL DEFAULT '',
    open_records   INTEGER NOT NULL DEFAULT 0,
    own_record     INTEGER,               -- the record that belongs to this message alone
    parked_records INTEGER NOT NULL DEFAULT 0,
    dead_records   INTEGER NOT NULL DEFAULT 0,
    without_account INTEGER NOT NULL DEFAULT 0    -- waited in vain for an account: deliver without one
);
INSERT INTO deliveries_by_id
SELECT destination_id * 17592186044416 + "offset", source_id, type, message_id, identity_id, NULL, at_ms,
       received_at_ms, event_id, said_account, said_email, user_id, account_id, email_id, state, reason, open_records,
       (SELECT id FROM records WHERE records.destination_id = deliveries.destination_id AND object = 'event'
        AND key = CAST(deliveries."offset" AS TEXT)),
       parked_records, dead_records, without_account
FROM deliveries;
DROP TABLE deliveries;
ALTER TABLE deliveries_by_id RENAME TO deliveries;
CREATE INDEX deliveries_by_identity ON deliveries (identity_id, at_ms);
CREATE INDEX deliveries_parked ON deliveries (received_at_ms) WHERE state = 'parked';

-- A record that belongs to one message is found from there (own_record); only shared ones are found by their key.
CREATE TABLE records_by_id (
    id               INTEGER PRIMARY KEY,
    destination_id   INTEGER NOT NULL,
    object           TEXT NOT NULL,
    key              TEXT NOT NULL,
    shared           INTEGER NOT NULL,        -- 0: belongs to one message alone
    state            TEXT NOT NULL,           -- clean, dirty, parked, dead
    presence         TEXT NOT NULL,           -- absent, uncertain, present
    version          INTEGER NOT NULL,        -- the revision that last changed its state
    dirty_since_ms   INTEGER NOT NULL,
    due_at_ms        INTEGER NOT NULL,        -- not to be tried before
    attempts         INTEGER NOT NULL DEFAULT 0,
    reason           TEXT NOT NULL DEFAULT '',
    batch_limit      INTEGER,         -- refused in a batch: go in smaller ones until the culprit is alone
    remote_id        TEXT,
    delivered_digest BLOB
);
INSERT INTO records_by_id
SELECT id, destination_id, object, key, object <> 'event', state, presence, version, dirty_since_ms, due_at_ms,
       attempts, reason, batch_limit, remote_id, delivered_digest
FROM records;
DROP TABLE records;
ALTER TABLE records_by_id RENAME TO records;
-- A row's record whose message was filtered and then forgotten stayed behind in 0.1.0.
DELETE FROM records WHERE shared = 0 AND id NOT IN (SELECT own_record FROM deliveries WHERE own_record IS NOT NULL);
DELETE FROM references_missing WHERE record_id NOT IN (SELECT id FROM records);
CREATE UNIQUE INDEX records_by_key ON records (destination_id, object, key) WHERE shared = 1;
CREATE INDEX records_due ON records (destination_id, object, presence, batch_limit, due_at_ms, id)
    WHERE state IN ('dirty', 'parked');
